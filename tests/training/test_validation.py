"""Held-out images: their choice and their loss."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from gravlensdiffusion.config.bounds import UNLABELLED
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.model.checkpoint import load_model
from gravlensdiffusion.model.folders import checkpoints
from gravlensdiffusion.sets.training_set import TrainingSet, prepare
from gravlensdiffusion.training.diffusion import train
from gravlensdiffusion.training.validation import ValidationLoss, _choose_validation
from tests.sources import ArraySource, rings
from tests.training.stopping import NUM, SHARE, averaged, stopping

pytestmark = pytest.mark.usefixtures("few_draws")


def test_every_class_has_its_share_held_out_and_one_image_at_least() -> None:
    labels = np.repeat([0, 1, 2, 3, -1], [40, 10, 2, 1, 3])
    held_out = _choose_validation(labels, 0.1, seed=3)
    counts = {int(k): int(held_out[labels == k].sum()) for k in set(labels)}
    assert counts == {0: 4, 1: 1, 2: 1, 3: 0, -1: 1}
    assert np.array_equal(held_out, _choose_validation(labels, 0.1, seed=3))
    assert not np.array_equal(held_out, _choose_validation(labels, 0.1, seed=4))
    # Never all of a class, and images whose labels change place do so with them.
    assert _choose_validation(labels, 0.5, seed=0)[labels == 2].sum() == 1
    assert 0 < np.flatnonzero(_choose_validation(np.zeros(100), 0.1, seed=0)).std() > 10
    with pytest.raises(GravLensError, match="`held_out` 0"):
        _choose_validation(np.array([0, 1]), 0.1, seed=0)


def test_copies_are_held_out_together() -> None:
    labels, groups = np.repeat([0, 1], (50, 50)), np.tile(np.arange(20), 5)
    held_out = _choose_validation(labels, 0.2, 0, groups)
    assert not set(groups[held_out]) & set(groups[~held_out])
    assert set(labels[held_out]) == set(labels[~held_out]) == {0, 1}
    with pytest.raises(GravLensError, match="no class has two different images"):
        _choose_validation(labels, 0.2, 0, np.zeros(100, dtype=np.int64))


def test_nothing_of_held_out_images_reaches_the_model(tmp_path: Path) -> None:
    clean, poisoned = rings(NUM), rings(NUM)
    held_out = _choose_validation(clean.labels, SHARE, seed=0)
    assert held_out.sum() == 4
    poisoned.images[held_out] = np.random.default_rng(0).normal(50, 5, (4, 1, 16, 16))
    poisoned.parameters["theta_E"][held_out] = 99.0
    config = stopping(total_images=320, parameters=("theta_E",))
    losses = []
    for name, source in (("clean", clean), ("poisoned", poisoned)):
        losses.append(train(config, source, tmp_path / name, device="cpu").held_out_loss)
    one, two = (checkpoints(tmp_path / name)[-1].folder for name in ("clean", "poisoned"))
    assert load_model(one).config == load_model(two).config
    assert load_model(one).config.training_data == "16 images (4 more held out), images given"
    assert load_model(one).config.prior_size == 16
    for name, tensor in averaged(one).items():
        assert torch.equal(tensor, averaged(two)[name]), name
    assert losses[1] > 10 * losses[0]


@pytest.fixture
def prepared(tmp_path: Path) -> TrainingSet:
    """Ten rings, their class and their radius."""
    return prepare(rings(10), tmp_path, 8, "area", parameters=("theta_E",))


def test_held_out_noise_is_spread_over_levels_and_always_the_same(prepared: TrainingSet) -> None:
    seen: list[tuple[torch.Tensor, ...]] = []

    def loss(x: Any, t: Any, eps: Any, condition: Any) -> torch.Tensor:
        seen.append((x, t, eps, condition.label, condition.parameters))
        return t

    denoiser = SimpleNamespace(sample_t=lambda u: u, loss=loss)
    transform: Any = lambda flux: flux  # noqa: E731
    transform.mean = torch.zeros(1)
    model: Any = SimpleNamespace(transform=transform, denoiser=denoiser)
    held_out = ValidationLoss(prepared, seed=1, is_conditional=True)
    assert held_out.num_draws == 130
    total = held_out.total(model)
    # The mean of evenly spread numbers is one half, to half a step.
    assert float(total) / 130 == pytest.approx(0.5, abs=4e-3)
    x, t, eps, label, radius = (torch.cat(part) for part in zip(*seen, strict=True))
    rounds = t.reshape(13, 10)
    assert torch.equal((rounds * 13).floor()[:, 0], torch.arange(13.0).double())
    assert torch.equal((t * 130).floor().sort().values, torch.arange(130.0).double())
    # Within a round, every image is at every place in turn.
    places = (rounds * 130).floor() % 10
    assert all(len(set(column.tolist())) == 10 for column in places.T)
    assert torch.equal(x[:10], torch.from_numpy(prepared.images[0:10]))
    assert eps.shape == x.shape
    assert eps.std() == pytest.approx(1, abs=0.02)
    assert len(eps.flatten(1).unique(dim=0)) == 130
    assert (label != UNLABELLED).all()
    assert torch.equal(label[:10], torch.from_numpy(prepared.labels))
    assert torch.equal(radius[:10, 0], torch.from_numpy(prepared.parameters[:, 0]))

    seen.clear()
    parts = held_out.total(model, 0, 2) + held_out.total(model, 1, 2)
    assert float(parts) == pytest.approx(float(total), rel=1e-12)
    assert sum(len(part[0]) for part in seen) == 130
    assert float(held_out.total(model)) == float(total)


def test_a_set_without_two_images_of_a_class_cannot_be_split(tmp_path: Path) -> None:
    source = rings(2)
    assert isinstance(source, ArraySource)
    with pytest.raises(GravLensError, match="`held_out` 0"):
        train(stopping(), source, tmp_path / "run", device="cpu")
