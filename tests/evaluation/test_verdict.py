"""What is said of the rows."""

from dataclasses import replace

import pytest

from gravlensdiffusion.evaluation.comparison import Row
from gravlensdiffusion.evaluation.verdict import headline, stands_out, verdict
from tests.evaluation.cards import EVIL, ROWS, USUAL, evaluation


@pytest.mark.parametrize(
    ("changes", "far"),
    [
        ({"z": 4.1}, True),
        ({"z": 3.9}, False),
        ({"z": -9.0}, False),
        ({"z": -9.0, "ratio": None}, True),
        ({"z": -9.0, "ratio": None, "group": "two-sample test"}, False),
        ({"z": 9.0, "ratio": None, "group": "two-sample test"}, True),
        ({"z": None, "ratio": 1.6}, True),
        ({"z": None, "ratio": 1.4}, False),
        ({"z": None, "ratio": None}, False),
        ({"z": 9.0, "note": "invalid: too weak"}, False),
        ({"z": 9.0, "value": None}, False),
        ({"z": None, "ratio": None, "note": "MEMORISED: all"}, True),
    ],
)
def test_a_row_stands_out_where_it_is_worse_than_real_images(changes, far):
    assert stands_out(replace(USUAL, **changes)) is far


def said(*rows: Row, **changes: object) -> str:
    return " ".join(verdict(evaluation(rows=rows, **changes)))


def test_headline_names_sets_and_numbers():
    text = headline(evaluation())
    assert text.startswith(f"{EVIL} (600 images) against real.h5 (1,200 images), at 16 pixels.")
    assert text.endswith("Floors: 600 real against 600 other real images, mean of 5 draws.")


def test_distance_is_put_beside_its_floor():
    text = said(ROWS[0])
    assert "2.351, 1.74 times its floor of 1.353 ± 0.080, like a 6.9% flux error." in text
    near = replace(ROWS[0], z=1.0)
    assert "not distinguishable from real images" in said(near)
    assert "flux error" not in said(near)


def test_physics_counts_what_was_measured_and_names_the_farthest_first():
    physics = ROWS[2:5]
    assert "Of 2 measures of lens physics, 1 lies above the floor. It is total flux" in said(
        *physics
    )
    assert "mean off by +9.1%" in said(*physics)
    assert "None of the 1 measures" in said(ROWS[2])
    far = [replace(ROWS[3], name=f"statistic {k}", ratio=float(k)) for k in range(1, 8)]
    assert "The farthest: statistic 7 (7.00 times" in said(*far)
    assert "statistic 3 " not in said(*far)


def test_invalid_tests_are_not_quoted():
    text = said(*ROWS[5:7])
    assert "0.600 from encoder features" in text
    assert "0.71" not in text
    assert "The two-sample test from pixels is invalid" in text
    several = replace(ROWS[6], name="AUC, pixels, mean of 4 images")
    assert "0.600 from pixels, mean of 4 images" in said(several)


def test_memorisation_is_said_either_way():
    assert "in pixels: a sign of copies" in said(ROWS[7])
    fine = replace(ROWS[7], note="no sign of memorisation: 1%")
    assert said(fine).startswith("No sign of copies of training images, in pixels.")


def test_classes_and_gaps_are_said():
    assert "96% is there for no_sub and axion." in said(ROWS[0])
    assert "Not computed: M20, FID" in said(ROWS[4], ROWS[8])
    assert not verdict(evaluation(rows=(), class_pairs=()))


@pytest.mark.parametrize(("n", "m", "few"), [(2, 2, True), (600, 29, True), (30, 30, False)])
def test_a_handful_of_images_is_said_before_anything_else(n: int, m: int, few: bool) -> None:
    whole = evaluation()
    sizes = {"num_generated": n, "num_reference": m}
    first = verdict(replace(whole, facts={**whole.facts, **sizes}))[0]
    assert first.startswith(f"Only {n} generated and {m} real images") is few
