"""Starting from another model."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gravlensdiffusion.checkpoint import load_model
from gravlensdiffusion.conditioning import ANY, Condition
from gravlensdiffusion.config.model import UNetConfig
from gravlensdiffusion.config.training import EMAConfig, OptimiserConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.training.loop import train
from tests.sources import rings, tiny


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the classes small and large."""
    folder = tmp_path_factory.mktemp("first")
    config = tiny(ema=EMAConfig(halflife_images=0), optimiser=OptimiserConfig(learning_rate=1e-2))
    train(config, rings(), folder, device="cpu")
    return folder


def answers(run: Path, labels: list[int]) -> torch.Tensor:
    """Return what a network puts out for one noise image and some labels."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        x = torch.randn(1, 1, 8, 8).repeat(len(labels), 1, 1, 1)
    model = load_model(run)
    condition = Condition(label=torch.tensor(labels)) if model.config.class_names else None
    with torch.no_grad():
        out: torch.Tensor = model.network(x, torch.zeros(len(labels)), condition)
    return out


@pytest.mark.parametrize(
    ("classes", "labels", "theirs"),
    [
        (("small", "large"), [ANY, 0, 1], [ANY, 0, 1]),
        (("large", "lopsided"), [ANY, 0, 1], [ANY, 1, ANY]),
        ((), [ANY], [ANY]),
    ],
)
def test_the_new_network_answers_as_the_old_one(
    classes: tuple[str, ...], labels: list[int], theirs: list[int], first: Path, tmp_path: Path
) -> None:
    still = tiny(total_images=8, seed=5, optimiser=OptimiserConfig(learning_rate=1e-12))
    source = rings(seed=1)
    source.header = replace(source.header, class_names=classes)
    if not classes:
        source.labels = np.full(len(source), -1, dtype=np.int16)
    train(still, source, tmp_path / "second", device="cpu", init=first)
    expected = answers(first, theirs)
    assert torch.allclose(answers(tmp_path / "second", labels), expected, atol=1e-5)
    assert expected.std() > 1e-3


def test_a_network_of_another_shape_is_refused(first: Path, tmp_path: Path) -> None:
    config = tiny()
    network = UNetConfig(channels=(8, 8), attention_levels=(1,), num_heads=2, embedding_dim=16)
    config = replace(config, model=replace(config.model, network=network))
    with pytest.raises(GravLensError, match="has shape"):
        train(config, rings(), tmp_path / "second", device="cpu", init=first)
