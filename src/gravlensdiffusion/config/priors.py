"""Parametric priors: what a parameter of a simulated lens is drawn from.

Each has a `support`, the smallest and the largest value that it can give.
"""

import math
from dataclasses import dataclass
from typing import Literal

from gravlensdiffusion.config.bounds import Bounded, Number, Positive
from gravlensdiffusion.errors import GravLensError


class Interval(Bounded):
    """A prior between two values."""

    __slots__ = ()
    low: float
    high: float

    def __post_init__(self) -> None:
        Bounded.__post_init__(self)
        if not self.low < self.high:
            kind = getattr(self, "kind", "")
            raise GravLensError(
                f"prior {kind}: low must be below high, got {self.low} and {self.high}"
            )

    @property
    def support(self) -> tuple[float, float]:
        """The ends of the interval."""
        return self.low, self.high


@dataclass(frozen=True, kw_only=True, slots=True)
class Constant(Bounded):
    """Always the same value."""

    kind: Literal["constant"] = "constant"
    value: Number

    @property
    def support(self) -> tuple[float, float]:
        """The value, twice."""
        return self.value, self.value


@dataclass(frozen=True, kw_only=True, slots=True)
class Uniform(Interval):
    """Even between two values."""

    kind: Literal["uniform"] = "uniform"
    low: Number
    high: Number


@dataclass(frozen=True, kw_only=True, slots=True)
class LogUniform(Interval):
    """Even in the logarithm, between two positive values."""

    kind: Literal["log_uniform"] = "log_uniform"
    low: Positive
    high: Number


@dataclass(frozen=True, kw_only=True, slots=True)
class Normal(Bounded):
    """Normal with a mean and a standard deviation."""

    kind: Literal["normal"] = "normal"
    mean: Number
    std: Positive

    @property
    def support(self) -> tuple[float, float]:
        """All numbers."""
        return -math.inf, math.inf


@dataclass(frozen=True, kw_only=True, slots=True)
class TruncatedNormal(Interval):
    """Normal, kept between two values; mean and std are those before the truncation."""

    kind: Literal["truncated_normal"] = "truncated_normal"
    mean: Number
    std: Positive
    low: Number
    high: Number

    def __post_init__(self) -> None:
        Interval.__post_init__(self)
        if max(self.low - self.mean, self.mean - self.high) > 5 * self.std:
            raise GravLensError("prior truncated_normal: the range is over 5 std from the mean")


Prior = Constant | Uniform | LogUniform | Normal | TruncatedNormal
"""Any of the priors; they are told apart by their `kind`."""
