"""Drawing images with each arm, by each of its samplers, a step at a time."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from running import read_numbers

from comparison.layouts import LAYOUTS, faster_layout
from comparison.peers import PEER_CLASSES
from comparison.settings import (
    PEERS,
    Options,
    base_name,
    bundled_arms,
    most_steps,
)
from comparison.training import snapshot_folder
from gravlensdiffusion.generation.generator import LensGenerator

SLOW = "ddpm-1000"
"""The sampler of 1000 steps, which three arms have."""
SLOW_BATCH, FAST_BATCH = 16, 100
"""Images that are drawn at a time, and kept as one part."""
OWN = "own"
"""The sampler and number of steps that come with a model of ours."""
CURVE_SAMPLERS = {"reference": "ddim-50", "diffusers": "dpmpp-20", "ddpm-pytorch": "ddim-50"}
"""Samplers with which the weights on the way are judged; of ours its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampler:
    """One way to draw with one arm.

    Attributes:
        name: Its name.
        steps: Its steps.
        walk: ``walk(num, seed)`` yields after parts of the way; its last item is the images.
        is_stepwise: Whether the walk yields after every step.
    """

    name: str
    steps: int
    walk: Callable[[int, int], Iterator[Any]]
    is_stepwise: bool = False

    @property
    def is_slow(self) -> bool:
        """Whether it takes a thousand steps."""
        return self.name == SLOW

    @property
    def batch_size(self) -> int:
        """Images at a time."""
        return SLOW_BATCH if self.is_slow else FAST_BATCH

    def draw(self, num: int, seed: int) -> NDArray[np.float32]:
        """Return images, shape ``(num, H, W)``."""
        last = deque(self.walk(num, seed), maxlen=1).pop()
        return np.asarray(last, dtype=np.float32)


def open_samplers(options: Options, arm: str, share: float = 1.0) -> dict[str, Sampler]:
    """Load an arm, as it was after a share of its time, and return its samplers by name."""
    if arm in PEERS:
        return peer_samplers(options, arm, snapshot_folder(options, arm, share))
    known = bundled_arms(options)
    if arm in known:
        model, numbers = known[arm]
        return our_samplers(LensGenerator.from_pretrained(model, device="cpu"), numbers)
    folder = snapshot_folder(options, arm, share)
    generator = LensGenerator.from_pretrained(folder, device="cpu")
    if arm == "reference":
        return reference_samplers(generator, most_steps(options))
    return our_samplers(generator, our_numbers(options))


def sampler_names(options: Options, arm: str) -> list[str]:
    """Return the names of an arm's samplers, the fastest first, without loading it."""
    if base_name(arm) in CURVE_SAMPLERS:
        extra = ["ddim-50"] if arm == "diffusers" else []
        return [CURVE_SAMPLERS[arm], *extra, SLOW]
    known = bundled_arms(options)
    numbers = known[arm][1] if arm in known else our_numbers(options)
    return [OWN, *(f"steps-{number}" for number in numbers)]


def our_numbers(options: Options) -> tuple[int, ...]:
    """Return the numbers of steps of ours beside its own."""
    return tuple(read_numbers(options.our_steps, "--our-steps", int))


def peer_samplers(options: Options, arm: str, folder: Path) -> dict[str, Sampler]:
    """Return the samplers of another package."""
    peer = PEER_CLASSES[arm](LAYOUTS[faster_layout(options, arm, "sample")])
    peer.load_averaged(torch.load(folder / "weights.pt", weights_only=True))
    found = {}
    for name, (steps, walk) in peer.samplers(most_steps(options)).items():

        def seeded(num: int, seed: int, walk: Any = walk) -> Iterator[Any]:
            torch.manual_seed(seed)
            return walk(num)

        stepwise = (arm, name) != ("ddpm-pytorch", "ddim-50")
        found[name] = Sampler(name=name, steps=steps, walk=seeded, is_stepwise=stepwise)
    return found


def our_samplers(generator: LensGenerator, numbers: tuple[int, ...]) -> dict[str, Sampler]:
    """Return the sampler of a model of ours with its own and other numbers of steps.

    Images get the noise of the instrument where the model has learned lenses without it, and each
    is scaled to [0, 1].
    """
    found = {}
    for number in (None, *numbers):
        _, steps = generator.sampling(None, number)

        def walk(num: int, seed: int, number: int | None = number) -> Iterator[Any]:
            samples = generator.sample(num, seed=seed, num_steps=number, flux_unit="peak")
            yield samples.images[:, 0]

        name = OWN if number is None else f"steps-{number}"
        found[name] = Sampler(name=name, steps=steps, walk=walk)
    return found


def reference_samplers(generator: LensGenerator, most: int) -> dict[str, Sampler]:
    """Return ancestral sampling, which the reference has, and DDIM, which it would allow."""
    found = {}
    for name, sampler, number in (("ddim-50", "ddim", 50), (SLOW, "ddpm", 1000)):
        steps = min(number, most)

        def walk(num: int, seed: int, sampler: str = sampler, steps: int = steps) -> Iterator[Any]:
            request = generator.request(num, seed=seed, sampler=sampler, num_steps=steps)
            for frame in generator.trajectory(request):
                yield generator.to_flux(frame.x_t)[:, 0]

        found[name] = Sampler(name=name, steps=steps, walk=walk, is_stepwise=True)
    return found
