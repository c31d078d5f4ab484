"""What planted defect would give the same value: "like a 2% flux error"."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.evaluation.measure import Measurements
from gravlensdiffusion.evaluation.statistics import Defect, Statistic, values
from gravlensdiffusion.metrics.defects import (
    add_noise,
    blur,
    clip_faintest,
    patch,
    pit_arcs,
    rotate,
    scale_flux,
)

NUM_PLANTED = 1000
"""Images that a defect is planted in, at most."""

LADDERS: dict[Defect, tuple[float, ...]] = {
    "flux": (0.01, 0.02, 0.05, 0.1, 0.2),
    "noise": (0.02, 0.05, 0.1, 0.3, 1.0),
    "blur": (0.15, 0.3, 0.5, 1.0),
    "shift": (0.1, 0.3, 1.0),
    "turned": (0.02, 0.05, 0.2, 0.5, 1.0),
    "patches": (0.002, 0.005, 0.01, 0.02, 0.05),
    "pitted": (0.03, 0.1, 0.3, 1.0),
    "clipped": (0.001, 0.01, 0.1, 0.5),
}
"""Strengths: relative errors of flux and of the noise rms, width of a blur [pixel], shift along the
columns [pixel], share of the images that are turned by 90 degrees, relative step between patches,
share of the images with one more pit, share of the pixels that are clipped."""

WORDING: dict[Defect, tuple[str, float]] = {
    "flux": ("a {}% flux error", 100),
    "noise": ("{}% more noise", 100),
    "blur": ("a blur of {} px", 1),
    "shift": ("a shift of {} px", 1),
    "turned": ("{}% of images turned by 90°", 100),
    "patches": ("patches that differ by {}%", 100),
    "pitted": ("one pit more or less in {}% of images", 100),
    "clipped": ("{}% of pixels clipped at zero", 100),
}
"""How a strength is told, and the factor on it."""


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

    def reaches(self, excess: float) -> bool:
        """Whether the strongest defect gives a value this far above the floor."""
        return bool(excess <= self.rungs[-1])

    def describe(self, excess: float) -> str:
        """Say which strength gives a value this far above the floor."""
        wording, factor = WORDING[self.defect]
        strengths, rungs = np.array([0.0, *LADDERS[self.defect]]), self.rungs
        if excess <= rungs[1]:
            return "less than " + wording.format(_rounded(strengths[1] * factor))
        if excess > rungs[-1]:
            return "more than " + wording.format(_rounded(strengths[-1] * factor))
        found = float(np.interp(excess, rungs, strengths))
        return "like " + wording.format(_rounded(found * factor))


def _rounded(value: float) -> str:
    return f"{value:.2g}" if value < 100 else f"{value:.0f}"


def describe(ladders_of_row: Sequence[Ladder], excess: float) -> str:
    """Say in the words of the first defect that reaches an excess what it is like.

    Args:
        ladders_of_row: One ladder per defect, the most telling one first.
        excess: Value less floor.
    """
    if not ladders_of_row or not np.isfinite(excess):
        return ""
    for ladder in ladders_of_row:
        if ladder.reaches(excess):
            return ladder.describe(excess)
    return max(ladders_of_row, key=lambda each: float(each.rungs[-1])).describe(excess)


def plant(
    images: NDArray[np.float32], defect: Defect, strength: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return images ``(N, H, W)`` with a defect of one of the ladders."""
    match defect:
        case "flux":
            faulty = scale_flux(images, 1 + strength)
        case "noise":
            faulty = add_noise(images, 1 + strength, rng)
        case "blur":
            faulty = blur(images, strength)
        case "shift":
            moved = np.concatenate([images[:, :, :1], images[:, :, :-1]], axis=2)
            faulty = (1 - strength) * images + strength * moved
        case "turned":
            turned = rng.permutation(len(images)) < strength * len(images)
            faulty = np.where(turned[:, None, None], rotate(images), images)
        case "patches":
            faulty = patch(images, strength)
        case "pitted":
            faulty = pit_arcs(images, strength, rng)
        case "clipped":
            faulty = clip_faintest(images, strength)
    return np.asarray(faulty, dtype=np.float32)


@dataclass(frozen=True, kw_only=True, slots=True)
class Planting:
    """Real images that defects are planted in.

    Attributes:
        read: Returns prepared images ``(K, H, W)`` by their positions.
        measure: Measures such images.
        measured: The measurements of all of them without defects.
        most: Images that a defect is planted in, at most.
    """

    read: Callable[[NDArray[np.int64]], NDArray[np.float32]]
    measure: Callable[[NDArray[np.float32]], Measurements]
    measured: Measurements
    most: int = NUM_PLANTED


def ladders(
    planting: Planting, statistics: Sequence[Statistic], *, seed: int
) -> dict[str, list[Ladder]]:
    """Plant defects in half of some real images and compare them with the other half.

    Args:
        planting: The real images.
        statistics: The statistics whose values are to be translated.
        seed: Seed of the choice of images and of the planted noise.

    Returns:
        By the name of each statistic that names defects: their ladders, in that order.
    """
    measured = planting.measured
    chosen = np.random.default_rng(seed).permutation(len(measured))
    half = min(planting.most, len(measured) // 2)
    planted, clean = np.sort(chosen[:half]), measured[np.sort(chosen[half : 2 * half])]
    images = planting.read(planted)
    found: dict[tuple[str, Defect], Ladder] = {}
    for defect, strengths in LADDERS.items():
        told = [each for each in statistics if defect in each.defects]
        if not told:
            continue
        bare = values(told, measured[planted], clean, seed)
        faulty = [
            values(
                told,
                planting.measure(plant(images, defect, strength, np.random.default_rng(seed))),
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
