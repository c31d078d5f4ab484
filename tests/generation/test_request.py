"""What a user orders, as text, and the numbers that come of it."""

import csv
import inspect
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from gravlensdiffusion.config.model import ModelConfig, ParameterConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.generation import conditions
from gravlensdiffusion.generation.conditions import read_conditions
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.generation.request import (
    Asked,
    Span,
    class_indices,
    parameter_table,
)

CONFIG = ModelConfig(
    class_names=("no_sub", "cdm", "axion"),
    parameters=(
        ParameterConfig(name="theta_E", unit="arcsec", low=1.0, high=1.65),
        ParameterConfig(name="source_x", unit="arcsec", low=-0.5, high=0.5),
        ParameterConfig(name="gamma1", low=0.0, high=0.29),
        ParameterConfig(name="signal_to_noise", low=10, high=1000, scale="log"),
    ),
)
PLAIN = ModelConfig()
numbers = st.floats(allow_nan=False, allow_infinity=False)


def values(num: int, asked: Mapping[str, object], seed: int = 0) -> NDArray[np.float64]:
    return parameter_table(CONFIG, range(num), asked, seed, "lens64")  # type: ignore[arg-type]


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


def table(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "order.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def read(tmp_path: Path, text: str | bytes) -> tuple[list[str], dict[str, NDArray[np.float64]]]:
    return read_conditions(table(tmp_path, text), CONFIG, "lens64")


def test_a_table_in_any_order_with_gaps(tmp_path: Path) -> None:
    labels, made = read(
        tmp_path,
        "source_x, label ,theta_E\n0.1,axion,1.2\n,Any,ANY\n\nNaN,, 1.65\n-5e-1,no_sub,nan\n",
    )
    assert labels == ["axion", "any", "any", "no_sub"]
    nan = math.nan
    expected = [[1.2, 0.1, nan, nan], [nan] * 4, [1.65, nan, nan, nan], [nan, -0.5, nan, nan]]
    np.testing.assert_array_equal(values(4, made), expected)


def test_tables_as_spreadsheets_write_them(tmp_path: Path) -> None:
    labels, made = read(tmp_path, b'\xef\xbb\xbf"label","theta_E"\r\n"cdm","1.5"\r\n')
    assert (labels, made["theta_E"].tolist()) == (["cdm"], [1.5])
    assert read(tmp_path, "label\ncdm\n") == (["cdm"], {})
    assert read(tmp_path, "gamma1\n0.2")[0] == ["any"]


@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(["no_sub", "cdm", "axion", "any", ""]),
            st.none() | st.floats(1.0, 1.65),
            st.none() | st.floats(10, 1000),
        ),
        min_size=1,
    )
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, float | None, float | None]]
) -> None:
    path = tmp_path_factory.mktemp("orders") / "order.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("label", "theta_E", "signal_to_noise"), *rows])
    labels, made = read_conditions(path, CONFIG, "lens64")
    assert labels == [row[0] or "any" for row in rows]
    written = np.array([row[1:] for row in rows], dtype=float)
    np.testing.assert_array_equal(values(len(rows), made)[:, [0, 3]], written)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "theta_E\n1.2\n3\n",
            ", line 3, column theta_E: 3 is outside what model 'lens64' has lear",
        ),
        ("theta_E\ninf\n", ", line 2, column theta_E: inf is outside what model 'lens64' has lear"),
        ("theta_E\n1,2\n", ", line 2: 2 columns where the header has 1"),
        ("label,theta_E\n\ncdm\n", ", line 3: 1 columns where the header has 2"),
        ("theta_E\n1.2\nwide\n", ", line 3, column theta_E: 'wide' is not a number"),
        ("theta_E\n1.0:1.4\n", ", line 2, column theta_E: '1.0:1.4' is not a number"),
        (
            "label\nhalo\n",
            ", line 2, column label: model 'lens64' has no class 'halo'; it has: no_",
        ),
        ("mass,label\n1,cdm\n", ", line 1: unknown column 'mass'; choose from label, theta_E, sou"),
        ("label;theta_E\n", ", line 1: unknown column 'label;theta_E'; choose from label"),
        ("label,label\n", ", line 1: column 'label' stands there twice"),
        ("label,theta_E\n", ": no rows below the header"),
        ("\n\n", ": empty, the first line must name columns"),
        (b"\x89PNG\r\n\x1a\n\xff", ": not a text file, a table in CSV is needed"),
        (b"\x00" * 90, ", line 1: unknown column '" + r"\x00" * 40 + "'"),
        ('label\n"cdm\n', ", line 2: unexpected end of data"),
    ],
)
def test_mistakes_in_a_table_are_told_where_they_are(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    with pytest.raises(GravLensError) as told:
        read(tmp_path, text)
    assert str(told.value).startswith(f"{tmp_path / 'order.csv'}{message}")
    assert "\n" not in str(told.value)


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GravLensError, match=r"absent\.csv: No such file or directory"):
        read_conditions(tmp_path / "absent.csv", CONFIG, "lens64")
    with pytest.raises(GravLensError, match="Is a directory"):
        read_conditions(tmp_path, CONFIG, "lens64")
    monkeypatch.setattr(conditions, "MAX_ROWS", 2)
    assert len(read(tmp_path, "label\ncdm\ncdm\n")[0]) == 2
    with pytest.raises(GravLensError, match="more than 2 rows"):
        read(tmp_path, "label\ncdm\ncdm\ncdm\n")


@pytest.mark.parametrize("label", [[], 1, [1], {}, b"cdm", ("cdm", None)])
def test_a_label_that_is_no_name_is_refused_with_the_names_there_are(label) -> None:
    with pytest.raises(GravLensError, match=r"label must be .*: no_sub, cdm, axion, any; got "):
        class_indices(CONFIG, 4, label, "lens64")


def test_what_is_handed_on_is_what_a_request_takes() -> None:
    taken = inspect.signature(LensGenerator.request).parameters.values()
    named = {each.name: each.annotation for each in taken if each.kind is each.KEYWORD_ONLY}
    assert named == Asked.__annotations__
