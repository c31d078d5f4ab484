"""What a user orders, as text, and the numbers that come of it."""

import inspect
import json
import math
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gravlensdiffusion.config.model import ModelConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.generation.request import Asked, Span, class_indices, parameter_table
from tests.generation.tables import CONFIG, values

PLAIN = ModelConfig()
numbers = st.floats(allow_nan=False, allow_infinity=False)


@given(numbers)
def test_a_number_is_a_span_of_one_value(value: float) -> None:
    assert Span.parse(str(value), "theta_E") == (value, value)
    assert Span.parse(f" {value!r} ", "theta_E") == (value, value)


@given(numbers, numbers)
def test_two_numbers_are_a_span_from_low_to_high(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert Span.parse(f"{low}:{high}", "theta_E") == Span(low, high)
    if low < high:
        with pytest.raises(GravLensError, match="ends below its start"):
            Span.parse(f"{high}:{low}", "theta_E")


@pytest.mark.parametrize("text", ["", ":", "1:", ":1", "1:2:3", "a", "1,2", "nan", "inf", "1_0"])
def test_what_is_no_span_is_told_with_its_name(text: str) -> None:
    with pytest.raises(GravLensError) as told:
        Span.parse(text, "theta_E")
    assert str(told.value) == (f"`theta_E`: '{text}' is neither a number nor a range like 1.0:1.4")


def test_labels_go_round_and_values_stand_in_their_columns() -> None:
    labels = class_indices(CONFIG, 4, None, "lens64")
    assert labels.dtype == np.int16
    assert labels.tolist() == [0, 1, 2, 0]
    assert class_indices(CONFIG, 3, ["axion", "any"], "lens64").tolist() == [2, -1, 2]
    made = values(4, {"gamma1": Span(0.1, 0.1)})
    assert made[:, 2].tolist() == [0.1] * 4
    assert np.isnan(np.delete(made, 2, axis=1)).all()
    assert parameter_table(PLAIN, range(2), {}, 0, "plain").shape == (2, 0)


def test_an_image_gets_the_same_whatever_is_asked_beside_it() -> None:
    spans = {"theta_E": Span(1.1, 1.3), "signal_to_noise": Span(20, 200)}
    many, few = values(20, spans, seed=3), values(5, spans, seed=3)
    np.testing.assert_array_equal(many[:5], few)
    alone = values(20, {"signal_to_noise": Span(20, 200)}, seed=3)
    np.testing.assert_array_equal(alone[:, 3], many[:, 3])
    turned = values(20, dict(reversed(spans.items())), seed=3)
    np.testing.assert_array_equal(turned, many)
    assert not np.array_equal(values(20, spans, seed=4)[:, 0], many[:, 0])


def test_values_are_even_on_their_scale_and_independent() -> None:
    spans = {"theta_E": Span(1.1, 1.3), "source_x": Span(-0.5, 0), "signal_to_noise": Span(20, 200)}
    theta_E, source_x, _, ratio = values(3000, spans).T
    assert stats.kstest(theta_E, stats.uniform(1.1, 0.2).cdf).pvalue > 0.01
    assert stats.kstest(source_x, stats.uniform(-0.5, 0.5).cdf).pvalue > 0.01
    assert stats.kstest(ratio, stats.loguniform(20, 200).cdf).pvalue > 0.01
    assert np.median(ratio) == pytest.approx(math.sqrt(20 * 200), rel=0.1)
    assert abs(np.corrcoef(theta_E, source_x)[0, 1]) < 0.06
    assert theta_E.min() >= 1.1
    assert theta_E.max() <= 1.3


def test_what_a_model_does_not_know_is_refused() -> None:
    cases = [
        ({"theta_E": Span(3, 3)}, "theta_E 3 is outside what model 'lens64' has learned, 1.00 to"),
        ({"theta_E": Span(1.2, 1.7)}, "theta_E 1.7 is outside"),
        (
            {"mass": Span(1, 1)},
            "model 'lens64' has no parameter 'mass'; it has: theta_E, source_x,",
        ),
    ]
    for spans, message in cases:
        with pytest.raises(GravLensError, match=message):
            values(2, spans)
    with pytest.raises(GravLensError, match="model 'plain' has no parameter 'theta_E'; it has: no"):
        parameter_table(PLAIN, range(2), {"theta_E": Span(1, 1)}, 0, "plain")
    with pytest.raises(GravLensError, match="no class 'halo'; it has: no_sub, cdm, axion, any"):
        class_indices(CONFIG, 2, ["cdm", "halo"], "lens64")
    with pytest.raises(GravLensError, match="seed"):
        values(2, {"theta_E": Span(1.1, 1.2)}, seed=-1)


def test_arrays_and_numbers_become_a_table() -> None:
    made = values(3, {"gamma1": 0.1, "theta_E": [1.2, math.nan, 1.4]})
    np.testing.assert_array_equal(made[:, 0], [1.2, math.nan, 1.4])
    np.testing.assert_array_equal(made[:, 2], [0.1] * 3)
    assert np.isnan(made[:, [1, 3]]).all()
    with pytest.raises(GravLensError, match=r"'gamma1' must be a number or 3 numbers, .* \(2,\)"):
        values(3, {"gamma1": [0.1, 0.2]})
    with pytest.raises(GravLensError, match=r"theta_E 0\.9 is outside"):
        values(2, {"theta_E": [1.2, 0.9]})


@pytest.mark.parametrize("label", [[], 1, [1], {}, b"cdm", ("cdm", None)])
def test_a_label_that_is_no_name_is_refused_with_the_names_there_are(label) -> None:
    with pytest.raises(GravLensError, match=r"label must be .*: no_sub, cdm, axion, any; got "):
        class_indices(CONFIG, 4, label, "lens64")


def test_what_is_handed_on_is_what_a_request_takes() -> None:
    taken = inspect.signature(LensGenerator.request).parameters.values()
    named = {each.name: each.annotation for each in taken if each.kind is each.KEYWORD_ONLY}
    assert named == Asked.__annotations__


def test_a_part_of_a_request_is_that_of_its_images(ordering: LensGenerator) -> None:
    asked = {"label": "cdm", "seed": 5}
    whole = ordering.request(30, **asked)
    assert len(np.unique(whole.parameters[:, :2], axis=0)) > 3
    for part in (whole[4:7], ordering.request(3, first=4, **asked)):
        assert part.numbers == range(4, 7)
        assert part.identity() == whole[4:7].identity()
        assert np.array_equal(part.parameters, whole.parameters[4:7], equal_nan=True)
    asked["parameters"] = {"theta_E": Span(0.9, 1.5)}
    drawn = ordering.request(30, **asked).parameters
    later = ordering.request(3, first=4, **asked).parameters
    assert np.array_equal(later, drawn[4:7], equal_nan=True)
    assert [batch.numbers for batch in whole[4:9].batches(2)] == [
        range(4, 6),
        range(6, 8),
        range(8, 9),
    ]


def test_nothing_that_is_asked_is_left_out_of_its_identity(ordering: LensGenerator) -> None:
    request = ordering.request(2)
    changes = {
        "labels": request.labels[::-1],
        "parameters": request.parameters + 1,
        "seed": 1,
        "sampler": "ddim",
        "num_steps": 7,
        "guidance": 2.0,
        "observation": None,
        "flux_unit": "peak",
        "noise_free": False,
        "first": 1,
        "weak": "0" * 64,
    }
    assert changes.keys() == {each.name for each in fields(request)}
    for name, value in changes.items():
        other = replace(request, **{name: value})
        assert json.dumps(other.identity()) != json.dumps(request.identity()), name
