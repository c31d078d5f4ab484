"""Driving a training as a caller does: stopping it, looking at it after each step, and at its end."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file

from gravlensdiffusion.model.folders import checkpoints
from gravlensdiffusion.training.counters import Progress
from gravlensdiffusion.training.fit import Training
from gravlensdiffusion.training.run import read_metrics

T = TypeVar("T", bound=Training)


def drive(
    opening: AbstractContextManager[T],
    *,
    stop_after: int = 0,
    after_step: Callable[[T], object] = lambda _: None,
) -> Progress:
    """Train to the end, or to a number of steps, and return where the training then stands."""
    with opening as training:
        for step, _ in enumerate(training, 1):
            after_step(training)
            if step == stop_after:
                training.stop()
        return training.progress


def final_tensors(run: Path) -> dict[str, torch.Tensor]:
    """Return weights and moving average of a run's last checkpoint."""
    folder = checkpoints(run)[-1].folder
    names = [path.name for path in folder.glob("*.safetensors")]
    return {f"{n}/{k}": v for n in names for k, v in load_file(folder / n).items()}


def assert_ended_alike(first: Path, second: Path, num_losses: int) -> None:
    """Check that two runs have the same last weights, and the same losses on the way, to the bit."""
    tensors, others = final_tensors(first), final_tensors(second)
    assert tensors.keys() == others.keys()
    assert all(torch.equal(tensors[name], others[name]) for name in tensors)
    losses = [[line["loss"] for line in read_metrics(run)] for run in (first, second)]
    assert losses[0] == losses[1]
    assert len(losses[0]) == num_losses
