"""Judgements of probabilities that nobody had to train for."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.classification.judgement import Judgement
from gravlensdiffusion.sets.records import SetHeader
from tests.classification.networks import CONFIG
from tests.classification.planted import NAMES
from tests.sources import ArraySource


def judged(
    num: int, seed: int, num_classes: int = 2, sharpness: float = 1.0
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return labels, and probabilities without fault for a sharpness of one."""
    random = np.random.default_rng(seed)
    logits = 1.5 * random.normal(size=(num, num_classes))
    odds = np.exp(logits)
    cumulated = np.cumsum(odds / odds.sum(axis=1, keepdims=True), axis=1)
    labels = (random.random((num, 1)) > cumulated).sum(axis=1).clip(max=num_classes - 1)
    odds = np.exp(sharpness * logits)
    return labels, odds / odds.sum(axis=1, keepdims=True)


def judgement(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    class_names: tuple[str, ...] = NAMES,
    title: str = "a classifier on a set",
) -> Judgement:
    """Judge; every second image of a set is among those judged, its pixels tell its position."""
    images = np.broadcast_to(
        np.arange(2 * len(labels), dtype=np.float32)[:, None, None, None],
        (2 * len(labels), 1, 8, 8),
    )
    source = ArraySource(images, np.repeat(labels, 2), SetHeader(class_names=class_names))
    even = (1 / len(class_names),) * len(class_names)
    config = replace(CONFIG, class_names=class_names, class_mix=even, temperature=1.0)
    return Judgement.of(
        config,
        source,
        2 * np.arange(len(labels)),
        np.log(np.maximum(probabilities, 1e-300)),
        title=title,
        name="set",
        digest="",
        seed=0,
        notes=["a note"],
    )
