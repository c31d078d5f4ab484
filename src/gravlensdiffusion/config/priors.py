"""Parametric priors: what a parameter of a simulated lens is drawn from.

Each has a `support`, the smallest and the largest value that it can give.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from gravlensdiffusion.config.bounds import Bounded, Number, Positive


class _Interval(Bounded):
    """A prior between two values."""

    __slots__ = ()
    low: float
    high: float

    def _faults(self) -> Iterator[str]:
        if not self.low < self.high:
            kind = getattr(self, "kind", "")
            yield f"prior {kind}: low must be below high, got {self.low} and {self.high}"

    @property
    def support(self) -> tuple[float, float]:
        """The ends of the interval."""
        return self.low, self.high


@dataclass(frozen=True, slots=True)
class Constant(Bounded):
    """Always the same value."""

    kind: Literal["constant"] = field(default="constant", kw_only=True)
    value: Number

    @property
    def support(self) -> tuple[float, float]:
        """The value, twice."""
        return self.value, self.value


@dataclass(frozen=True, slots=True)
class Uniform(_Interval):
    """Even between two values."""

    kind: Literal["uniform"] = field(default="uniform", kw_only=True)
    low: Number
    high: Number


@dataclass(frozen=True, slots=True)
class LogUniform(_Interval):
    """Even in the logarithm, between two positive values."""

    kind: Literal["log_uniform"] = field(default="log_uniform", kw_only=True)
    low: Positive
    high: Number


@dataclass(frozen=True, slots=True)
class Normal(Bounded):
    """Normal with a mean and a standard deviation."""

    kind: Literal["normal"] = field(default="normal", kw_only=True)
    mean: Number
    std: Positive

    @property
    def support(self) -> tuple[float, float]:
        """All numbers."""
        return -math.inf, math.inf


@dataclass(frozen=True, slots=True)
class TruncatedNormal(_Interval):
    """Normal, kept between two values; mean and std are those before the truncation."""

    kind: Literal["truncated_normal"] = field(default="truncated_normal", kw_only=True)
    mean: Number
    std: Positive
    low: Number
    high: Number

    def _faults(self) -> Iterator[str]:
        yield from _Interval._faults(self)
        if max(self.low - self.mean, self.mean - self.high) > 5 * self.std:
            yield "prior truncated_normal: the range is over 5 std from the mean"


def around_zero(std: float, most: float) -> TruncatedNormal:
    """Return a normal prior about zero, kept between two values of one size."""
    return TruncatedNormal(0.0, std, -most, most)


Prior = Constant | Uniform | LogUniform | Normal | TruncatedNormal
"""Any of the priors; they are told apart by their `kind`."""
