"""How the noise of neighbouring pixels is correlated."""

import math
from dataclasses import dataclass

from gravlensdiffusion.config.bounds import Bounded, check_ranges
from gravlensdiffusion.errors import GravLensError

_FREQUENCIES = 48
"""Frequencies at which the power spectrum is looked at, along each axis."""
_NEGATIVE = 1e-3
"""How far below zero the power may lie, as a share of its mean: what rounded numbers bring."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SkyCorrelation(Bounded):
    """Correlation of the noise of two native pixels by how far they lie apart, as stacks have it.

    It is that of all pixels, along rows and columns and in all four directions alike, and zero
    beyond the table.

    Attributes:
        table: Correlation at i rows and j columns apart, rows i of values j; 1 at i = j = 0, and
            symmetric.
    """

    table: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        check_ranges(self)
        size = len(self.table)
        if not 1 <= size <= 16 or any(len(row) != size for row in self.table):
            raise GravLensError("sky correlation: the table must be square, of 1 to 16 rows")
        if self.table[0][0] != 1 or any(not abs(c) <= 1 for row in self.table for c in row):
            raise GravLensError(
                "sky correlation: the table must begin with 1 and lie between -1 and 1"
            )
        if any(self.table[i][j] != self.table[j][i] for i in range(size) for j in range(i)):
            raise GravLensError("sky correlation: the table must be symmetric")
        if self._least_power() < -_NEGATIVE:
            raise GravLensError(
                "sky correlation: no noise is correlated so; its power would be negative"
            )

    @property
    def total(self) -> float:
        """Sum over all pixels: the variance of a large area over that of as many white pixels."""
        return sum(
            value * (2 if i else 1) * (2 if j else 1)
            for i, row in enumerate(self.table)
            for j, value in enumerate(row)
        )

    def _least_power(self) -> float:
        """Return the smallest value of the power spectrum, whose mean is 1."""
        waves = [
            [
                (2 if j else 1) * math.cos(math.pi * k * j / _FREQUENCIES)
                for j in range(len(self.table))
            ]
            for k in range(_FREQUENCIES + 1)
        ]
        along = [
            [sum(w * c for w, c in zip(wave, row, strict=True)) for row in self.table]
            for wave in waves
        ]
        return min(
            sum(w * c for w, c in zip(wave, column, strict=True))
            for wave in waves
            for column in along
        )
