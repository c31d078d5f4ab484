"""Whatever a model may say of its images, a set of them can hold."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gravlensdiffusion.codec import from_json
from gravlensdiffusion.config.bounds import MAX_NAME
from gravlensdiffusion.config.model import ModelConfig, ParameterConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.records import LensRecord, SetHeader
from gravlensdiffusion.store.reader import LensStore
from gravlensdiffusion.store.writer import write_store

TEXTS = st.one_of(
    st.text("ab/.,= -\0\n\x1b\u202e\xe9", min_size=1, max_size=4),
    st.text(max_size=20),
    st.integers(MAX_NAME - 1, MAX_NAME + 1).map("\xe9".__mul__),
)
SCALES = st.one_of(st.sampled_from([0.0, -1.0, -0.0, 5e-324, 1e308]), st.floats(allow_nan=False))
GOOD: dict[str, Any] = {
    "class": "cdm",
    "parameter": "theta_E",
    "unit": "arcsec",
    "flux_unit": "e-/s",
    "resize": "area",
    "scale": 0.25,
}


def accepted(said: dict[str, Any]) -> ModelConfig | None:
    """Return the configuration of a model that says so, or None where it is refused."""
    parameter = {"name": said["parameter"], "unit": said["unit"], "low": 0, "high": 1}
    document = {
        "class_names": [said["class"]],
        "parameters": [parameter],
        "pixel_scale_arcsec": said["scale"],
        "flux_unit": said["flux_unit"],
        "resize": said["resize"],
    }
    try:
        return from_json(ModelConfig, json.dumps(document))
    except GravLensError:
        return None


def check_held(config: ModelConfig) -> None:
    """Write an image of a model, and read it back."""
    header = SetHeader(
        class_names=config.class_names,
        pixel_scale_arcsec=config.pixel_scale_arcsec,
        flux_unit=config.flux_unit,
        parameter_units={each.name: each.unit for each in config.parameters},
        resize=config.resize,
    )
    record = LensRecord(
        image=np.zeros((1, 4, 4), np.float32),
        label=0,
        parameters={each.name: 0.5 for each in config.parameters},
    )
    with tempfile.TemporaryDirectory() as folder:
        path = write_store(Path(folder) / "lenses.h5", [record], header)
        assert LensStore(path).header == header


@pytest.mark.parametrize("what", [name for name in GOOD if name != "scale"])
@given(text=TEXTS)
@example(text="e\0s")
@example(text="a/b")
@example(text="..")
def test_names_and_units(what: str, text: str) -> None:
    if config := accepted({**GOOD, what: text}):
        check_held(config)


@given(SCALES)
def test_pixel_scales(scale: float) -> None:
    if config := accepted({**GOOD, "scale": scale}):
        check_held(config)


def test_what_is_common_is_accepted() -> None:
    for name, text in (("class", "no lens"), ("unit", ""), ("flux_unit", "µJy"), ("scale", None)):
        config = accepted({**GOOD, name: text})
        assert config is not None
        check_held(config)


def test_the_number_of_parameters() -> None:
    held = ModelConfig(
        parameters=tuple(ParameterConfig(name=f"p{k}", low=0, high=1) for k in range(1000))
    )
    check_held(replace(held, class_names=("a",)))
    with pytest.raises(GravLensError, match="has 1001 parameters, more than the limit of 1000"):
        replace(held, parameters=(*held.parameters, ParameterConfig(name="q", low=0, high=1)))
