"""What planted defect would give the same value: "like a 2% flux error"."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.evaluation.measure import Measurements
from gravlensdiffusion.evaluation.statistics import Statistic, values
from gravlensdiffusion.metrics.defects import Defect, plant

NUM_PLANTED = 1000
"""Images that a defect is planted in, at most."""

LADDERS: dict[Defect, tuple[str, float, tuple[float, ...]]] = {
    "flux": ("a {}% flux error", 100, (0.01, 0.02, 0.05, 0.1, 0.2)),
    "noise": ("{}% more noise", 100, (0.02, 0.05, 0.1, 0.3, 1.0)),
    "blur": ("a blur of {} px", 1, (0.15, 0.3, 0.5, 1.0)),
    "shift": ("a shift of {} px", 1, (0.1, 0.3, 1.0)),
    "turned": ("{}% of images turned by 90°", 100, (0.02, 0.05, 0.2, 0.5, 1.0)),
    "patches": ("patches that differ by {}%", 100, (0.002, 0.005, 0.01, 0.02, 0.05)),
    "pitted": ("one pit more or less in {}% of images", 100, (0.03, 0.1, 0.3, 1.0)),
    "clipped": ("{}% of pixels clipped at zero", 100, (0.001, 0.01, 0.1, 0.5)),
}
"""How a strength is told, the factor on it, and the strengths: relative errors of flux and of the noise
rms, width of a blur [pixel], shift along the columns [pixel], share of the images that are turned by 90
degrees, relative step between patches, share of the images with one more pit, share of the pixels that
are clipped."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """The values of a metric under one defect of growing strength.

    Attributes:
        defect: The defect.
        excess: Value at each strength of `LADDERS`, less the value without defect.
    """

    defect: Defect
    excess: NDArray[np.float64]

    @property
    def rungs(self) -> NDArray[np.float64]:
        """The excess from no defect on, made to grow: a little noise may break the order."""
        return np.maximum.accumulate(np.concatenate([[0.0], np.nan_to_num(self.excess)]))

    def describe(self, excess: float) -> str:
        """Say which strength gives a value this far above the floor."""
        wording, factor, strengths = LADDERS[self.defect]
        rungs = self.rungs
        way = "like"
        if excess <= rungs[1]:
            found, way = strengths[0], "less than"
        elif excess > rungs[-1]:
            found, way = strengths[-1], "more than"
        else:
            found = float(np.interp(excess, rungs, [0.0, *strengths]))
        value = found * factor
        return f"{way} {wording.format(f'{value:.2g}' if value < 100 else f'{value:.0f}')}"


def describe(ladders_of_row: Sequence[Ladder], excess: float) -> str:
    """Say what an excess of a value over its floor is like, by the first defect that reaches it."""
    if not ladders_of_row or not np.isfinite(excess):
        return ""
    reaching = (each for each in ladders_of_row if excess <= each.rungs[-1])
    highest = max(ladders_of_row, key=lambda each: float(each.rungs[-1]))
    return next(reaching, highest).describe(excess)


def ladders(
    statistics: Sequence[Statistic],
    measured: Measurements,
    *,
    read: Callable[[NDArray[np.int64]], NDArray[np.float32]],
    measure: Callable[[NDArray[np.float32]], Measurements],
    seed: int,
    most: int = NUM_PLANTED,
) -> dict[str, list[Ladder]]:
    """Plant defects in half of some real images and compare them with the other half.

    Args:
        statistics: The statistics whose values are to be translated.
        measured: The measurements of all real images without defects.
        read: Returns prepared images ``(K, H, W)`` by their positions.
        measure: Measures such images.
        seed: Seed of the choice of images and of the planted noise.
        most: Images that a defect is planted in, at most.

    Returns:
        By the name of each statistic that names defects: their ladders, in that order.
    """
    chosen = np.random.default_rng(seed).permutation(len(measured))
    half = min(most, len(measured) // 2)
    planted, clean = np.sort(chosen[:half]), measured[np.sort(chosen[half : 2 * half])]
    images = read(planted)
    found: dict[tuple[str, Defect], Ladder] = {}
    for defect, (*_, strengths) in LADDERS.items():
        told = [each for each in statistics if defect in each.defects]
        if not told:
            continue
        bare = values(told, measured[planted], clean, seed)
        faulty = [
            values(
                told,
                measure(plant(images, defect, strength, np.random.default_rng(seed))),
                clean,
                seed,
            )
            for strength in strengths
        ]
        for name, value in bare.items():
            excess = np.array([each[name] - value for each in faulty])
            found[name, defect] = Ladder(defect, excess)
    return {
        each.name: [found[each.name, defect] for defect in each.defects]
        for each in statistics
        if each.defects
    }
