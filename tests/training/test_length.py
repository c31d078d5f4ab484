"""How long a training is, what it has seen, and what is said of it."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gravlensdiffusion.config.training import EarlyStopping, TrainingConfig
from gravlensdiffusion.model.checkpoint import load_model
from gravlensdiffusion.presets.training import PRESETS
from gravlensdiffusion.training.counters import FROM_NOTHING, Progress
from gravlensdiffusion.training.diffusion import open_training
from tests.sources import rings, tiny
from tests.training.driving import drive


def doubt(config: TrainingConfig, total_images: int, num: int, *, starts_from_model: bool) -> str:
    """Return what speaks against a training of different images."""
    state = Progress(total_images=total_images, num_different=num)
    return state.doubt_about(config, starts_from_model=starts_from_model)


def length(config: TrainingConfig, num: int) -> int:
    """Return the images that a run on a set of a size sees."""
    return config.total_images or config.epochs * num


@pytest.mark.parametrize("name", [name for name in PRESETS if name not in ("ddpm", "reference")])
def test_recipes_of_ours_are_as_long_on_a_small_set_as_on_a_large_one(name: str) -> None:
    config = PRESETS[name]()
    assert length(config, 50) == length(config, 50_000) >= FROM_NOTHING
    assert not doubt(config, length(config, 50), 10_000, starts_from_model=False)


@pytest.mark.parametrize(
    ("name", "num", "message"),
    [
        ("reference", 10_000, ""),
        ("reference", 1_000, "40,000 images seen are too few .* 100,000 or more .`epochs` 100."),
        ("ddpm", 10_000, ""),
        # Its learning rate rises over 640,000 images.
        ("ddpm", 2_000, "800,000 images seen are too few .* 1,280,000 or more .`epochs` 640."),
    ],
)
def test_published_recipes_say_where_they_are_too_short(name: str, num: int, message: str) -> None:
    config = PRESETS[name]()
    found = doubt(config, length(config, num), num, starts_from_model=False)
    assert re.search(message, found)
    assert bool(found) == bool(message)


def test_large_batches_are_few_steps() -> None:
    config = replace(PRESETS["cutouts28"](), batch_size=1024)
    found = doubt(config, 400_000, 10_000, starts_from_model=False)
    assert "give it 1,536,000 or more, or adapt a trained model by `init`" in found


def test_few_different_images_are_too_few_from_nothing_and_enough_to_adapt() -> None:
    config = PRESETS["cutouts28"]()
    found = doubt(config, 400_000, 50, starts_from_model=False)
    assert found.startswith("50 different images are too few for a model that starts from nothing")
    assert "it comes to repeat them; take 1,000 or more, or adapt a trained model" in found
    found = doubt(config, 2_048, 50, starts_from_model=False)
    assert "nothing: 2,048 images seen are too few to draw more than noise" in found
    config = replace(config, optimiser=replace(config.optimiser, warmup_images=1_000))
    assert not doubt(config, 60_000, 300, starts_from_model=True)
    found = doubt(config, 60_000, 50, starts_from_model=True)
    assert "seen 1,200 times each, and none is held out" in found
    assert "`epochs` 192 is enough" in found
    found = doubt(config, 60_000, 8, starts_from_model=True)
    assert found.endswith("it comes to repeat them; take 24 images or more")
    held_out = replace(config, early_stopping=EarlyStopping(held_out=0.1))
    assert not doubt(held_out, 60_000, 50, starts_from_model=True)
    found = doubt(config, 640, 300, starts_from_model=True)
    assert "640 images seen are too few" in found
    assert "adapt" not in found


def test_copies_are_counted_once(tmp_path: Path) -> None:
    source = rings(40)
    source.images = np.tile(source.images[:8], (5, 1, 1, 1))
    told: list[str] = []
    config = tiny(total_images=16)
    with open_training(config, source, tmp_path / "run", device="cpu", writes=False) as training:
        length, note = training.length, training.note
        num_different = training.state.num_different
    assert not (tmp_path / "run").exists()
    done = drive(open_training(config, source, tmp_path / "run", device="cpu", tell=told.append))
    assert done.num_different == num_different == 8
    assert load_model(tmp_path / "run").config.training_data.startswith(
        "40 images, 8 of them different"
    )
    # Before and after.
    assert told[0] == length
    assert told[0] == "16 images in 2 steps, each of 40 images (8 different) 0.4 times"
    assert told[1:] == [f"note: {done.doubt}"]
    assert note == done.doubt
