"""Driving a training as a caller does: stopping it, and looking at it after each step."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar

from gravlensdiffusion.training.counters import Progress
from gravlensdiffusion.training.fit import Training

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
