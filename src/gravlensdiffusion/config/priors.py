"""Parametric priors: what a parameter of a simulated lens is drawn from."""

import math
from dataclasses import dataclass
from typing import Literal

from gravlensdiffusion.errors import GravLensError


@dataclass(frozen=True, kw_only=True, slots=True)
class Constant:
    """Always the same value."""

    kind: Literal["constant"] = "constant"
    value: float

    def __post_init__(self) -> None:
        _check_finite(self.kind, self.value)


@dataclass(frozen=True, kw_only=True, slots=True)
class Uniform:
    """Even between two values."""

    kind: Literal["uniform"] = "uniform"
    low: float
    high: float

    def __post_init__(self) -> None:
        _check_finite(self.kind, self.low, self.high)
        _check_order(self.kind, self.low, self.high)


@dataclass(frozen=True, kw_only=True, slots=True)
class LogUniform:
    """Even in the logarithm, between two positive values."""

    kind: Literal["log_uniform"] = "log_uniform"
    low: float
    high: float

    def __post_init__(self) -> None:
        _check_finite(self.kind, self.low, self.high)
        _check_order(self.kind, self.low, self.high)
        if self.low <= 0:
            raise GravLensError(f"prior log_uniform: low must be positive, got {self.low}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Normal:
    """Normal with a mean and a standard deviation."""

    kind: Literal["normal"] = "normal"
    mean: float
    std: float

    def __post_init__(self) -> None:
        _check_finite(self.kind, self.mean, self.std)
        _check_std(self.kind, self.std)


@dataclass(frozen=True, kw_only=True, slots=True)
class TruncatedNormal:
    """Normal, kept between two values; mean and std are those before the truncation."""

    kind: Literal["truncated_normal"] = "truncated_normal"
    mean: float
    std: float
    low: float
    high: float

    def __post_init__(self) -> None:
        _check_finite(self.kind, self.mean, self.std, self.low, self.high)
        _check_order(self.kind, self.low, self.high)
        _check_std(self.kind, self.std)
        if max(self.low - self.mean, self.mean - self.high) > 5 * self.std:
            raise GravLensError("prior truncated_normal: the range is over 5 std from the mean")


Prior = Constant | Uniform | LogUniform | Normal | TruncatedNormal
"""Any of the priors; they are told apart by their `kind`."""


def lower_bound(prior: Prior) -> float:
    """Return the smallest value that a prior can give."""
    match prior:
        case Constant():
            return prior.value
        case Normal():
            return -math.inf
        case _:
            return prior.low


def upper_bound(prior: Prior) -> float:
    """Return the largest value that a prior can give."""
    match prior:
        case Constant():
            return prior.value
        case Normal():
            return math.inf
        case _:
            return prior.high


def _check_finite(kind: str, *values: float) -> None:
    if not all(math.isfinite(value) for value in values):
        raise GravLensError(f"prior {kind}: every number must be finite, got {values}")


def _check_order(kind: str, low: float, high: float) -> None:
    if not low < high:
        raise GravLensError(f"prior {kind}: low must be below high, got {low} and {high}")


def _check_std(kind: str, std: float) -> None:
    if std <= 0:
        raise GravLensError(f"prior {kind}: std must be positive, got {std}")
