"""The images of each class on their own: what one class lacks hardly shows among all."""

from collections.abc import Sequence

import numpy as np

from gravlensdiffusion.evaluation.compare import Row, compare
from gravlensdiffusion.evaluation.measure import Measurements
from gravlensdiffusion.evaluation.plan import ComparisonPlan
from gravlensdiffusion.evaluation.preparation import PreparedSource
from gravlensdiffusion.evaluation.statistics import frechet_of

MIN_OF_CLASS = 100
"""Images of a class in each set from which on it has rows of its own."""


def common_classes(sources: Sequence[PreparedSource]) -> list[str]:
    """Return the classes that are told apart: all sets have enough images of each, and of several."""
    counts = [each.class_counts for each in sources]
    found = [
        name for name in counts[0] if all(each.get(name, 0) >= MIN_OF_CLASS for each in counts)
    ]
    return found if len(found) > 1 else []


def distance_rows(
    sources: Sequence[PreparedSource],
    generated: Measurements,
    real: Measurements,
    *,
    num_seeds: int,
    seed: int,
) -> list[Row]:
    """Return the lens Fréchet distance of each class that is told apart, beside its own floor.

    Args:
        sources: The generated set, the reference, and a second reference if there is one.
        generated: Measurements of the first.
        real: Those of the others, one after the other.
        num_seeds: Number of splits.
        seed: Seed of the splits.
    """
    found: list[Row] = []
    before = len(sources[1])
    for name in common_classes(sources):
        ours, reference, *more = (
            np.flatnonzero(each.labels == each.header.class_names.index(name)) for each in sources
        )
        sizes = (len(each) for each in (ours, reference, *more))
        plan = ComparisonPlan.of(*sizes, num_seeds=num_seeds, seed=seed)
        theirs = np.concatenate([reference, *(before + each for each in more)])
        found += compare([frechet_of(name)], generated[ours], real[theirs], plan, seed=seed)
    return found
