"""An evaluation as JSON and as text."""

import json
import re
from dataclasses import replace

import pytest

from gravlensdiffusion.evaluation.report import to_json, to_text
from gravlensdiffusion.reports.document import WIDTH
from tests.evaluation.cards import EVIL, ROWS, evaluation


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


@pytest.fixture(scope="module")
def text() -> str:
    return to_text(evaluation())


def test_json_is_strict_and_holds_every_number():
    found = json.loads(to_json(evaluation()), parse_constant=refuse)
    assert found["schema_version"] == 1
    assert [row["name"] for row in found["rows"]] == [row.name for row in ROWS]
    assert found["rows"][0]["value"] == 2.351
    assert found["rows"][4]["value"] is None
    assert found["facts"]["sets"]["generated"]["name"] == EVIL
    assert found["facts"]["odd"] == [3, None, [1.0, None], "2020-01-01"]
    assert found["class_pairs"][0] == {
        "names": ["no_sub", "axion"],
        "generated": 0.93,
        "real": 0.95,
        "kept": 0.956,
        "spread": 0.0,
    }
    assert found["requested"][0]["encoder_scatter"] is None
    assert found["closest_pairs"] == [{"space": "pixels", "distances": [0.25, None]}]
    assert found["notes"] == ["few images"]


def test_json_of_one_evaluation_is_always_the_same():
    assert to_json(evaluation()) == to_json(evaluation())


def test_rows_of_json_have_the_keys_that_are_documented():
    row = json.loads(to_json(evaluation()))["rows"][5]
    assert row == {
        "name": "AUC, pixels",
        "group": "two-sample test",
        "value": 0.71,
        "value_spread": None,
        "floor": 0.5,
        "floor_spread": 0.01,
        "ratio": None,
        "z": 21.0,
        "corrected": None,
        "p_value": None,
        "shift": None,
        "offset": None,
        "widening": None,
        "equivalent": "",
        "space": "pixels",
        "is_valid": False,
        "is_memorised": False,
        "note": "invalid: 0.91 on planted noise",
    }


def test_names_that_are_no_text_are_written_all_the_same():
    found = json.loads(to_json(evaluation(facts={"sets": {"generated": {"name": "caf\udce9.h5"}}})))
    assert found["facts"]["sets"]["generated"]["name"] == "caf?.h5"


def test_table_fits_and_has_every_row_once(text):
    lines = text.splitlines()
    assert max(map(len, lines)) <= WIDTH
    for row in ROWS:
        assert sum(line[2:].startswith(row.statistic.title + "  ") for line in lines) == 1, row.name


def line_of(text: str, name: str) -> str:
    return next(line for line in text.splitlines() if line[2:].startswith(name + "  "))


def test_numbers_stand_below_their_headings(text):
    heading = text.splitlines()[3]
    for column, number in (("value", "2.351"), ("floor", "1.353 ± 0.080"), ("corrected", "0.110")):
        end = heading.index(column) + len(column)
        assert line_of(text, "lens Fréchet distance")[:end].endswith(number)
    assert line_of(text, "lens Fréchet distance").endswith("like a 6.9% flux error")
    assert "x1.74" in line_of(text, "lens Fréchet distance")
    assert "-5.0" in line_of(text, "precision")
    assert "<0.001" in line_of(text, "Einstein radius")
    assert "+9.1%" in line_of(text, "total flux")


def test_rows_far_from_the_floor_are_marked(text):
    marked = {line[2:24].strip() for line in text.splitlines() if line.startswith("* ")}
    assert {"lens Fréchet distance", "precision", "total flux", "nearest, in pixels"} < marked
    assert not line_of(text, "Einstein radius").startswith("*")
    assert not line_of(text, "AUC, pixels").startswith("*")


def test_rows_without_a_value_say_why(text):
    assert line_of(text, "M20").endswith("cannot be measured on these images")
    bare = replace(ROWS[-1], note="")
    assert line_of(to_text(evaluation(rows=(bare,))), "FID").endswith("not computed")


def test_notes_of_rows_stand_below_them(text):
    lines = text.splitlines()
    below = lines[lines.index(line_of(text, "AUC, pixels")) + 1]
    assert below.strip() == "invalid: 0.91 on planted noise"


def test_everything_else_is_said(text):
    assert re.search(r"no_sub / axion +0\.930 +0\.950 +96%", text)
    assert "0.012 ± 0.051" in text
    assert "- few images" in text
    assert "600 generated images against 600 reference images" in " ".join(text.split())
