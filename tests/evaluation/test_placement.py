import json

import numpy as np
import pytest

from gravlensdiffusion.evaluation.measure import Measurements
from gravlensdiffusion.evaluation.report import to_html, to_json, to_text
from gravlensdiffusion.evaluation.result import place
from gravlensdiffusion.evaluation.verdict import verdict
from tests.evaluation.cards import evaluation


def measured(**physics: list[float]) -> Measurements:
    num = len(next(iter(physics.values())))
    numbers = {name: np.array(values, float) for name, values in physics.items()}
    return Measurements.of(np.zeros((num, 1)), physics=numbers)


GENERATED = measured(
    einstein_radius=[*range(101), np.nan],
    sky_rms=[*range(102)],
    maximum=[1.0] * 102,
    m20=[np.nan] * 102,
)
REAL = measured(
    einstein_radius=[50.0, np.nan, 10.0],
    sky_rms=[-5.0, 99.0, 20.5],
    maximum=[1.0] * 3,
    m20=[1.0] * 3,
)


@pytest.fixture(scope="module")
def placements():
    return {each.name: each for each in place(GENERATED, REAL)}


def test_each_real_image_stands_beside_the_range_of_the_generated_ones(placements):
    radius = placements["einstein_radius"]
    assert radius.quantiles == pytest.approx((5, 50, 95))
    np.testing.assert_equal(radius.values, [50, np.nan, 10])
    assert radius.below == pytest.approx([50.5 / 101, np.nan, 10.5 / 101], abs=1e-9, nan_ok=True)
    assert (radius.num_measured, radius.num_outside) == (2, 0)
    assert (placements["sky_rms"].num_measured, placements["sky_rms"].num_outside) == (3, 2)
    assert placements["sky_rms"].below[0] == 0


def test_what_says_nothing_is_left_out(placements):
    assert set(placements) == {"einstein_radius", "sky_rms"}


def test_the_report_shows_them_in_place_of_distances(placements):
    facts = evaluation().facts | {"num_generated": 102, "num_reference": 3}
    found = evaluation(rows=(), facts=facts, placements=tuple(placements.values()))
    few, outside = verdict(found)[:2]
    assert few.startswith("Only 102 generated and 3 reference images")
    assert "in 1 of 2 statistics: sky rms (2 of 3)" in outside
    text = to_text(found)
    assert "Floors" not in text
    lines = [line.split() for line in text.splitlines()]
    assert ["Einstein", "radius", "5.00", "to", "95.0", "50.0", "(50%)", "10.0", "(10%)"] in lines
    assert "Real images, one by one" in to_html(found).decode()
    assert json.loads(to_json(found))["placements"][0]["values"] == [50, None, 10]


def test_real_images_that_lie_within_are_said_too(placements):
    found = evaluation(rows=(), placements=(placements["einstein_radius"],))
    assert verdict(found)[0].startswith(
        "None of the reference images lie outside of the middle 90%"
    )
