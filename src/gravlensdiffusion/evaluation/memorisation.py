"""The rows on memorisation: are generated images closer to the training set than real ones?"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.evaluation.compare import Row
from gravlensdiffusion.evaluation.measure import Measurements, Team
from gravlensdiffusion.evaluation.preparation import BLOCK, PreparedSource
from gravlensdiffusion.evaluation.statistics import Space, nearest
from gravlensdiffusion.metrics.memorisation import (
    MIN_IMAGES,
    Memorisation,
    Nearest,
    find_nearest,
    pixel_vectors,
    summarise_memorisation,
)
from gravlensdiffusion.sets.images import drawn_rows

MAX_PIXEL_QUERIES = 2000
"""Images of each set whose pixels are compared with the training set; a random choice of more."""
MAX_FEATURE_QUERIES = 10_000
"""Images of each set whose features are compared with the training set; likewise."""

Vectors = NDArray[np.floating]


@dataclass(frozen=True, kw_only=True, slots=True)
class Neighbours:
    """The generated images closest to training images."""

    space: Space  # what closeness is measured by
    generated: NDArray[np.float32]  # the images, shape `(K, H, W)`, closest first
    training: NDArray[np.float32]  # the training image closest to each, shape `(K, H, W)`
    distances: NDArray[np.float64]  # distance of each pair, shape `(K,)`


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
    if min(len(generated), len(held_out)) < 2 * MIN_IMAGES:
        why = f"not computed: at least {2 * MIN_IMAGES} images of each set are needed"
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
        found = summarise_memorisation(near, far)
        rows.append(_row(space, found, _floor(far, rng)))
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
    return summarise_memorisation(one, two)


def _row(space: Space, found: Memorisation, floor: Memorisation) -> Row:
    verdict = "MEMORISED" if found.memorised else "no sign of memorisation"
    return Row(
        statistic=nearest(space),
        is_memorised=found.memorised,
        value=found.median_ratio,
        floor=floor.median_ratio,
        p_value=found.tail_p_value,
        note=(
            f"{verdict}: {100 * found.close_fraction:.2g}% of generated images lie nearer to a "
            f"training image than {100 * found.close_fraction_expected:.2g}% of held-out ones do "
            f"(p = {found.tail_p_value:.2g})"
        ),
    )
