"""The classes of a set as a classifier counts them, and the mix that probabilities are for."""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.config.bounds import UNLABELLED
from gravlensdiffusion.config.classifier import ClassifierConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.lens_set import LensSet

TRAINING, EVEN, DATA = "training", "even", "data"
"""Mixes that have a name: that of the training set; equal shares; that of the images judged."""


def read_classes(source: LensSet, merged: Mapping[str, str]) -> tuple[LensSet, tuple[str, ...]]:
    """Return a set by the classes that are told apart, and what a reader should know of them.

    Classes without images are left out; ``merged`` names the class that a class is counted as.

    Raises:
        GravLensError: If the set has no classes, one of those to merge is not known, or fewer than
            two are left.
    """
    own, labels = source.header.class_names, source.labels
    if not own or (labels < 0).all():
        raise GravLensError(
            "the images have no classes: put them into one folder per class, or into an HDF5 file "
            "with labels"
        )
    counted = source.relabelled(merged)
    notes = []
    num_unknown = int(np.count_nonzero(labels < 0))
    if num_unknown:
        images = (
            "image of no known class was" if num_unknown == 1 else "images of no known class were"
        )
        notes.append(f"{num_unknown:,} {images} left out")
    if counted.absent_classes:
        notes.append(f"no image belongs to {', '.join(counted.absent_classes)}, which is left out")
    data = counted.with_present_classes()
    names = data.header.class_names
    if len(names) < 2:
        raise GravLensError(f"all images belong to one class, {names[0]}; a classifier needs two")
    return data, tuple(notes)


def classes_known_to(
    names: Sequence[str], merged: Iterable[tuple[str, str]], source: LensSet
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the class of each image in a classifier's own numbers, shape ``(N,)``, -1 where unknown.

    With them come the names of classes of the set that have images and that the classifier does not
    know. ``merged`` pairs a class of a set with the class that it counts as.
    """
    counted_as = dict(merged)
    own = source.header.class_names
    targets = (counted_as.get(name, name) for name in own)
    places = (list(names).index(new) if new in names else UNLABELLED for new in targets)
    table = np.array([*places, UNLABELLED], dtype=np.int64)
    present = set(source.labels.tolist())
    unknown = tuple(own[k] for k in range(len(own)) if table[k] < 0 and k in present)
    return table[source.labels], unknown


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


def read_mix(
    text: str, config: ClassifierConfig, labels: NDArray[np.int64] | None = None
) -> NDArray[np.float64] | None:
    """Return the share of each class, shape ``(K,)``; None for that of the training set.

    Args:
        text: ``training``, ``even``, ``data``, or shares like ``lens=0.01,no_lens=0.99``.
        config: The classifier's configuration.
        labels: Class of each image, where ``data`` is allowed, shape ``(N,)``.

    Raises:
        GravLensError: If the text has another form, a class is missing or not known, a share is not
            positive, or they do not sum to one.
    """
    names = config.class_names
    if text == TRAINING:
        return None
    if text == EVEN:
        return np.full(len(names), 1 / len(names))
    if text == DATA and labels is not None:
        counts = np.bincount(labels[labels >= 0], minlength=len(names))
        return np.maximum(counts, 1) / np.maximum(counts, 1).sum()
    return _shares(text, names, allows_data=labels is not None)


def _shares(text: str, names: Sequence[str], *, allows_data: bool) -> NDArray[np.float64]:
    example = ",".join(f"{name}={1 / len(names):.2g}" for name in names)
    allowed = f"training, even{', data' if allows_data else ''} or shares like {example}"
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, equals, number = part.rpartition("=")
        try:
            share = float(number)
        except ValueError:
            share = math.nan
        if not equals or math.isnan(share):
            raise GravLensError(f"`prior` must be {allowed}, got '{text}'")
        if name.strip() not in names:
            raise GravLensError(
                f"`prior` names class '{name.strip()}'; the classifier has {', '.join(names)}"
            )
        shares[name.strip()] = share
    missing = [name for name in names if name not in shares]
    if missing:
        raise GravLensError(f"`prior` says nothing of class '{missing[0]}'")
    mix = np.array([shares[name] for name in names])
    if not (mix > 0).all() or abs(mix.sum() - 1) > 1e-3:
        raise GravLensError(f"`prior` needs positive shares that sum to 1, got '{text}'")
    return np.asarray(mix / mix.sum(), dtype=np.float64)
