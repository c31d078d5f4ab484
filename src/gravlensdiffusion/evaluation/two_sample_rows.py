"""The rows of the classifier two-sample test, on encoder features and on pixels."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.evaluation.comparison import Row
from gravlensdiffusion.evaluation.measure import Measurements
from gravlensdiffusion.evaluation.plan import Plan
from gravlensdiffusion.evaluation.preparation import PreparedSource
from gravlensdiffusion.evaluation.result import Settings
from gravlensdiffusion.metrics.pixel_test import (
    VALID_AUC,
    PlantedScores,
    compare_pixels,
    planted_scores,
)
from gravlensdiffusion.metrics.two_sample import MIN_IMAGES, Auc, compare_features

GROUP = "two-sample test"
FEATURES, PIXELS = "encoder features", "pixels"
"""What images are told apart by."""
MAX_CLASSIFIED = 20_000
"""Images of each side that the test on features takes, at most."""
MAX_PER_SIDE = 4000
"""Images of each side that the pixel test takes, at most."""


def feature_rows(
    generated: Measurements, real: Measurements, plan: Plan, settings: Settings
) -> list[Row]:
    """Train classifiers on encoder features: generated against real, and real against real.

    Args:
        generated: Measurements of the generated images.
        real: Those of the reference, followed by those of the second reference.
        plan: Which images are compared; the first split is used.
        settings: The seed.
    """
    if min(plan.num_generated, plan.num_reference) < MIN_IMAGES:
        return [_empty(FEATURES)]
    split = plan.splits[0]
    value, floor = (
        compare_features(one.features[first], two.features[second], settings.seed).auc
        for one, first, two, second in (
            (
                generated,
                _kept(split.generated, MAX_CLASSIFIED),
                real,
                _kept(split.reference, MAX_CLASSIFIED),
            ),
            (
                real,
                _kept(split.floor, MAX_CLASSIFIED),
                real,
                _kept(split.floor_reference, MAX_CLASSIFIED),
            ),
        )
    )
    return [area_row(FEATURES, value, floor)]


def area_row(space: str, value: Auc, floor: Auc, *, is_valid: bool = True, note: str = "") -> Row:
    """Return the row of an area under the ROC curve; its spread is the standard error."""
    return Row(
        name=f"AUC, {space}",
        group=GROUP,
        space=space,
        is_valid=is_valid,
        value=value.value,
        value_spread=value.standard_error,
        floor=floor.value,
        floor_spread=floor.standard_error,
        z=(value.value - floor.value) / np.hypot(value.standard_error, floor.standard_error),
        note=note,
    )


def _empty(space: str) -> Row:
    why = f"not computed: at least {MIN_IMAGES} images of each set are needed"
    return Row(name=f"AUC, {space}", group=GROUP, space=space, note=why)


def pixel_rows(
    generated: PreparedSource, real: Sequence[PreparedSource], plan: Plan, settings: Settings
) -> list[Row]:
    """Train a small network on pixels: generated against real, and real against real.

    To know what it is worth, it is also trained to find defects planted in real images.

    Args:
        generated: The generated images.
        real: The reference and, where there is one, the second reference.
        plan: Which images are compared; the first split is used.
        settings: The seed.
    """
    split = plan.splits[0]
    sides = (split.generated, split.reference, split.floor, split.floor_reference)
    if min(map(len, sides)) < MIN_IMAGES:
        return [_empty(PIXELS)]
    ours = _images([generated], split.generated)
    reals = [_images(real, indices) for indices in sides[1:]]
    rng = np.random.default_rng(settings.seed)
    value, floor = compare_pixels(ours, reals[0], rng), compare_pixels(reals[1], reals[2], rng)
    planted = planted_scores(np.concatenate(reals[1:]), rng)
    sizes = [1]
    if planted.valid_bag is not None and planted.valid_bag in value.bags:
        sizes = sorted({1, planted.valid_bag})
    return [
        area_row(
            PIXELS if size == 1 else f"{PIXELS}, mean of {size} images",
            value.bags[size],
            floor.bags[size],
            is_valid=_is_valid(planted, size),
            note=_validity(planted, size),
        )
        for size in sizes
        if size in floor.bags
    ]


def _images(sources: Sequence[PreparedSource], indices: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return at most `MAX_PER_SIDE` of some images, shape ``(N, 1, H, W)``, counted through all."""
    kept = _kept(indices, MAX_PER_SIDE)
    parts, start = [], 0
    for source in sources:
        here = kept[(kept >= start) & (kept < start + len(source))] - start
        parts.append(source.read(here))
        start += len(source)
    return np.concatenate(parts)[:, None]


def _kept(indices: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return at most so many of some indices, evenly spread; all of them where they are no more."""
    return indices[np.linspace(0, len(indices) - 1, min(len(indices), most)).astype(int)]


def _is_valid(planted: PlantedScores, size: int) -> bool:
    """Return whether the network sees the planted defects, from so many images at a time."""
    return min(planted.noise.bags[size].value, planted.blur.bags[size].value) >= VALID_AUC


def _validity(planted: PlantedScores, size: int) -> str:
    """Say how well it sees them."""
    noise, blur = planted.noise.bags[size].value, planted.blur.bags[size].value
    seen = f"finds noise x 1.1 with {noise:.2f} and a half-pixel blur with {blur:.2f}"
    if _is_valid(planted, size):
        return f"valid: {seen}"
    return f"invalid: {seen}, not {VALID_AUC:.2f}"
