"""What a value is held against: the floor of real against real at the same sizes, and planted defects."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.evaluation.measure import Measurements
from gravlensdiffusion.evaluation.statistics import Statistic, values
from gravlensdiffusion.metrics.defects import Defect, plant
from gravlensdiffusion.sets.images import drawn_rows

MIN_IMAGES = 2
"""Images that a side of a comparison has at least."""
HANDFUL = 30
"""Images on a side below which no distance between sets means anything."""
FEW_IMAGES = 500
"""Images on a side below which a report says that there are few."""
MAX_PLANTED = 1000
"""Images that a defect is planted in, at most."""

DEFECTS: dict[Defect, tuple[str, float, tuple[float, ...]]] = {
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

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Split:
    """One seed's comparison, of n images with m."""

    generated: Indices  # of generated images, shape (n,)
    reference: Indices  # of the real images that they are compared with, shape (m,)
    floor: Indices  # of the real images that stand for generated ones, shape (n,)
    floor_reference: Indices  # of those that these are compared with, none of them in `floor`


@dataclass(frozen=True, slots=True)
class ComparisonPlan:
    """The comparisons of a report."""

    num_generated: int  # generated images in each comparison, n
    num_reference: int  # real images in each comparison, m
    reference_size: int  # images of the reference; real images from there on are the second one's
    splits: tuple[_Split, ...]  # one split per seed; none where the real images are too few
    notes: tuple[str, ...]  # what a reader should know about the sizes

    @classmethod
    def of(
        cls,
        num_generated: int,
        num_reference: int,
        num_second: int = 0,
        *,
        num_seeds: int,
        seed: int,
    ) -> Self:
        """Decide sizes and draw the images of each comparison.

        The real images are the reference followed by the second reference. Without a second one, the
        reference is shared out between the two sides of the floor, and the value is taken at those
        smaller sizes, so that both compare like with like. A reference that is too small for that has
        no comparisons.

        Args:
            num_generated: Generated images at hand.
            num_reference: Images of the reference.
            num_second: Images of the second reference.
            num_seeds: Number of splits.
            seed: Seed of the draws.

        Raises:
            GravLensError: If there are fewer than two generated images, or no or one real image beside
                a second reference.
        """
        for name, num, least in (
            ("the generated set", num_generated, MIN_IMAGES),
            ("the reference", num_reference, MIN_IMAGES if num_second else 1),
        ):
            if num < least:
                images = "image" if num == 1 else "images"
                raise GravLensError(f"{name} has {num} {images}; at least {least} are needed")
        pool = num_reference + num_second
        if pool < 2 * MIN_IMAGES:
            images = "image is" if pool == 1 else "images are"
            note = (
                f"{pool} real {images} too few to share out between a value and its floor, so that there "
                "are no distances; hundreds would be needed before they mean anything"
            )
            return cls(num_generated, num_reference, num_reference, (), (note,))
        n, m = _sizes(num_generated, num_reference, num_second)
        splits = []
        for k in range(num_seeds):
            rng = np.random.default_rng([seed, k])
            real = rng.permutation(pool)
            splits.append(
                _Split(
                    generated=drawn_rows(num_generated, n, rng),
                    reference=drawn_rows(num_reference, m, rng),
                    floor=np.sort(real[:n]),
                    floor_reference=np.sort(real[n : n + m]),
                )
            )
        notes = _notes(n, m, num_generated, num_reference, num_second)
        return cls(n, m, num_reference, tuple(splits), notes)


def _sizes(num_generated: int, num_reference: int, num_second: int) -> tuple[int, int]:
    """Return n and m with ``n + m`` at most the number of real images."""
    pool = num_reference + num_second
    n, m = num_generated, num_reference
    if n + m <= pool:
        return n, m
    half = pool // 2
    if n <= half:
        return n, min(m, pool - n)
    return min(n, max(half, pool - m)), min(m, half)


def _notes(
    n: int, m: int, num_generated: int, num_reference: int, num_second: int
) -> tuple[str, ...]:
    notes = []
    if (n, m) != (num_generated, num_reference):
        more = "a larger" if num_second else "a second or a larger"
        notes.append(
            f"value and floor are taken on {n:,} against {m:,} images, so that the floor has "
            f"disjoint real images; {more} reference would allow more"
        )
    if min(n, m) < FEW_IMAGES:
        notes.append(
            f"few images: with {min(n, m):,} on a side only gross faults stand out from the floor"
        )
    return tuple(notes)


def ladders(
    statistics: Sequence[Statistic],
    measured: Measurements,
    read: Callable[[NDArray[np.int64]], NDArray[np.float32]],
    measure: Callable[[NDArray[np.float32]], Measurements],
    *,
    seed: int,
    max_planted: int,
) -> dict[tuple[str, Defect], NDArray[np.float64]]:
    """Plant defects in half of some measured images and compare them with the other half.

    The arguments are those of `compare.compare`.

    Returns:
        By the name of a statistic and the defect: its values at no defect and at each strength of
        `DEFECTS`, less the first, made to grow: a little noise may break the order.
    """
    chosen = np.random.default_rng(seed).permutation(len(measured))
    half = min(max_planted, len(measured) // 2)
    planted, clean = np.sort(chosen[:half]), measured[np.sort(chosen[half : 2 * half])]
    images = read(planted)
    found = {}
    for defect, (*_, strengths) in DEFECTS.items():
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
        for name in bare:
            excess = np.array([0.0, *(one[name] - bare[name] for one in faulty)])
            found[name, defect] = np.maximum.accumulate(np.nan_to_num(excess))
    return found
