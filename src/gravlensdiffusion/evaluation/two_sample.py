"""The rows of the classifier two-sample test, on encoder features and on pixels."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.evaluation.compare import Row
from gravlensdiffusion.evaluation.measure import Measurements
from gravlensdiffusion.evaluation.plan import Plan
from gravlensdiffusion.evaluation.preparation import PreparedSource
from gravlensdiffusion.evaluation.statistics import Space, auc
from gravlensdiffusion.metrics.pixel_test import (
    VALID_AUC,
    compare_pixels,
    planted_scores,
    valid_bag,
)
from gravlensdiffusion.metrics.two_sample import MIN_IMAGES, Auc, compare_features
from gravlensdiffusion.sets.lens_set import evenly_spread

Indices = NDArray[np.int64]

MAX_CLASSIFIED = 20_000
"""Images of each side that the test on features takes, at most."""
MAX_PER_SIDE = 4000
"""Images of each side that the pixel test takes, at most."""


def feature_rows(generated: Measurements, real: Measurements, plan: Plan, seed: int) -> list[Row]:
    """Train classifiers on encoder features: generated against real, and real against real.

    ``real`` is the reference followed by the second reference; the first split is used.
    """
    if min(plan.num_generated, plan.num_reference) < MIN_IMAGES:
        return [_too_few(Space.FEATURES)]
    split = plan.splits[0]

    def compared(one: Measurements, first: Indices, second: Indices) -> Auc:
        sides = (
            one.features[_kept(first, MAX_CLASSIFIED)],
            real.features[_kept(second, MAX_CLASSIFIED)],
        )
        return compare_features(*sides, seed)

    value = compared(generated, split.generated, split.reference)
    return [_row(Space.FEATURES, 1, value, compared(real, split.floor, split.floor_reference))]


def pixel_rows(
    generated: PreparedSource, real: Sequence[PreparedSource], plan: Plan, seed: int
) -> list[Row]:
    """Train a small network on pixels: generated against real, and real against real.

    To know what it is worth, it is also trained to find defects planted in real images. The first split
    is used.
    """
    split = plan.splits[0]
    sides = (split.generated, split.reference, split.floor, split.floor_reference)
    if min(map(len, sides)) < MIN_IMAGES:
        return [_too_few(Space.PIXELS)]
    ours = _images([generated], split.generated)
    reals = [_images(real, indices) for indices in sides[1:]]
    rng = np.random.default_rng(seed)
    value, floor = compare_pixels(ours, reals[0], rng), compare_pixels(reals[1], reals[2], rng)
    noisy, blurred = planted_scores(np.concatenate(reals[1:]), rng)
    rows = []
    for size in sorted({1, valid_bag(noisy, blurred) or 1}):
        if size in value and size in floor:
            row = _row(Space.PIXELS, size, value[size], floor[size])
            noise, blur = noisy[size].value, blurred[size].value
            seen = f"finds noise x 1.1 with {noise:.2f} and a half-pixel blur with {blur:.2f}"
            is_valid = min(noise, blur) >= VALID_AUC
            note = f"valid: {seen}" if is_valid else f"invalid: {seen}, not {VALID_AUC:.2f}"
            rows.append(replace(row, is_valid=is_valid, note=note))
    return rows


def _row(space: Space, bag_size: int, value: Auc, floor: Auc) -> Row:
    """Return the row of an area under the ROC curve; its spread is the standard error."""
    return Row(
        statistic=auc(space, bag_size),
        value=value.value,
        value_spread=value.standard_error,
        floor=floor.value,
        floor_spread=floor.standard_error,
        z=(value.value - floor.value) / np.hypot(value.standard_error, floor.standard_error),
    )


def _too_few(space: Space) -> Row:
    why = f"not computed: at least {MIN_IMAGES} images of each set are needed"
    return Row(statistic=auc(space), note=why)


def _images(sources: Sequence[PreparedSource], indices: Indices) -> NDArray[np.float32]:
    """Return at most `MAX_PER_SIDE` of some images, shape ``(N, 1, H, W)``, counted through all."""
    kept = _kept(indices, MAX_PER_SIDE)
    parts, start = [], 0
    for source in sources:
        here = kept[(kept >= start) & (kept < start + len(source))] - start
        parts.append(source.read(here))
        start += len(source)
    return np.concatenate(parts)


def _kept(indices: Indices, most: int) -> Indices:
    """Return at most so many of some indices, evenly spread; all of them where they are no more."""
    return indices[evenly_spread(len(indices), most)]
