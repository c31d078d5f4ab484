"""What a model has learned, and what it says of values outside."""

import math
import re
from collections.abc import Sequence

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gravlensdiffusion.codec import from_json
from gravlensdiffusion.config.model import SLACK, ModelConfig, ParameterConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.generation.request import parameter_table
from gravlensdiffusion.model.folders import MODELS_FOLDER, bundled_models
from gravlensdiffusion.presets.simulation import learned_preset, simulation_preset
from gravlensdiffusion.simulation.population import prior_bounds


def check(config: ModelConfig, name: str, values: Sequence[float], model: str = "m") -> None:
    parameter_table(config, range(len(values)), {name: values}, 0, model)


def complaint(parameter: ParameterConfig, value: float) -> str:
    with pytest.raises(GravLensError) as told:
        check(ModelConfig(parameters=(parameter,)), parameter.name, [value], "lens64")
    return str(told.value)


@pytest.mark.parametrize(
    ("low", "high", "unit", "scale", "value", "expected"),
    [
        (1.0, 1.65, "arcsec", "linear", 3, "p 3 is outside X, 1.00 to 1.65 arcsec"),
        (0.0, 0.29, "", "linear", -0.1, "p -0.1 is outside X, 0.00 to 0.29"),
        (-0.5, 0.5, "arcsec", "linear", 0.52, "p 0.52 is outside X, -0.5 to 0.5 arcsec"),
        (35.2, 158, "", "log", 20, "p 20 is outside X, 35 to 158"),
        (-0.0004, 0.9, "", "linear", 1, "p 1 is outside X, 0.0 to 0.9"),
        (1e4, 3e5, "", "linear", 1, "p 1 is outside X, 10000 to 300000"),
        (1.00003, 1.64998, "", "linear", 0, "p 0 is outside X, 1.00 to 1.65"),
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
    check(ModelConfig(parameters=(parameter,)), "p", [first, last, math.nan])
    share = math.log if log else float
    slack = SLACK * (share(low + width) - share(low))
    assert abs(share(first) - share(low)) <= slack
    assert abs(share(last) - share(low + width)) <= slack


def test_a_hundredth_of_the_width_is_forgiven_and_no_more() -> None:
    linear = ParameterConfig(name="p", low=0.1, high=0.3)
    logarithmic = ParameterConfig(name="p", low=10, high=1000, scale="log")
    for parameter, inside, outside in (
        (linear, (0.0981, 0.3019), (0.0979, 0.3021)),
        (logarithmic, (9.56, 1046), (9.54, 1048)),
    ):
        check(ModelConfig(parameters=(parameter,)), "p", inside)
        for value in outside:
            assert "is outside" in complaint(parameter, value)


@pytest.mark.parametrize("name", bundled_models())
def test_the_shown_and_the_drawn_ranges_of_bundled_models_are_accepted(name: str) -> None:
    config = from_json(
        ModelConfig, (MODELS_FOLDER / name / "config.json").read_bytes(), source=name
    )
    drawn = prior_bounds(simulation_preset(learned_preset(config.training_data) or "deeplense"))
    for parameter in config.parameters:
        ends = tuple(map(float, parameter.shown_ends()))
        check(config, parameter.name, ends, name)
        if parameter.name in drawn:
            assert ends == drawn[parameter.name]
