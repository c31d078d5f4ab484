"""Images that are never trained on: which they are, and their loss."""

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.config.training import TrainingConfig
from gravlensdiffusion.diffusion.randomness import Stream, Streams, generator
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.model.build import Model
from gravlensdiffusion.sets.copies import group, sign
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.sets.training_set import TrainingSet
from gravlensdiffusion.training.batches import Batch

NUM_DRAWS = 1024
"""Draws of noise that a validation loss is a mean of, at least."""
MIN_PER_CLASS = 5
"""Original images that each class of a classifier needs at least."""
CHUNK = 64
"""Draws that go through the network at once."""
TIME, NOISE, PLACES = 1, 2, 3
"""Draws of the stream; the choice of images is draw 0."""


def _hold_out(
    classes: Iterable[NDArray[np.integer]], groups: NDArray[np.int64], share: float
) -> NDArray[np.bool_]:
    """Choose the images to hold out, whether each is one or a copy of one, the same share of each class.

    Of a class with two different images or more at least one is held out and one is not. The images
    of a class stand by their positions, in the order in which they are taken.
    """
    held = np.empty(0, np.int64)
    for members in classes:
        own = groups[members]
        own = own[np.sort(np.unique(own, return_index=True)[1])]
        num = min(max(round(share * len(own)), 1), len(own) - 1)
        # What copies of other classes have taken along counts.
        missing = num - int(np.isin(own, held).sum())
        held = np.append(held, own[~np.isin(own, held)][: max(missing, 0)])
    return np.isin(groups, held)


def _choose_validation(
    labels: NDArray[np.integer], share: float, seed: int, groups: NDArray[np.int64] | None = None
) -> NDArray[np.bool_]:
    """Choose the validation images of a diffusion model, where images without a class count as a class.

    Raises:
        GravLensError: If no class has two different images, or all images would be held out.
    """
    groups = np.arange(len(labels)) if groups is None else groups
    order = generator(seed, 0, Stream.HELD_OUT).permutation(len(labels))
    classes = (order[labels[order] == label] for label in np.unique(labels))
    held_out = _hold_out(classes, groups, share)
    if not held_out.any() or held_out.all():
        different = "" if len(np.unique(groups)) == len(groups) else "different "
        raise GravLensError(
            f"no class has two {different}images, so that none can be held out; use `held_out` 0"
        )
    return held_out


def split_validation(
    config: TrainingConfig, data: TrainingSet, names: Sequence[str]
) -> tuple[TrainingSet, TrainingSet | None]:
    """Return the images to train on, and those that are held out, if any; see `_choose_validation`.

    Where each comes from, which `names` say, tells bands of one object.
    """
    share = config.early_stopping.held_out
    if not share:
        return data, None
    copies = group([sign(data.images.blocks())], names)
    held_out = _choose_validation(data.labels, share, config.seed, copies.groups)
    return data.select(np.flatnonzero(~held_out)), data.select(np.flatnonzero(held_out))


def split(
    data: LensSet, share: float, seed: int, groups: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide a set into positions to train on and positions held out, both increasing.

    The same share of the originals of each class is held out, one image at least. It depends on
    the seed and on the originals alone, so that adding generated images leaves it as it is. Of the
    copies of an image that is held out, one of each class judges and the others are left out.

    Images with label -1 are left out, and generated ones train and never judge. Copies are known by
    the number of their group, ``(N,)``.

    Raises:
        GravLensError: If a class has fewer than `MIN_PER_CLASS` different original images, or none is left
            to train on.
    """
    groups = np.arange(len(data)) if groups is None else groups
    labels, names, is_original = data.labels, data.header.class_names, ~data.is_generated
    classes = [np.flatnonzero((labels == label) & is_original) for label in range(len(names))]
    for own, name in zip(classes, names, strict=True):
        num_different = len(np.unique(groups[own]))
        if num_different < MIN_PER_CLASS:
            different = "" if num_different == len(own) else "different "
            raise GravLensError(
                f"class '{name}' has {num_different} {different}original images; a classifier needs "
                f"{MIN_PER_CLASS} of each class, part of which it is judged by"
            )
    rng = np.random.default_rng([seed, 0x5E1D])
    is_held = _hold_out((rng.permutation(own) for own in classes), groups, share)
    judges = np.flatnonzero(is_held & (labels >= 0) & is_original)
    pairs = np.stack([groups[judges], labels[judges]])
    held_out = judges[np.sort(np.unique(pairs, axis=1, return_index=True)[1])]
    trained_on = np.flatnonzero((labels >= 0) & ~is_held)
    for name in data.select(trained_on).absent_classes:
        raise GravLensError(
            f"all images of class '{name}' are copies of held-out images, so that none is left to "
            "train on"
        )
    return trained_on, held_out


class ValidationLoss:
    """The loss of images that are not trained on, always with the same noise.

    Every image is seen at as many noise levels as it takes to make ``num_draws``, by default
    `NUM_DRAWS`, in all, spread evenly for each image and over all of them. Nothing is hidden and
    nothing is turned. Where two measurements differ, the weights do.
    """

    def __init__(
        self, data: TrainingSet, seed: int, is_conditional: bool, num_draws: int | None = None
    ) -> None:
        self._data, self._seed, self._is_conditional = data, seed, is_conditional
        self._rounds = math.ceil((num_draws or NUM_DRAWS) / len(data))
        source = generator(seed, 0, Stream.HELD_OUT, PLACES)
        self._places = source.permutation(len(data))

    @property
    def num_draws(self) -> int:
        """Number of draws in all."""
        return self._rounds * len(self._data)

    @torch.no_grad()
    def total(self, model: Model, first: int = 0, step: int = 1) -> Tensor:
        """Return the sum of the losses of each `step`-th chunk, float64 of shape ``()``; others do the rest."""
        device = model.transform.mean.device
        total = torch.zeros((), dtype=torch.float64, device=device)
        for batch in self._batches(first, step):
            total += model.denoiser.loss(*batch.inputs(model, device)).double().sum()
        return total

    def _batches(self, first: int, step: int) -> Iterator[Batch]:
        num = len(self._data)
        for low in range(first * CHUNK, self.num_draws, step * CHUNK):
            draws = np.arange(low, min(low + CHUNK, self.num_draws))
            rounds, rows = np.divmod(draws, num)
            streams = Streams(self._seed, [int(draw) for draw in draws])
            flux = torch.from_numpy(self._data.images[rows])
            within = streams.uniform(Stream.HELD_OUT, draw=TIME)
            # In each round an image has another place among the images, and so another level.
            places = (self._places[rows] + rounds * (num // self._rounds + 1)) % num
            u = (torch.from_numpy(rounds * num + places) + within) / self.num_draws
            eps = streams.normal(Stream.HELD_OUT, tuple(flux.shape[1:]), draw=NOISE)
            condition = None
            if self._is_conditional:
                values = torch.from_numpy(self._data.parameters[rows])
                condition = Condition(
                    label=torch.from_numpy(self._data.labels[rows]),
                    parameters=values if values.shape[1] else None,
                )
            yield Batch(flux, u, eps, condition)
