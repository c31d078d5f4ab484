"""The probe: what it finds, what it does not, and that views of an image stay together."""

import numpy as np
import pytest
from realism.probe import probe
from scipy.stats import norm

from gravlensdiffusion.errors import GravLensError


def drawn(seed: int, num: int, shift: float = 0.0, scale: float = 1.0) -> np.ndarray:
    values = scale * np.random.default_rng(seed).normal(size=(num, 1, 5))
    values[..., 0] += shift
    return values


def test_a_shift_is_found_as_well_as_can_be():
    # Two normal distributions whose means differ by d: the best classifier has an area of Phi(d / sqrt 2).
    found = probe(drawn(0, 400, 2.0), drawn(1, 40), 0)
    assert abs(found.value - norm.cdf(2 / np.sqrt(2))) < 0.06
    assert 0 < found.standard_error < 0.06


def test_images_of_one_kind_are_not_told_apart():
    areas = [probe(drawn(k, 200), drawn(100 + k, 30), 0, num_folds=3).value for k in range(5)]
    assert abs(np.mean(areas) - 0.5) < 0.1


def test_trees_see_another_spread_and_missing_values():
    sides = drawn(0, 200, scale=0.3), drawn(1, 40)
    sides[0][0, 0, 0] = np.nan
    sides = [np.append(each, np.full((*each.shape[:2], 1), np.nan), axis=2) for each in sides]
    assert probe(*sides, 0, num_folds=3).value < 0.75
    assert probe(*sides, 0, num_folds=3, with_trees=True).value > 0.85


def test_views_of_an_image_are_not_on_both_sides_of_a_split():
    # Each image has features of its own that its views share: only copies would be known again.
    generated, real = (
        np.random.default_rng(k).normal(size=(num, 1, 300)).repeat(4, 1)
        for k, num in ((0, 60), (1, 30))
    )
    assert abs(probe(generated, real, 0, num_folds=3).value - 0.5) < 0.2


@pytest.mark.parametrize(
    ("shapes", "message"),
    [(((9, 1, 5), (9, 2, 4)), "shape"), (((9, 1, 5), (3, 1, 5)), "at least 4")],
)
def test_sides_that_do_not_go_together_are_refused(shapes, message):
    with pytest.raises(GravLensError, match=message):
        probe(*(np.zeros(shape) for shape in shapes), 0)
