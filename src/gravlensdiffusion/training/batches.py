"""Which image, noise level, noise and label the i-th training image gets, of a set or of a simulation.

All of it depends on (seed, i) and the size of the set and of a batch alone, so a broken run, or one
split over several processes, sees the same as an unbroken one.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from functools import lru_cache
from tempfile import TemporaryFile

import numpy as np
import torch
from joblib import cpu_count
from numpy.typing import NDArray
from torch import Tensor

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.config.bounds import UNLABELLED
from gravlensdiffusion.config.training import DistillationConfig, TrainingConfig
from gravlensdiffusion.diffusion.randomness import Stream, Streams, generator
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.model.build import Model
from gravlensdiffusion.presets.parameters import DERIVED
from gravlensdiffusion.sets.images import Indices, as_indices
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.sets.training_set import TrainingSet
from gravlensdiffusion.simulation.simulated_set import SimulatedSet, simulate
from gravlensdiffusion.training.augment import augment

PREFIX = "preset:"
"""What the name of a simulation preset follows where a data set is named."""
NUM_MEASURED = 4096
"""First images, on which all that a model takes from its training set is measured."""


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
    """Return where the i-th training images, ``(B,)``, stand in the set: a new shuffle in every epoch."""
    shuffles = {epoch: _shuffle(seed, epoch, num_images) for epoch in set(counts // num_images)}
    return np.array([shuffles[i // num_images][i % num_images] for i in counts])


@lru_cache(maxsize=2)
def _shuffle(seed: int, epoch: int, num_images: int) -> NDArray[np.int64]:
    return generator(seed, int(epoch), Stream.TRAIN_ORDER).permutation(num_images)


class FreshSet(SimulatedSet):
    """The first images of a simulation that goes on for as long as the training does.

    Image i of the training is image i of the simulation, whatever the length of the run. The first
    images are simulated once, and kept in a file without a name.

    Args:
        lenses: The first images.
        twins: Whether the training is on noise-free twins; then the images are read as these.
    """

    def __init__(self, lenses: SimulatedSet, *, twins: bool) -> None:
        super().__init__(lenses.config, lenses.numbers, lenses.seed)
        self._twins = twins
        self._places = np.arange(len(self.header.class_names))
        with TemporaryFile() as file:  # it lives as long as the array that maps it
            kept = np.memmap(file, np.float32, "w+", shape=self.shape)
        values = {name: np.full(len(self), np.nan) for name in self.header.parameter_units}
        for k, record in enumerate(lenses.records()):
            kept[k] = record.noise_free if twins else record.image
            for name, value in record.parameters.items():
                values[name][k] = value
        self._kept, self.parameters = kept, values

    @classmethod
    def open(cls, name: str, config: TrainingConfig | None) -> "FreshSet":
        """Return the simulation that a recipe trains on, at its size and with the recipe's seed.

        Raises:
            GravLensError: If there is no such preset, no recipe, or one that needs a set with an end.
        """
        if config is None:
            raise GravLensError(f"`data` {name} needs a `preset`, whose size and seed it has")
        if config.early_stopping.held_out:
            raise GravLensError(
                "each simulated image is seen once, so that `held_out` has nothing to do"
            )
        if not config.total_images:
            raise GravLensError("a simulation has no end, so that `epochs` has no length")
        is_split = config.noise == "split"
        lenses = simulate(
            name.removeprefix(PREFIX),
            NUM_MEASURED,
            config.seed,
            size=config.size,
            noise_free=is_split or None,
            flux_unit="e-/s" if is_split else None,
            num_jobs=cpu_count(),
        )
        return cls(lenses, twins=is_split)

    def read(self, indices: Indices) -> NDArray[np.float32]:
        """Return images, shape ``(B, 1, H, W)``."""
        return np.array(self._kept[as_indices(indices, len(self))])

    read_noise_free = read

    def with_classes(self, names: Iterable[str]) -> "LensSet":
        """Return the images, those to come too, with these classes; see `LensSet.with_classes`."""
        view = super().with_classes(names)
        if view is self:
            return self
        own, kept = self.header.class_names, view.header.class_names
        places = [kept.index(name) if name in kept else UNLABELLED for name in own]
        fresh = copy(self)
        fresh.header, fresh.labels = view.header, view.labels
        fresh._places = np.array([*places, UNLABELLED])[self._places]
        return fresh

    def take(
        self, numbers: NDArray[np.int64], parameters: tuple[str, ...]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Simulate images of some numbers, shape ``(B,)``.

        Returns:
            Images ``(B, 1, H, W)``, float32; classes ``(B,)``, int64; of the P parameters that are
            named the values ``(B, P)``, float64, NaN where an image has none.
        """
        records = list(self.simulated([int(number) for number in numbers]))
        images = [each.noise_free if self._twins else each.image for each in records]
        values = [[each.parameters.get(name, np.nan) for name in parameters] for each in records]
        return (
            torch.from_numpy(np.array(images, np.float32)),
            torch.from_numpy(self._places[[each.label for each in records]]),
            torch.tensor(values, dtype=torch.float64).reshape(len(records), len(parameters)),
        )

    def conditions(self, numbers: range, parameters: tuple[str, ...]) -> NDArray[np.float64]:
        """Simulate images and return what they are: class and P parameters, shape ``(B, 1 + P)``."""
        found = [
            [self._places[each.label], *(each.parameters.get(name, np.nan) for name in parameters)]
            for each in self.simulated(numbers)
        ]
        return np.array(found, np.float64).reshape(len(numbers), 1 + len(parameters))


def load_batch(
    data: TrainingSet,
    config: TrainingConfig,
    counts: NDArray[np.int64],
    conditional: bool,
    fresh: FreshSet | None = None,
) -> Batch:
    """Assemble the training images number ``counts``, ``(B,)``, a part of one batch of the whole run.

    They are those of the training set, or of a simulation, for a model that is conditional or not.
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
        condition = hidden_in_part(labels, values, config.parameters, config, streams)
    return Batch(flux, u, eps, condition)


def hidden_in_part(
    labels: Tensor,
    values: Tensor,
    names: Sequence[str],
    config: TrainingConfig | DistillationConfig,
    streams: Streams,
) -> Condition:
    """Return labels ``(B,)`` and parameters ``(B, P)`` of which a recipe hides some, one by one or all of an image."""
    is_hidden = streams.uniform(Stream.TRAIN_CONDITION) < config.label_dropout
    labels = labels.masked_fill(is_hidden, UNLABELLED)
    num = values.shape[1]
    if not num:
        return Condition(label=labels)
    u = streams.uniform(Stream.TRAIN_CONDITION, (num + 1,), draw=1)
    alone = config.parameter_dropout
    derived = max(alone, config.derived_dropout)
    shares = torch.tensor([derived if name in DERIVED else alone for name in names])
    are_hidden = (u[:, :1] < config.parameters_dropout) | (u[:, 1:] < shares)
    return Condition(label=labels, parameters=values.masked_fill(are_hidden, torch.nan))


class Prefetcher:
    """Batches that threads assemble while the steps before them are taken.

    Args:
        load: Assembles the batch whose first image has a given number.
        stride: Images from one batch to the next.
        num_ahead: Batches, and threads, ahead of the one that is asked for; 0 for none.
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
