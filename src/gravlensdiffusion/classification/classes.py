"""The classes of a set as a classifier counts them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.lens_set import LensSet


@dataclass(frozen=True, kw_only=True, slots=True)
class Classes:
    """Who belongs to which class.

    Attributes:
        names: Names of the classes that have images.
        labels: Class of each image, shape ``(N,)``; -1 where it is not known.
        is_generated: Which images a model has made, shape ``(N,)``.
        merged: Class of the set, and the class that it counts as, where some were merged.
        notes: What a reader should know, one sentence each.
    """

    names: tuple[str, ...]
    labels: NDArray[np.int64]
    is_generated: NDArray[np.bool_]
    merged: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def read_classes(source: LensSet, merged: Mapping[str, str]) -> Classes:
    """Return the classes of a set, those without images left out.

    Args:
        source: The set.
        merged: The class that a class is counted as, by its name.

    Raises:
        GravLensError: If the set has no classes, one of those to merge is not known, or fewer than
            two are left.
    """
    own = source.header.class_names
    labels = np.asarray(source.labels, dtype=np.int64)
    if not own or (labels < 0).all():
        raise GravLensError(
            "the images have no classes: put them into one folder per class, or into an HDF5 file "
            "with labels"
        )
    names, labels = merge(own, labels, merged)
    counts = np.bincount(labels[labels >= 0], minlength=len(names))
    notes = []
    num_unknown = int(np.count_nonzero(labels < 0))
    if num_unknown:
        images = (
            "image of no known class was" if num_unknown == 1 else "images of no known class were"
        )
        notes.append(f"{num_unknown:,} {images} left out")
    empty = [name for name, count in zip(names, counts, strict=True) if not count]
    if empty:
        notes.append(f"no image belongs to {', '.join(empty)}, which is left out")
        table = np.append(np.where(counts > 0, np.cumsum(counts > 0) - 1, -1), -1)
        names, labels = tuple(name for name in names if name not in empty), table[labels]
    if len(names) < 2:
        raise GravLensError(f"all images belong to one class, {names[0]}; a classifier needs two")
    return Classes(
        names=names,
        labels=labels,
        is_generated=source.is_generated,
        merged=tuple((old, new) for old, new in merged.items() if old != new),
        notes=tuple(notes),
    )


def classes_known_to(
    names: Sequence[str], merged: Iterable[tuple[str, str]], source: LensSet
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the class of each image in a classifier's own numbers, shape ``(N,)``.

    Args:
        names: Classes of the classifier.
        merged: Class of a set, and the class that it counts as.
        source: The set.

    Returns:
        The classes, -1 where one is not known; and the names of classes of the set that have images
        and that the classifier does not know.
    """
    counted_as = dict(merged)
    own = source.header.class_names
    labels = np.asarray(source.labels, dtype=np.int64)
    targets = [counted_as.get(name, name) for name in own]
    table = [names.index(name) if name in names else -1 for name in targets]
    present = set(labels[labels >= 0].tolist())
    unknown = tuple(own[k] for k, place in enumerate(table) if place < 0 and k in present)
    return np.array([*table, -1], dtype=np.int64)[labels], unknown


def read_merged(texts: Iterable[str]) -> dict[str, str]:
    """Return which class counts as which, from texts like ``lens=no_sub,cdm,axion``.

    Raises:
        GravLensError: If a text has another form, or a class is merged twice.
    """
    merged: dict[str, str] = {}
    for text in texts:
        new, equals, old = text.partition("=")
        parts = [name.strip() for name in old.split(",")]
        if not equals or not new.strip() or not all(parts):
            raise GravLensError(f"`merge` must be like lens=no_sub,cdm,axion, got '{text}'")
        for name in parts:
            if merged.setdefault(name, new.strip()) != new.strip():
                raise GravLensError(
                    f"`merge` counts class '{name}' both as {merged[name]} and {new}"
                )
    return merged


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
