"""How long a training is, what it has seen, and what is said of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gravlensdiffusion.checkpoint import load_model
from gravlensdiffusion.config.training import TrainingConfig
from gravlensdiffusion.presets.training import PRESETS
from gravlensdiffusion.training.length import FROM_NOTHING, count_different, doubts
from gravlensdiffusion.training.loop import plan, train
from gravlensdiffusion.training.progress import Hooks
from tests.sources import rings, tiny


def length(config: TrainingConfig, num: int) -> int:
    """Return the images that a run on a set of a size sees."""
    return config.total_images or config.epochs * num


@pytest.mark.parametrize("name", [name for name in PRESETS if name not in ("ddpm", "reference")])
def test_recipes_of_ours_are_as_long_on_a_small_set_as_on_a_large_one(name: str) -> None:
    config = PRESETS[name]()
    assert length(config, 50) == length(config, 50_000) >= FROM_NOTHING
    assert not doubts(config, length(config, 50), 10_000, starts_from_model=False)


@pytest.mark.parametrize(
    ("name", "num", "message"),
    [
        ("reference", 10_000, ""),
        ("reference", 1_000, "40,000 images seen are too few .* 100,000 or more .100 epochs."),
        ("ddpm", 10_000, ""),
        # Its learning rate rises over 640,000 images.
        ("ddpm", 2_000, "800,000 images seen are too few .* 1,280,000 or more .640 epochs."),
    ],
)
def test_published_recipes_say_where_they_are_too_short(name: str, num: int, message: str) -> None:
    config = PRESETS[name]()
    found = doubts(config, length(config, num), num, starts_from_model=False)
    assert len(found) == bool(message)
    if message:
        with pytest.raises(ValueError, match=message):
            raise ValueError(found[0])


def test_large_batches_are_few_steps() -> None:
    config = replace(PRESETS["lens28"](), batch_size=1024)
    (found,) = doubts(config, 400_000, 10_000, starts_from_model=False)
    assert "give it 1,536,000 or more, or start from a trained model" in found


def test_few_different_images_are_too_few_from_nothing_and_enough_to_adapt() -> None:
    config = PRESETS["lens28"]()
    (found,) = doubts(config, 400_000, 50, starts_from_model=False)
    assert found.startswith("50 different images are too few for a model that starts from nothing")
    assert "start from a trained model" in found
    assert not doubts(config, 60_000, 300, starts_from_model=True)
    (found,) = doubts(config, 640, 300, starts_from_model=True)
    assert "640 images seen are too few" in found
    assert "start from" not in found


def test_copies_are_counted_once(tmp_path: Path) -> None:
    source = rings(40)
    source.images = np.tile(source.images[:8], (5, 1, 1, 1))
    assert count_different([source.images[:15], source.images[15:]]) == 8
    told: list[str] = []
    config = tiny(total_images=16)
    planned = plan(config, source, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()
    done = train(config, source, tmp_path / "run", device="cpu", hooks=Hooks(tell=told.append))
    assert done.num_different == planned.num_different == 8
    assert load_model(tmp_path / "run").config.training_data.startswith(
        "40 images, 8 of them different"
    )
    # Before and after.
    assert told[0] == planned.length
    assert told[0] == "16 images in 2 steps, each of 40 images (8 different) 0.4 times"
    assert told[1:] == [f"note: {doubt}" for doubt in done.doubts]
    assert len(done.doubts) == 2
    assert planned.notes == done.doubts
