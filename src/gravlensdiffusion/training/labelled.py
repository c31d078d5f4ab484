"""Labelled images for a classifier: which of them train, and which judge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.errors import GravLensError

MIN_PER_CLASS = 5
"""Original images that each class needs at least."""


class Images(Protocol):
    """Images that are read by position: an array, or a file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """``(N, C, S, S)``."""

    def __getitem__(self, where: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return images, shape ``(B, C, S, S)``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledSet:
    """Images with their classes.

    Attributes:
        images: Flux, float32 of shape ``(N, C, S, S)``.
        labels: Class of each image, from 0, shape ``(N,)``; images with -1 are left out.
        class_names: Names of the classes.
        is_generated: Which images a model has made, shape ``(N,)``; they train and never judge.
        groups: Number of the group of copies of each image, shape ``(N,)``; None where all differ.
    """

    images: Images
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    is_generated: NDArray[np.bool_]
    groups: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        if not len(self.labels) == len(self.is_generated) == self.images.shape[0]:
            raise GravLensError("a labelled set needs one label and one flag per image")

    def counts(self) -> dict[str, int]:
        """Return the number of images of each class."""
        found = np.bincount(self.labels[self.labels >= 0], minlength=len(self.class_names))
        return {name: int(num) for name, num in zip(self.class_names, found, strict=True)}


def split(
    data: LabelledSet, share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide a set into positions to train on and positions held out, both increasing.

    The same share of the originals of each class is held out, one image at least. It depends on
    the seed and on the originals alone, so that adding generated images leaves it as it is. Of the
    copies of an image that is held out, one of each class judges and the others are left out.

    Args:
        data: The set.
        share: Share of the originals to hold out.
        seed: Seed.

    Raises:
        GravLensError: If a class has fewer than `MIN_PER_CLASS` different original images, or none is left to
            train on.
    """
    rng = np.random.default_rng([seed, 0x5E1D])
    groups = np.arange(len(data.labels)) if data.groups is None else data.groups
    held = np.empty(0, np.int64)
    for label, name in enumerate(data.class_names):
        own = np.flatnonzero((data.labels == label) & ~data.is_generated)
        num_different = len(np.unique(groups[own]))
        if num_different < MIN_PER_CLASS:
            different = "" if num_different == len(own) else "different "
            raise GravLensError(
                f"class '{name}' has {num_different} {different}original images; a classifier needs "
                f"{MIN_PER_CLASS} of each class, part of which it is judged by"
            )
        num = min(max(1, round(share * num_different)), num_different - 1)
        order = groups[rng.permutation(own)]
        order = order[np.sort(np.unique(order, return_index=True)[1])]
        # What copies of other classes have taken along counts.
        missing = num - int(np.isin(order, held).sum())
        held = np.append(held, order[~np.isin(order, held)][: max(missing, 0)])
    is_held = np.isin(groups, held)
    judges = np.flatnonzero(is_held & (data.labels >= 0) & ~data.is_generated)
    pairs = np.stack([groups[judges], data.labels[judges]])
    held_out = judges[np.sort(np.unique(pairs, axis=1, return_index=True)[1])]
    trained_on = np.flatnonzero((data.labels >= 0) & ~is_held)
    for label in set(range(len(data.class_names))) - set(data.labels[trained_on].tolist()):
        raise GravLensError(
            f"all images of class '{data.class_names[label]}' are copies of held-out images, so that "
            "none is left to train on"
        )
    return trained_on, held_out


def merge(
    names: Sequence[str], labels: NDArray[np.integer], merged: Mapping[str, str]
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Count classes as others.

    Args:
        names: Names of the classes.
        labels: Class of each image, shape ``(N,)``; -1 where it is not known.
        merged: The class that a class is counted as, by its name.

    Returns:
        The names that remain, in the order of their first appearance, and the new labels.

    Raises:
        GravLensError: If a class is not known.
    """
    unknown = [name for name in merged if name not in names]
    if unknown:
        raise GravLensError(f"no class '{unknown[0]}' to merge; there are: {', '.join(names)}")
    targets = [merged.get(name, name) for name in names]
    kept = tuple(dict.fromkeys(targets))
    table = np.array([*(kept.index(target) for target in targets), -1], dtype=np.int64)
    return kept, table[np.asarray(labels, dtype=np.int64)]
