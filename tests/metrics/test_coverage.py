"""Precision, recall, density and coverage against cases that can be worked out."""

import numpy as np
import pytest

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.metrics import features as coverage
from gravlensdiffusion.metrics.features import measure_coverage


def expected_coverage(num_generated: int, num_real: int, num_neighbours: int = 5) -> float:
    """Return the coverage to expect of two sets of one distribution, in any dimension.

    A ball is missed when the k nearest of the other N + M - 1 points are all real:
    1 - (N - 1) ... (N - k) / ((M + N - 1) ... (M + N - k)), which goes to 1 - 2^-k for two large
    sets of equal size.

    References:
        Naeem et al. 2020, arXiv:2002.09797, lemma 2.
    """
    missed = 1.0
    for taken in range(1, num_neighbours + 1):
        missed *= max(num_real - taken, 0) / (num_generated + num_real - taken)
    return 1 - missed


def test_points_on_a_line_by_hand() -> None:
    # With k = 1 the balls of the real points reach 1, 1, 2 and 4 far, those of the generated
    # points 0.5, 0.5 and 7.5.
    real = np.array([[0.0], [1.0], [3.0], [7.0]])
    generated = np.array([[0.5], [0.0], [8.0]])
    found = measure_coverage(generated, real, num_neighbours=1)
    # 0.5 lies in the balls of 0 and 1, 0 in those of 0 and 1 (at its edge), 8 in that of 7.
    assert found["precision"] == 1
    assert found["density"] == pytest.approx(5 / 3)
    assert found["coverage"] == 3 / 4
    # 0 lies in the balls of 0.5 and 0, all others in that of 8 but for 0.
    assert found["recall"] == 1
    narrow = measure_coverage(np.array([[0.5], [0.0], [0.1]]), real, num_neighbours=1)
    assert narrow["recall"] == 1 / 4
    assert narrow["coverage"] == 2 / 4


@pytest.mark.parametrize("num_generated", [500, 2000])
def test_one_distribution_has_the_expected_coverage_and_density_one(num_generated: int) -> None:
    rng = np.random.default_rng(0)
    found = measure_coverage(rng.normal(size=(num_generated, 8)), rng.normal(size=(2000, 8)))
    assert found["coverage"] == pytest.approx(expected_coverage(num_generated, 2000), abs=0.025)
    assert found["density"] == pytest.approx(1, abs=0.05)


def test_expected_coverage_goes_to_its_limit() -> None:
    assert expected_coverage(10**7, 10**7, 5) == pytest.approx(1 - 2**-5, abs=1e-6)
    # Two real points, one generated: it is nearer than the other real one in 1 of 2 cases.
    assert expected_coverage(1, 2, 1) == 0.5
    assert expected_coverage(100, 3, 5) == 1


def test_identical_sets_give_one_and_disjoint_sets_nothing() -> None:
    points = 1000 + np.random.default_rng(1).normal(size=(300, 6)).astype(np.float32)
    same = measure_coverage(points, points)
    assert (same["precision"], same["recall"], same["coverage"]) == (1, 1, 1)
    apart = measure_coverage(points + 50, points)
    assert (apart["precision"], apart["recall"], apart["density"], apart["coverage"]) == (
        0,
        0,
        0,
        0,
    )


def test_one_image_repeated_is_precise_and_covers_nothing() -> None:
    real = np.random.default_rng(2).normal(size=(400, 6))
    found = measure_coverage(np.repeat(real[:1], 400, axis=0), real)
    assert found["precision"] == 1
    assert found["coverage"] < 0.1
    assert found["recall"] == 1 / 400


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    generated, real = rng.normal(size=(257, 4)), rng.normal(size=(300, 4))
    whole = measure_coverage(generated, real)
    monkeypatch.setattr(coverage, "BLOCK", 64)
    assert measure_coverage(generated, real) == whole


def test_mistakes_are_named() -> None:
    points = np.zeros((5, 3))
    with pytest.raises(GravLensError, match="differ in length of their vectors: 3 and 4"):
        measure_coverage(points, np.zeros((50, 4)))
    with pytest.raises(GravLensError, match="NaN or infinite"):
        measure_coverage(np.full((50, 3), np.nan), np.zeros((50, 3)))
    with pytest.raises(GravLensError, match=r"shape \(N, D\), got shape \(0, 3\)"):
        measure_coverage(np.zeros((0, 3)), points)
