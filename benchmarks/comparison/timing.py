"""Time of a training step and of an image of every arm, taken in turns in one process."""

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from comparison.drawing import Sampler, open_samplers
from comparison.sessions import open_session
from comparison.settings import Options, bundled_arms, chosen_arms, write_piece
from comparison.training import kept_shares

SLOW_STEPS = 5
"""Steps of a walk of 1000 that are timed."""
TRAINING_STEPS = 10
"""Training steps of a round."""
NUM_TIMED = 20
"""Images of a batch that is timed, where an arm's own batches are larger."""

Task = Callable[[], tuple[float, float]]
"""Returns seconds, and the images or share of an image that they made."""


def time_all(options: Options) -> None:
    """Time everything in turns, and keep seconds per image."""
    torch.set_num_threads(options.threads)
    tasks: dict[str, Task] = {}
    steps: dict[str, int] = {}
    for arm in [*chosen_arms(options), *bundled_arms(options)]:
        is_trained_here = arm in chosen_arms(options)
        # How long an image takes does not depend on how long the network was trained.
        kept = kept_shares(options, arm) if is_trained_here else [1.0]
        if not kept:
            continue
        for name, sampler in open_samplers(options, arm, kept[-1]).items():
            tasks[f"sample:{arm}:{name}"] = sampling_task(options, sampler)
            steps[f"sample:{arm}:{name}"] = sampler.steps
        if is_trained_here and "@" not in arm:
            tasks[f"train:{arm}"] = training_task(options, arm)
    seconds = in_turns(tasks, options.rounds)
    found: dict[str, Any] = {"threads": options.threads, "rounds": options.rounds, "tasks": {}}
    for name, values in seconds.items():
        row: dict[str, Any] = {"s_per_image": statistics.median(values), "all": values}
        found["tasks"][name] = row | ({"steps": steps[name]} if name in steps else {})
    write_piece(options.out / "timing" / "timing.json", found)


def in_turns(tasks: dict[str, Task], rounds: int) -> dict[str, list[float]]:
    """Return seconds per image of every round, after one that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for k in range(rounds + 1):
        for name, task in tasks.items():
            spent, images = task()
            if k:
                seconds[name].append(spent / images)
        print(f"timing: round {k} of {rounds}", flush=True)
    return seconds


def sampling_task(options: Options, sampler: Sampler) -> Task:
    """Return a task that draws a batch, or takes a few steps of a long walk.

    The time of a step counts as many times as there are steps.
    """
    num = min(sampler.batch_size, 2 if options.quick else NUM_TIMED)
    if not sampler.is_stepwise:

        def whole() -> tuple[float, float]:
            started = time.perf_counter()
            sampler.draw(num, options.seed)
            return time.perf_counter() - started, num

        return whole

    def some_steps() -> tuple[float, float]:
        walk: Iterator[Any] = sampler.walk(num, options.seed)
        next(walk)
        next(walk)
        taken = SLOW_STEPS if sampler.is_slow else sampler.steps - 2
        started = time.perf_counter()
        count = sum(1 for _ in itertools.islice(walk, taken))
        return time.perf_counter() - started, num * count / sampler.steps

    return some_steps


def training_task(options: Options, arm: str) -> Task:
    """Return a task that takes training steps, which are not kept."""
    session = open_session(options, arm)
    steps = 1 if options.quick else TRAINING_STEPS

    def train() -> tuple[float, float]:
        started = time.perf_counter()
        for _ in range(steps):
            session.step(0.5)
        return time.perf_counter() - started, steps * session.batch_size

    return train
