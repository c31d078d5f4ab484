"""Random numbers that belong to an image, not to a batch.

The numbers of draw d of stream s for image k depend on (seed, k, s, d) alone: they come from the
counter-based generator Philox, whose key is (seed, k) and whose counter starts at (s, d). Batch
size, order, workers and devices change nothing. They are made on the CPU in single precision.

References:
    Salmon, Moraes, Dror and Shaw 2011, Parallel random numbers: as easy as 1, 2, 3, SC'11.
"""

import math
from collections.abc import Sequence
from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

from gravlensdiffusion.errors import GravLensError


class Stream(IntEnum):
    """What random numbers are for. Values are part of a seed's meaning: never renumber."""

    PRIOR = 0
    """The noise that sampling starts from."""
    SAMPLER = 1
    """Noise added between sampling steps; draw i belongs to step i."""
    TRAIN_TIME = 2
    """Noise level of a training image."""
    TRAIN_NOISE = 3
    """Noise of a training image."""
    TRAIN_CONDITION = 4
    """Which conditions are left out in training."""
    TRAIN_AUGMENT = 5
    """Flips and rotations in training."""
    TRAIN_ORDER = 7
    """Order of the training images in an epoch."""
    LABEL = 6
    """Class of a sample where it is drawn."""
    ORDER = 8
    """Physical parameters of a sample where they are drawn from ranges."""
    CONDITION = 9
    """Physical parameters of a sample that are not asked for."""
    OBSERVATION = 10
    """Noise of the instrument."""
    HELD_OUT = 11
    """Which images are held out (draw 0), and noise levels and noise of their loss."""
    EXTREMES = 12
    """Image of a peak-scaled set whose faintest and brightest pixel a generated image takes."""


def generator(seed: int, index: int, stream: int, draw: int = 0) -> np.random.Generator:
    """Return the generator of one draw of one image.

    Args:
        seed: Seed, from 0 to 2^64 - 1.
        index: Number k of the image, from 0 to 2^64 - 1.
        stream: What the numbers are for, one of `Stream`.
        draw: Number of the draw within the stream.

    Raises:
        GravLensError: If the seed or the index is out of range.
    """
    if not 0 <= seed < 2**64 or not 0 <= index < 2**64:
        raise GravLensError(
            f"seed and image number must lie from 0 to 2^64 - 1, got {seed} and {index}"
        )
    # The counter's lowest word counts blocks of four numbers within one draw, so draws never meet.
    key = np.array([seed, index], dtype=np.uint64)
    counter = np.array([0, 0, draw, stream], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


class Streams:
    """The random numbers of a batch of images.

    Args:
        seed: Seed, from 0 to 2^64 - 1.
        indices: Number k of each image, length B.
    """

    def __init__(self, seed: int, indices: Sequence[int]) -> None:
        self.seed = int(seed)
        self.indices = [int(index) for index in indices]

    def __len__(self) -> int:
        return len(self.indices)

    def normal(self, stream: int, shape: Sequence[int], *, draw: int = 0) -> Tensor:
        """Return standard normal numbers, float32 on the CPU, shape ``(B, *shape)``."""
        numbers = np.empty((len(self), *shape), dtype=np.float32)
        for index, row in zip(
            self.indices, numbers.reshape(len(self), math.prod(shape)), strict=True
        ):
            source = generator(self.seed, index, stream, draw)
            source.standard_normal(out=row, dtype=np.float32)
        return torch.from_numpy(numbers)

    def uniform(self, stream: int, shape: Sequence[int] = (), *, draw: int = 0) -> Tensor:
        """Return numbers uniform in [0, 1), float64 on the CPU, shape ``(B, *shape)``."""
        numbers = np.empty((len(self), *shape))
        for position, index in enumerate(self.indices):
            numbers[position] = generator(self.seed, index, stream, draw).random(tuple(shape))
        return torch.from_numpy(numbers)
