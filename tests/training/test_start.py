"""Starting from another model."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.config.bounds import UNLABELLED
from gravlensdiffusion.config.network import UNetConfig
from gravlensdiffusion.config.training import EMAConfig, OptimiserConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.model.checkpoint import load_model
from gravlensdiffusion.training.diffusion import train
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
        (("small", "large"), [UNLABELLED, 0, 1], [UNLABELLED, 0, 1]),
        (("large", "lopsided"), [UNLABELLED, 0, 1], [UNLABELLED, 1, UNLABELLED]),
        ((), [UNLABELLED], [UNLABELLED]),
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


QUICK = OptimiserConfig(learning_rate=1e-2)
STILL = OptimiserConfig(learning_rate=1e-12)
NAMES = ("theta_E", "source_x")


@pytest.fixture(scope="module")
def ordered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the same classes, and of two parameters."""
    folder = tmp_path_factory.mktemp("ordered")
    config = tiny(ema=EMAConfig(halflife_images=0), optimiser=QUICK, parameters=NAMES)
    train(config, rings(), folder, device="cpu")
    return folder


def ordered_answers(run: Path, rows: list[tuple[float, ...]]) -> torch.Tensor:
    """Return what a network puts out for one noise image, class 1, and some parameters."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        x = torch.randn(1, 1, 8, 8).repeat(len(rows), 1, 1, 1)
    values = torch.tensor(rows, dtype=torch.float64)
    condition = Condition(label=torch.ones(len(rows), dtype=torch.long), parameters=values)
    with torch.no_grad():
        out: torch.Tensor = load_model(run).network(x, torch.zeros(len(rows)), condition)
    return out


def test_parameters_that_no_model_knew_start_without_effect_and_are_learned(
    first: Path, tmp_path: Path
) -> None:
    still = tiny(total_images=8, optimiser=STILL, parameters=NAMES)
    train(still, rings(), tmp_path / "still", device="cpu", init=first)
    rows = [(0.4, 0.1), (0.5, math.nan), (math.nan, math.nan)]
    expected = answers(first, [1])
    assert torch.allclose(ordered_answers(tmp_path / "still", rows), expected, atol=1e-5)
    learning = tiny(optimiser=QUICK, parameters=NAMES)
    train(learning, rings(), tmp_path / "learning", device="cpu", init=first)
    learned = ordered_answers(tmp_path / "learning", rows)
    assert torch.cdist(learned.flatten(1), learned.flatten(1)).add(torch.eye(3)).min() > 1e-3


def test_a_model_without_parameters_starts_as_one_that_is_asked_for_none(
    ordered: Path, tmp_path: Path
) -> None:
    train(tiny(total_images=8, optimiser=STILL), rings(), tmp_path, device="cpu", init=ordered)
    expected = ordered_answers(ordered, [(math.nan, math.nan)])
    assert torch.allclose(answers(tmp_path, [1]), expected, atol=1e-5)
    assert (expected - ordered_answers(ordered, [(0.4, 0.1)])).abs().max() > 1e-3


def test_parameters_are_matched_by_name(ordered: Path, tmp_path: Path) -> None:
    source = rings()
    source.parameters["gamma1"] = np.linspace(-0.1, 0.1, len(source))
    config = tiny(total_images=8, optimiser=STILL, parameters=("source_x", "gamma1"))
    train(config, source, tmp_path, device="cpu", init=ordered)
    found = ordered_answers(tmp_path, [(0.1, -0.05), (0.1, math.nan), (-0.2, 0.1), (math.nan, 0)])
    theirs = [(math.nan, 0.1), (math.nan, 0.1), (math.nan, -0.2), (math.nan, math.nan)]
    assert torch.allclose(found, ordered_answers(ordered, theirs), atol=1e-5)


def test_another_unit_makes_another_parameter(ordered: Path, tmp_path: Path) -> None:
    source = rings()
    source.header = replace(source.header, parameter_units={"theta_E": "rad", "source_x": "arcsec"})
    config = tiny(total_images=8, optimiser=STILL, parameters=NAMES)
    train(config, source, tmp_path, device="cpu", init=ordered)
    found = ordered_answers(tmp_path, [(0.4, 0.1)])
    assert torch.allclose(found, ordered_answers(ordered, [(math.nan, 0.1)]), atol=1e-5)


def test_a_value_keeps_the_meaning_of_its_place_in_the_range(ordered: Path, tmp_path: Path) -> None:
    source = rings()
    source.parameters["theta_E"] = 2 * source.parameters["theta_E"] + 1
    config = tiny(total_images=8, optimiser=STILL, parameters=NAMES)
    train(config, source, tmp_path, device="cpu", init=ordered)
    found = ordered_answers(tmp_path, [(2 * 0.4 + 1, 0.1)])
    assert torch.allclose(found, ordered_answers(ordered, [(0.4, 0.1)]), atol=1e-5)


def test_larger_patches_see_an_enlarged_image_as_the_smaller_ones_saw_it(
    first: Path, tmp_path: Path
) -> None:
    config = tiny(size=16, optimiser=OptimiserConfig(learning_rate=1e-30), total_images=8)
    network = UNetConfig(
        channels=(8, 16), attention_levels=(1,), num_heads=2, embedding_dim=16, patch=2
    )
    config = replace(config, model=replace(config.model, image_size=16, network=network))
    train(config, rings(), tmp_path / "patched", device="cpu", init=first)
    x = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    noise, condition = torch.zeros(3), Condition(label=torch.tensor([0, 1, UNLABELLED]))
    small, large = load_model(first).network, load_model(tmp_path / "patched").network
    with torch.no_grad():
        wanted = enlarged(small(x, noise, condition))
        assert torch.allclose(large(enlarged(x), noise, condition), wanted, atol=1e-5)


def enlarged(x: torch.Tensor) -> torch.Tensor:
    """Repeat each pixel twice along both axes."""
    return x.repeat_interleave(2, -1).repeat_interleave(2, -2)


def test_another_kind_of_network_is_refused(first: Path, tmp_path: Path) -> None:
    source = rings()
    source.header = replace(source.header, class_names=())
    source.images /= 8
    with pytest.raises(GravLensError, match=r"another kind \(unet there, reference here\)"):
        train(tiny("reference"), source, tmp_path / "reference", device="cpu", init=first)


@pytest.mark.parametrize("channels", [(8, 8), (16, 8)])
def test_a_network_of_another_shape_is_refused(
    channels: tuple[int, ...], first: Path, tmp_path: Path
) -> None:
    config = tiny()
    network = UNetConfig(channels=channels, attention_levels=(1,), num_heads=2, embedding_dim=16)
    config = replace(config, model=replace(config.model, network=network))
    with pytest.raises(GravLensError, match="has shape"):
        train(config, rings(), tmp_path / "second", device="cpu", init=first)
