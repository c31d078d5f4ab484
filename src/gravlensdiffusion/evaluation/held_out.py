"""The rows that rest on images held out: the classifier two-sample test, and memorisation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.evaluation.compare import Row
from gravlensdiffusion.evaluation.measure import Measurements, Team
from gravlensdiffusion.evaluation.plan import ComparisonPlan
from gravlensdiffusion.evaluation.preparation import BLOCK, PreparedSource
from gravlensdiffusion.evaluation.statistics import Space, auc, nearest
from gravlensdiffusion.metrics import memorisation
from gravlensdiffusion.metrics.memorisation import (
    Memorisation,
    Nearest,
    find_nearest,
    pixel_vectors,
)
from gravlensdiffusion.metrics.pixel_test import (
    VALID_AUC,
    compare_pixels,
    planted_scores,
    valid_bag,
)
from gravlensdiffusion.metrics.two_sample import MIN_IMAGES, Auc, compare_features
from gravlensdiffusion.reports.numbers import exact_share
from gravlensdiffusion.sets.images import drawn_rows, evenly_spread

MAX_CLASSIFIED = 20_000
"""Images of each side that the test on features takes, at most."""
MAX_PER_SIDE = 4000
"""Images of each side that the pixel test takes, at most."""
MAX_PIXEL_QUERIES = 2000
"""Images of each set whose pixels are compared with the training set; a random choice of more."""
MAX_FEATURE_QUERIES = 10_000
"""Images of each set whose features are compared with the training set; likewise."""

Indices = NDArray[np.int64]
Vectors = NDArray[np.floating]


@dataclass(frozen=True, kw_only=True, slots=True)
class Neighbours:
    """The generated images closest to training images."""

    space: Space  # what closeness is measured by
    generated: NDArray[np.float32]  # the images, shape `(K, H, W)`, closest first
    training: NDArray[np.float32]  # the training image closest to each, shape `(K, H, W)`
    distances: NDArray[np.float64]  # distance of each pair, shape `(K,)`


def two_sample_rows(
    sources: Sequence[PreparedSource],
    generated: Measurements,
    real: Measurements,
    plan: ComparisonPlan,
    seed: int,
    *,
    has_pixels: bool,
) -> list[Row]:
    """Train classifiers to tell generated from real images, and real from real ones.

    The first split of the plan is used. ``sources`` are the generated images, the reference and the
    second reference, and ``real`` measures the last two; with ``has_pixels`` a network is trained on
    pixels, too.
    """
    if min(plan.num_generated, plan.num_reference) < MIN_IMAGES:
        spaces = (Space.FEATURES, Space.PIXELS) if has_pixels else (Space.FEATURES,)
        why = f"not computed: at least {MIN_IMAGES} images of each set are needed"
        return [Row(statistic=auc(space), note=why) for space in spaces]
    rows = [_feature_row(generated.features, real.features, plan, seed)]
    return rows + (_pixel_rows(sources[0], sources[1:], plan, seed) if has_pixels else [])


def _feature_row(generated: Vectors, real: Vectors, plan: ComparisonPlan, seed: int) -> Row:
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
    return _auc_row(Space.FEATURES, 1, value, compare_features(floor, floor_reference, seed))


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
            row = _auc_row(Space.PIXELS, size, value[size], floor[size])
            noise, blur = noisy[size].value, blurred[size].value
            seen = f"finds noise x 1.1 with {noise:.2f} and a half-pixel blur with {blur:.2f}"
            is_valid = min(noise, blur) >= VALID_AUC
            note = f"valid: {seen}" if is_valid else f"invalid: {seen}, not {VALID_AUC:.2f}"
            rows.append(replace(row, is_valid=is_valid, note=note))
    return rows


def _auc_row(space: Space, bag_size: int, value: Auc, floor: Auc) -> Row:
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


def memorisation_rows(
    generated: PreparedSource,
    held_out: PreparedSource,
    training: PreparedSource,
    measured: tuple[Measurements, Measurements],
    team: Team,
    seed: int,
) -> tuple[list[Row], tuple[Neighbours, ...]]:
    """Return a row for each space, pixels and encoder features, and the closest pairs in each.

    ``measured`` are the measurements of the generated and of the held-out images.
    """
    spaces = (Space.PIXELS, Space.FEATURES)
    if min(len(generated), len(held_out)) < 2 * memorisation.MIN_IMAGES:
        why = f"not computed: at least {2 * memorisation.MIN_IMAGES} images of each set are needed"
        return [Row(statistic=nearest(space), note=why) for space in spaces], ()
    rng = np.random.default_rng(seed)
    ours, theirs = (drawn_rows(len(each), MAX_PIXEL_QUERIES, rng) for each in (generated, held_out))
    # From a source of their own, so that the halves of the floor stay those of smaller sets.
    own_rng = np.random.default_rng([seed, MAX_FEATURE_QUERIES])
    encoded = [drawn_rows(len(each), MAX_FEATURE_QUERIES, own_rng) for each in measured]
    rows, neighbours = [], []
    for space in spaces:
        blocks: Iterator[Vectors]
        queries: tuple[Vectors, Vectors]
        if space is Space.PIXELS:
            positions = ours
            queries = (pixel_vectors(generated.read(ours)), pixel_vectors(held_out.read(theirs)))
            blocks = map(pixel_vectors, training.blocks(BLOCK))
        else:
            positions = encoded[0]
            queries = (measured[0].features[encoded[0]], measured[1].features[encoded[1]])
            features = team.encode(training)
            blocks = (features[k : k + BLOCK] for k in range(0, len(features), BLOCK))
        near, far = find_nearest(queries[0], queries[1], blocks)
        found = Memorisation.of(near, far)
        rows.append(_nearest_row(space, found, _floor(far, rng)))
        neighbours.append(
            Neighbours(
                space=space,
                generated=generated.pixels(positions[found.closest_pairs[:, 0]]),
                training=training.pixels(found.closest_pairs[:, 1]),
                distances=found.closest_distances,
            )
        )
    return rows, tuple(neighbours)


def _floor(far: Nearest, rng: np.random.Generator) -> Memorisation:
    """Return what one half of the held-out images gives against the other half."""
    order = rng.permutation(len(far.distances))
    one, two = (
        Nearest(far.distances[half], far.second_distances[half], far.indices[half])
        for half in (order[::2], order[1::2])
    )
    return Memorisation.of(one, two)


def _nearest_row(space: Space, found: Memorisation, floor: Memorisation) -> Row:
    verdict = "MEMORISED" if found.memorised else "no sign of memorisation"
    return Row(
        statistic=nearest(space),
        is_memorised=found.memorised,
        value=found.median_ratio,
        floor=floor.median_ratio,
        p_value=found.tail_p_value,
        note=(
            f"{verdict}: {exact_share(found.close_fraction)} of generated images lie nearer to a "
            f"training image than {exact_share(found.close_fraction_expected)} of held-out ones do "
            f"(p = {found.tail_p_value:.2g})"
        ),
    )
