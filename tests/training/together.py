"""What each of several processes does in the tests of training: ``together.py FOLDER``.

Trains each of `RECIPES` in a folder of its name, and notes what this process drew.
"""

import gc
import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from torch.nn.parallel import DistributedDataParallel

from gravlensdiffusion.config.model import TransformConfig
from gravlensdiffusion.config.training import EarlyStopping, OptimiserConfig, TrainingConfig
from gravlensdiffusion.parallel import Processes
from gravlensdiffusion.training import diffusion
from gravlensdiffusion.training.batches import Batch, load_batch
from tests.sources import ArraySource, rings, tiny
from tests.training.driving import drive

ORDERED = ("theta_E", "signal_to_noise")


def broken_recipe() -> TrainingConfig:
    """Return a recipe that takes images as they are, one of which has no finite loss."""
    config = tiny(total_images=80, batch_size=10)
    fixed = TransformConfig(kind="linear", gain=1.0, centre="none")
    return replace(config, model=replace(config.model, transform=fixed))


def broken_images() -> ArraySource:
    source = rings(80)
    source.images[3] = 5e37
    return source


# A small rate: Adam makes a step of any gradient, however close to zero, and of its rounding too.
RATE = OptimiserConfig(learning_rate=1e-4)
HELD_OUT = EarlyStopping(held_out=0.2, every_images=32, patience=10)
RECIPES = {
    "plain": (tiny(optimiser=RATE), rings()),
    "ordered": (
        tiny(optimiser=RATE, parameters=ORDERED, prefetch=2, early_stopping=HELD_OUT),
        rings(),
    ),
    "moved": (tiny(optimiser=RATE), rings()),
    "stopped": (tiny(optimiser=RATE), rings()),
    "broken": (broken_recipe(), broken_images()),
}
STOP_AFTER = 5
"""Steps after which one process of the run ``stopped`` is told to stop."""


class Recorder:
    """Notes which images a process draws, and what it draws for each."""

    def __init__(self) -> None:
        self.drawn: dict[str, str] = {}

    def __call__(
        self, data: Any, config: TrainingConfig, counts: np.ndarray, conditional: bool, fresh: Any
    ) -> Batch:
        batch = load_batch(data, config, counts, conditional, fresh)
        assert batch.condition is not None
        parts = [batch.flux, batch.u, batch.eps, batch.condition.label]
        for k, number in enumerate(counts):
            digest = hashlib.sha256()
            for part in parts:
                digest.update(np.ascontiguousarray(part[k].numpy()).tobytes())
            self.drawn[str(number)] = digest.hexdigest()
        return batch


def run(name: str, folder: Path, stop_after: int = 0) -> dict[str, Any]:
    """Train one of the recipes and return what this process saw of it."""
    config, source = RECIPES[name]
    recorder = Recorder()
    with patch.object(diffusion, "load_batch", recorder):
        opening = diffusion.open_training(config, source, folder / name, device="cpu")
        progress = drive(opening, stop_after=stop_after)
    return {
        "drawn": recorder.drawn,
        "images_seen": progress.images_seen,
        "num_skipped": progress.num_skipped,
        "loss": progress.loss,
    }


def main() -> None:
    folder, processes = Path(sys.argv[1]), Processes.launched()
    gc.disable()  # what is let go of only by chance is still there below
    stop_after = 0 if processes.is_main else STOP_AFTER
    seen = {name: run(name, folder, stop_after if name == "stopped" else 0) for name in RECIPES}
    (folder / f"seen-{processes.index}.json").write_text(json.dumps(seen))
    # One that outlives the process group may abort its process at exit.
    assert not any(isinstance(each, DistributedDataParallel) for each in gc.get_objects())
    processes.leave()


if __name__ == "__main__":
    main()
