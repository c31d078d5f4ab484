"""Which image, noise level, noise and label the i-th training image gets.

All of it depends on (seed, i) and the size of the set and of a batch alone, so a broken run, or one
split over several processes, sees the same as an unbroken one.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.config.bounds import UNLABELLED
from gravlensdiffusion.config.training import DistillationConfig, TrainingConfig
from gravlensdiffusion.diffusion.randomness import Stream, Streams, generator
from gravlensdiffusion.model.build import Model
from gravlensdiffusion.presets.parameters import DERIVED
from gravlensdiffusion.sets.training_set import TrainingSet
from gravlensdiffusion.training.augment import augment
from gravlensdiffusion.training.fresh import FreshSet


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step trains on.

    Attributes:
        flux: Images, ``(B, C, H, W)``, in the flux unit of the set.
        u: Uniform numbers from which the denoiser takes its times, ``(B,)``.
        eps: Standard normal noise, ``(B, C, H, W)``.
        condition: Classes and parameters, some of them hidden; None for an unconditional model.
    """

    flux: Tensor
    u: Tensor
    eps: Tensor
    condition: Condition | None

    def inputs(
        self, model: Model, device: torch.device
    ) -> tuple[Tensor, Tensor, Tensor, Condition | None]:
        """Return what the loss of a model takes: images as it sees them, times, noise, condition."""
        layout = torch.channels_last
        x = model.transform(self.flux.to(device)).to(memory_format=layout)
        t = model.denoiser.sample_t(self.u).to(device)
        eps = self.eps.to(device, memory_format=layout)
        return x, t, eps, None if self.condition is None else self.condition.to(device)


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


def load_batch(
    data: TrainingSet,
    config: TrainingConfig,
    counts: NDArray[np.int64],
    conditional: bool,
    fresh: FreshSet | None = None,
) -> Batch:
    """Assemble the training images number ``counts``.

    Args:
        data: The training set.
        config: Seed, batch size and how often conditions are hidden.
        counts: Numbers i, shape ``(B,)``; a part of one batch of the whole run.
        conditional: Whether the model knows classes or parameters.
        fresh: Where images come from that are simulated; None for those of the training set.
    """
    if fresh is None:
        where = positions(config.seed, counts, len(data))
        flux = torch.from_numpy(data.images[where])
        labels = torch.from_numpy(data.labels[where])
        values = torch.from_numpy(data.parameters[where])
    else:
        flux, labels, values = fresh.take(counts, config.parameters)
    streams = Streams(config.seed, [int(i) for i in counts])
    if config.augment != "none":
        columns = dict(zip(config.parameters, values.T, strict=True))
        turn = streams.uniform(Stream.TRAIN_AUGMENT)
        flux, columns = augment(config.augment, flux, columns, turn)
        values = torch.stack(list(columns.values()), dim=1) if columns else values
    u = streams.uniform(Stream.TRAIN_TIME)
    if config.stratified_times:
        u = (torch.from_numpy(counts % config.batch_size) + u) / config.batch_size
    eps = streams.normal(Stream.TRAIN_NOISE, tuple(flux.shape[1:]))
    condition = None
    if conditional:
        hidden = streams.uniform(Stream.TRAIN_CONDITION) < config.label_dropout
        label = labels.masked_fill(hidden, UNLABELLED)
        parameters = hide_parameters(values, config.parameters, config, streams)
        condition = Condition(label=label, parameters=parameters)
    return Batch(flux, u, eps, condition)


def hide_parameters(
    values: Tensor,
    names: Sequence[str],
    config: TrainingConfig | DistillationConfig,
    streams: Streams,
) -> Tensor | None:
    """Return parameters with NaN where hidden: one by one, or all of an image.

    Args:
        values: Shape ``(B, P)``.
        names: Names of the parameters.
        config: How often.
        streams: Random numbers of the batch.

    Returns:
        Shape ``(B, P)``; None where there are no parameters.
    """
    num = values.shape[1]
    if not num:
        return None
    u = streams.uniform(Stream.TRAIN_CONDITION, (num + 1,), draw=1)
    alone = config.parameter_dropout
    derived = max(alone, config.derived_dropout)
    shares = torch.tensor([derived if name in DERIVED else alone for name in names])
    hidden = (u[:, :1] < config.parameters_dropout) | (u[:, 1:] < shares)
    return values.masked_fill(hidden, torch.nan)


class Prefetcher:
    """Batches that threads assemble while the steps before them are taken.

    Args:
        load: Assembles the batch whose first image has a given number.
        stride: Images from one batch to the next.
        num_ahead: Batches, and threads, ahead of the one that is asked for; 0 for no threads.
    """

    def __init__(self, load: Callable[[int], Batch], stride: int, num_ahead: int) -> None:
        self._load, self._stride, self._num_ahead = load, stride, num_ahead
        self._pool = ThreadPoolExecutor(num_ahead) if num_ahead else None
        self._waiting: dict[int, Future[Batch]] = {}

    def take(self, first: int) -> Batch:
        """Return the batch that begins with image ``first``, or raise what its drawing raised."""
        if self._pool is None:
            return self._load(first)
        for k in range(self._num_ahead + 1):
            place = first + k * self._stride
            if place not in self._waiting:
                self._waiting[place] = self._pool.submit(self._load, place)
        return self._waiting.pop(first).result()

    def close(self) -> None:
        """Stop the threads, once they have finished what they have begun."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
