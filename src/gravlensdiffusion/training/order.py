"""Which image, noise level, noise and label the i-th training image gets.

All of it depends on (seed, i) and the size of the set and of a batch alone, so a broken run, or one
split over several processes, sees the same as an unbroken one.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gravlensdiffusion.conditioning import ANY, Condition
from gravlensdiffusion.config.training import TrainingConfig
from gravlensdiffusion.data.dataset import PreparedSet
from gravlensdiffusion.diffusion.randomness import Stream, Streams, generator


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step trains on.

    Attributes:
        flux: Images, ``(B, C, H, W)``, in the flux unit of the set.
        u: Uniform numbers from which the denoiser takes its times, ``(B,)``.
        eps: Standard normal noise, ``(B, C, H, W)``.
        condition: Classes, some of them hidden; None for an unconditional model.
    """

    flux: Tensor
    u: Tensor
    eps: Tensor
    condition: Condition | None


def positions(seed: int, counts: NDArray[np.int64], num_images: int) -> NDArray[np.int64]:
    """Return where the i-th training images stand in the set: a new shuffle in every epoch.

    Args:
        seed: Seed of the run.
        counts: Numbers i, shape ``(B,)``, counted from 0 over the whole run.
        num_images: Size N of the set.
    """
    shuffles = {epoch: _shuffle(seed, epoch, num_images) for epoch in set(counts // num_images)}
    return np.array([shuffles[i // num_images][i % num_images] for i in counts])


@lru_cache(maxsize=2)
def _shuffle(seed: int, epoch: int, num_images: int) -> NDArray[np.int64]:
    return generator(seed, int(epoch), Stream.TRAIN_ORDER).permutation(num_images)


def draw_batch(
    data: PreparedSet, config: TrainingConfig, counts: NDArray[np.int64], conditional: bool
) -> Batch:
    """Assemble the training images number ``counts``.

    Args:
        data: The training set.
        config: Seed, batch size and label dropout.
        counts: Numbers i, shape ``(B,)``; a part of one batch of the whole run.
        conditional: Whether the model knows classes.
    """
    where = positions(config.seed, counts, len(data))
    flux = torch.from_numpy(np.ascontiguousarray(data.images[where]))
    streams = Streams(config.seed, [int(i) for i in counts])
    u = streams.uniform(Stream.TRAIN_TIME)
    if config.stratified_times:
        u = (torch.from_numpy(counts % config.batch_size) + u) / config.batch_size
    eps = streams.normal(Stream.TRAIN_NOISE, tuple(flux.shape[1:]))
    condition = None
    if conditional:
        hidden = streams.uniform(Stream.TRAIN_CONDITION) < config.label_dropout
        label = torch.from_numpy(data.labels[where])
        condition = Condition(label=label.masked_fill(hidden, ANY))
    return Batch(flux, u, eps, condition)
