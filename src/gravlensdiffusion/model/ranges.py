"""The ranges of physical parameters that a model has learned."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gravlensdiffusion.config.model import ModelConfig, ParameterConfig
from gravlensdiffusion.errors import GravLensError

SLACK = 0.01
"""How far a value may lie outside a range, as a share of its width on its scale.

No training set reaches quite to the ends of what it was drawn from.
"""


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
    each = np.asarray(values)
    low, high = _widened(parameter, SLACK)
    return (each < low) | (each > high)


def complaint(parameter: ParameterConfig, value: float, model_name: str) -> str:
    """Say that a value lies outside the range of a parameter, and what the range is."""
    allowed = " to ".join(shown_ends(parameter)) + f" {parameter.unit}".rstrip()
    return f"{value:.12g} is outside what model '{model_name}' has learned, {allowed}"


def shown_ends(parameter: ParameterConfig) -> tuple[str, str]:
    """Return both ends of a range with as few decimals as show them; both are allowed.

    So 1.00001 to 1.64999, of a training set drawn from 1 to 1.65, is shown as it was drawn.
    """
    ends = np.array([parameter.low, parameter.high])
    # A hair less than what is allowed, so that nothing depends on the last bit.
    width = _widened(parameter, 0.99 * SLACK)
    inner = _widened(parameter, -0.99 * SLACK)
    for digits in range(324):
        low, high = np.round(ends, digits) + 0.0
        if width[0] <= low <= inner[0] and inner[1] <= high <= width[1]:
            break
    return f"{low:.{digits}f}", f"{high:.{digits}f}"


def _widened(parameter: ParameterConfig, share: float) -> NDArray[np.float64]:
    """Return both ends of a range, moved outwards by a share of its width on its scale."""
    ends = np.array([parameter.low, parameter.high])
    if parameter.scale == "log":
        return np.exp(_moved(np.log(ends), share))
    return _moved(ends, share)


def _moved(ends: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    return ends + share * (ends[1] - ends[0]) * np.array([-1.0, 1.0])
