"""Two processes that train a classifier stop at the same image, by the same looks."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from gravlensdiffusion.config.classifier import ClassifierTraining
from gravlensdiffusion.sets.records import SetHeader
from gravlensdiffusion.training.classifier import train_classifier
from tests.launching import torchrun
from tests.sources import ArraySource

pytestmark = pytest.mark.faults


def train(folder: Path) -> None:
    """Train at a rate at which what batches have in common decides on the best look."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(200, 1, 16, 16)).astype(np.float32)
    labels = (np.arange(200) % 2).astype(np.int16)
    images[:, 0, 6:10, 6:10] += 3
    images[labels == 1, 0, 6:10, 6:8] += 0.3
    source = ArraySource(images, labels, SetHeader(class_names=("a", "b")))
    recipe = ClassifierTraining(
        total_images=3200, batch_size=8, check_images=8, patience=4, learning_rate=1e-4
    )
    trained = train_classifier(source, recipe, device="cpu")
    looks = [
        [each["images_seen"], each["held_out_loss"], each["is_best"]] for each in trained.looks
    ]
    (folder / f"looks-{os.environ['RANK']}.json").write_text(json.dumps(looks))


def test_processes_end_together(tmp_path: Path) -> None:
    done = torchrun(2, __file__, tmp_path)
    assert done.returncode == 0, done.stderr
    first, second = (json.loads((tmp_path / f"looks-{k}.json").read_text()) for k in (0, 1))
    assert first == second
    assert first[-1][0] < 3200


if __name__ == "__main__":
    train(Path(sys.argv[1]))
