"""The mix of classes that probabilities are for."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.config.classifier import ClassifierConfig
from gravlensdiffusion.errors import GravLensError

TRAINING, EVEN, DATA = "training", "even", "data"
"""Mixes that have a name: that of the training set; equal shares; that of the images judged."""


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
