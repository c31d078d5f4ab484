"""The ranges of physical parameters that a model has learned."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gravlensdiffusion.config.model import ModelConfig, ParameterConfig
from gravlensdiffusion.errors import GravLensError

ROUNDING = 1e-9
"""How far a value may lie outside a range, as a share of its width."""


def check_ranges(config: ModelConfig, values: Mapping[str, ArrayLike], model_name: str) -> None:
    """Refuse values that a model has not learned.

    Args:
        config: The model.
        values: Numbers, arrays or spans by the names of the parameters [their units]; NaN, which
            leaves a value out, is allowed.
        model_name: What error messages call the model.

    Raises:
        GravLensError: If the model does not know a parameter or a value.
    """
    known = {each.name: each for each in config.parameters}
    for name, asked in values.items():
        if name not in known:
            allowed = ", ".join(known) or "none"
            raise GravLensError(
                f"model '{model_name}' has no parameter '{name}'; it has: {allowed}"
            )
        each = np.asarray(asked, dtype=np.float64).ravel()
        outside = each[is_outside(known[name], each)]
        if len(outside):
            raise GravLensError(f"{name} {complaint(known[name], outside[0], model_name)}")


def is_outside(parameter: ParameterConfig, values: ArrayLike) -> NDArray[np.bool_]:
    """Return which values lie outside the range of a parameter; NaN does not."""
    slack = ROUNDING * (parameter.high - parameter.low)
    each = np.asarray(values)
    return (each < parameter.low - slack) | (each > parameter.high + slack)


def complaint(parameter: ParameterConfig, value: float, model_name: str) -> str:
    """Say that a value lies outside the range of a parameter, and what the range is."""
    low, high = _shown_range(parameter)
    allowed = f"{low} to {high} {parameter.unit}".rstrip()
    return f"{value:.12g} is outside what model '{model_name}' has learned, {allowed}"


def _shown_range(parameter: ParameterConfig) -> tuple[str, str]:
    """Return both ends with as few digits as show them well, rounded inwards.

    What the message says is allowed, is allowed.
    """
    width = parameter.high - parameter.low
    size = min(parameter.low, width) if parameter.scale == "log" else width
    digits = max(0, 1 - math.floor(math.log10(size)))
    while True:
        unit = 10.0**-digits
        low = math.ceil((parameter.low - ROUNDING * width) / unit) * unit
        high = math.floor((parameter.high + ROUNDING * width) / unit) * unit
        if max(low - parameter.low, parameter.high - high) <= 1e-3 * size:
            return f"{low + 0.0:.{digits}f}", f"{high + 0.0:.{digits}f}"
        digits += 1
