"""What the i-th training image draws."""

from pathlib import Path

import numpy as np
import pytest
import torch

from gravlensdiffusion.conditioning import ANY
from gravlensdiffusion.data.dataset import prepare
from gravlensdiffusion.training.optimiser import learning_rate
from gravlensdiffusion.training.order import draw_batch, positions
from tests.sources import rings, tiny


def test_each_epoch_is_another_shuffle_of_the_whole_set() -> None:
    where = positions(0, np.arange(30), 10).reshape(3, 10)
    assert all(sorted(epoch) == list(range(10)) for epoch in where)
    assert len({tuple(epoch) for epoch in where}) == 3
    assert not np.array_equal(positions(1, np.arange(10), 10), where[0])


def test_a_batch_in_two_parts_is_the_same_batch(tmp_path: Path) -> None:
    data = prepare(rings(), tmp_path, 8, "area")
    config = tiny()
    counts = np.arange(36, 44)  # across the end of the first epoch of 40
    whole = draw_batch(data, config, counts, conditional=True)
    parts = [draw_batch(data, config, c, conditional=True) for c in (counts[:3], counts[3:])]
    for name in ("flux", "u", "eps"):
        assert torch.equal(getattr(whole, name), torch.cat([getattr(p, name) for p in parts]))
    assert whole.condition is not None
    labels = torch.cat([p.condition.label for p in parts if p.condition])
    assert torch.equal(whole.condition.label, labels)


def test_labels_are_hidden_as_often_as_asked(tmp_path: Path) -> None:
    data = prepare(rings(), tmp_path, 8, "area")
    batch = draw_batch(data, tiny(label_dropout=0.25), np.arange(4000), conditional=True)
    assert batch.condition is not None
    hidden = (batch.condition.label == ANY).double().mean().item()
    assert hidden == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / 4000))
    shown = batch.condition.label != ANY
    where = positions(0, np.arange(4000), 40)
    assert torch.equal(batch.condition.label[shown], torch.from_numpy(data.labels[where])[shown])


def test_stratified_times_fill_every_part_of_the_interval(tmp_path: Path) -> None:
    data = prepare(rings(), tmp_path, 8, "area")
    u = draw_batch(data, tiny(), np.arange(16, 24), conditional=False).u
    assert sorted(torch.floor(u * 8).int().tolist()) == list(range(8))


def test_noise_is_standard_normal_and_never_repeats(tmp_path: Path) -> None:
    data = prepare(rings(), tmp_path, 8, "area")
    eps = draw_batch(data, tiny(), np.arange(1000), conditional=False).eps.flatten(1)
    assert eps.mean().abs() < 5 / np.sqrt(eps.numel())
    assert eps.var().item() == pytest.approx(1, abs=5 * np.sqrt(2 / eps.numel()))
    correlation = torch.corrcoef(eps[:50]) - torch.eye(50)
    assert correlation.abs().max() < 6 / np.sqrt(64)


def test_learning_rate_warms_up_and_ends_at_zero() -> None:
    config = tiny().optimiser
    assert config.warmup_images == 5000
    assert learning_rate(config, 0, 10**6) < 1e-3 * config.learning_rate
    peak = learning_rate(config, 5000, 10**6)
    assert peak == pytest.approx(config.learning_rate, rel=1e-3)
    assert learning_rate(config, 500_000, 10**6) == pytest.approx(config.learning_rate / 2)
    assert learning_rate(config, 10**6, 10**6) == pytest.approx(0, abs=1e-12)
