"""The rows of the classifier two-sample test, on encoder features and on pixels."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.evaluation.compare import Row
from gravlensdiffusion.evaluation.measure import Measurements
from gravlensdiffusion.evaluation.plan import ComparisonPlan
from gravlensdiffusion.evaluation.preparation import PreparedSource
from gravlensdiffusion.evaluation.sets import Sets
from gravlensdiffusion.evaluation.statistics import Space, auc
from gravlensdiffusion.metrics.pixel_test import (
    VALID_AUC,
    compare_pixels,
    planted_scores,
    valid_bag,
)
from gravlensdiffusion.metrics.two_sample import MIN_IMAGES, Auc, compare_features
from gravlensdiffusion.sets.images import evenly_spread

Indices = NDArray[np.int64]
Features = NDArray[np.float64]

MAX_CLASSIFIED = 20_000
"""Images of each side that the test on features takes, at most."""
MAX_PER_SIDE = 4000
"""Images of each side that the pixel test takes, at most."""


def two_sample_rows(
    sets: Sets,
    generated: Measurements,
    real: Measurements,
    plan: ComparisonPlan,
    seed: int,
    *,
    has_pixels: bool,
) -> list[Row]:
    """Train classifiers to tell generated from real images, and real from real ones.

    The first split of the plan is used. ``real`` is the reference followed by the second reference;
    with ``has_pixels`` a network is trained on pixels, too.
    """
    if min(plan.num_generated, plan.num_reference) < MIN_IMAGES:
        spaces = (Space.FEATURES, Space.PIXELS) if has_pixels else (Space.FEATURES,)
        why = f"not computed: at least {MIN_IMAGES} images of each set are needed"
        return [Row(statistic=auc(space), note=why) for space in spaces]
    rows = [_feature_row(generated.features, real.features, plan, seed)]
    return rows + (_pixel_rows(sets.generated, sets.real, plan, seed) if has_pixels else [])


def _feature_row(generated: Features, real: Features, plan: ComparisonPlan, seed: int) -> Row:
    """Train classifiers on encoder features."""
    split = plan.splits[0]
    one, two, floor, floor_reference = (
        of[_kept(indices, MAX_CLASSIFIED)]
        for of, indices in (
            (generated, split.generated),
            (real, split.reference),
            (real, split.floor),
            (real, split.floor_reference),
        )
    )
    value = compare_features(one, two, seed)
    return _row(Space.FEATURES, 1, value, compare_features(floor, floor_reference, seed))


def _pixel_rows(
    generated: PreparedSource, real: Sequence[PreparedSource], plan: ComparisonPlan, seed: int
) -> list[Row]:
    """Train a small network on pixels, and to know its worth, on defects planted in real images."""
    split = plan.splits[0]
    ours = _images([generated], split.generated)
    of_real = (split.reference, split.floor, split.floor_reference)
    reals = [_images(real, indices) for indices in of_real]
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
