"""What a model has learned, and what it says of values outside."""

import math
import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gravlensdiffusion.config.model import ModelConfig, ParameterConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.ranges import check_ranges


def complaint(parameter: ParameterConfig, value: float) -> str:
    with pytest.raises(GravLensError) as told:
        check_ranges(ModelConfig(parameters=(parameter,)), {parameter.name: value}, "lens64")
    return str(told.value)


@pytest.mark.parametrize(
    ("low", "high", "unit", "scale", "value", "expected"),
    [
        (1.0, 1.65, "arcsec", "linear", 3, "p 3 is outside X, 1.00 to 1.65 arcsec"),
        (0.0, 0.29, "", "linear", -0.1, "p -0.1 is outside X, 0.00 to 0.29"),
        (-0.5, 0.5, "arcsec", "linear", 0.500001, "p 0.500001 is outside X, -0.5 to 0.5 arcsec"),
        (35.2, 158, "", "log", 20, "p 20 is outside X, 35.2 to 158.0"),
        (-0.0004, 0.9, "", "linear", 1, "p 1 is outside X, 0.00 to 0.90"),
        (1e4, 3e5, "", "linear", 1, "p 1 is outside X, 10000 to 300000"),
        (1.00003, 1.64998, "", "linear", 0, "p 0 is outside X, 1.0001 to 1.6499"),
    ],
)
def test_the_message(
    low: float, high: float, unit: str, scale: str, value: float, expected: str
) -> None:
    parameter = ParameterConfig(name="p", unit=unit, low=low, high=high, scale=scale)  # type: ignore[arg-type]
    shown = complaint(parameter, value)
    assert shown == expected.replace("X", "what model 'lens64' has learned")


@given(st.floats(-100, 100), st.floats(0.001, 100), st.booleans())
def test_what_is_said_to_be_allowed_is_allowed(low: float, width: float, log: bool) -> None:
    assume(not log or low > 1e-3)
    scale = "log" if log else "linear"
    parameter = ParameterConfig(name="p", low=low, high=low + width, scale=scale)
    shown = re.search(r"learned, (\S+) to (\S+)$", complaint(parameter, 1e4))
    assert shown is not None
    first, last = float(shown[1]), float(shown[2])
    check_ranges(ModelConfig(parameters=(parameter,)), {"p": [first, last, math.nan]}, "m")
    assert first - low < 2e-3 * width
    assert low + width - last < 2e-3 * width


def test_rounding_is_forgiven_and_no_more() -> None:
    parameter = ParameterConfig(name="p", low=0.1, high=0.3)
    config = ModelConfig(parameters=(parameter,))
    check_ranges(config, {"p": 0.1 + 0.2}, "m")
    check_ranges(config, {"p": (0.1 - 1e-10, 0.3 + 1e-10)}, "m")
    for value in (0.1 - 1e-9, 0.3 + 1e-9):
        assert "is outside" in complaint(parameter, value)
