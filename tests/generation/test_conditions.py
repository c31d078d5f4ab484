"""Tables of what each image is asked to be, as users write them."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.generation import conditions
from gravlensdiffusion.generation.conditions import read_conditions
from tests.generation.tables import CONFIG, values


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
