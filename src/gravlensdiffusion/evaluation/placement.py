"""A handful of real images, each placed among the generated ones."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.evaluation.measure import Measurements
from gravlensdiffusion.evaluation.statistics import MEASURED

LEVELS = (0.05, 0.5, 0.95)
"""Quantiles of the generated images that a real one is held against."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """One statistic of each real image beside its range over the generated images.

    Attributes:
        name: Name of the statistic.
        quantiles: 5%, 50% and 95% of the generated images.
        values: The real images'; None where it cannot be measured.
        below: Share of the generated images with a smaller value, for each real image.
    """

    name: str
    quantiles: tuple[float, float, float]
    values: tuple[float | None, ...]
    below: tuple[float | None, ...]

    @property
    def title(self) -> str:
        """What people call the statistic."""
        return MEASURED[self.name].title

    @property
    def num_measured(self) -> int:
        """Number of real images that have a value."""
        return sum(value is not None for value in self.values)

    @property
    def num_outside(self) -> int:
        """Number of real images outside of the middle 90% of the generated ones."""
        low, _, high = self.quantiles
        return sum(value is not None and not low <= value <= high for value in self.values)


def place(generated: Measurements, real: Measurements) -> tuple[Placement, ...]:
    """Place each real image among the generated ones, in every statistic that both have.

    Statistics that are the same for all generated images are left out.
    """
    found = []
    for name, values in real.physics.items():
        ours = generated.physics[name]
        ours = np.sort(ours[np.isfinite(ours)])
        if not len(ours) or ours[0] == ours[-1] or not np.isfinite(values).any():
            # Of images scaled to [0, 1] the brightest pixel says nothing.
            continue
        # Of equal values half count as smaller.
        smaller = [np.searchsorted(ours, values, side=side) for side in ("left", "right")]
        low, middle, high = (float(value) for value in np.quantile(ours, LEVELS))
        found.append(
            Placement(
                name=name,
                quantiles=(low, middle, high),
                values=_where_known(values, values),
                below=_where_known(np.mean(smaller, axis=0) / len(ours), values),
            )
        )
    return tuple(found)


def _where_known(
    numbers: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[float | None, ...]:
    """Return numbers, None where the value they belong to is not finite."""
    pairs = zip(numbers, values, strict=True)
    return tuple(float(number) if np.isfinite(value) else None for number, value in pairs)
