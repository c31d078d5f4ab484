import numpy as np
import pytest
from lenstronomy.LensModel.lens_model import LensModel

from gravlensdiffusion.simulation.substructure import _add_point_masses, _add_segment


@pytest.fixture
def grid():
    axis = (np.arange(60) - 29.5) * 0.11
    x, y = np.meshgrid(axis, axis)
    return x.ravel(), y.ravel()


def point_deflection(x, y, positions, radii):
    alpha = np.zeros_like(x), np.zeros_like(x)
    _add_point_masses(*alpha, x, y, np.asarray(positions, float), np.asarray(radii, float))
    return np.stack(alpha)


def segment_deflection(x, y, radius, length, angle):
    alpha = np.zeros_like(x), np.zeros_like(x)
    _add_segment(*alpha, x, y, radius, length, angle)
    return np.stack(alpha)


def test_point_masses_agree_with_lenstronomy(grid):
    rng = np.random.default_rng(0)
    positions, radii = rng.uniform(-2, 2, (25, 2)), rng.uniform(0.001, 0.2, 25)
    arguments = [
        {"theta_E": radius, "center_x": x, "center_y": y}
        for radius, (x, y) in zip(radii, positions, strict=True)
    ]
    theirs = LensModel(["POINT_MASS"] * 25).alpha(*grid, arguments)
    np.testing.assert_allclose(point_deflection(*grid, positions, radii), theirs, atol=1e-12)


def test_deflection_is_added_to_what_is_there(grid):
    alpha = np.ones_like(grid[0]), np.full_like(grid[0], 2.0)
    _add_point_masses(*alpha, *grid, np.array([[0.3, 0.1]]), np.array([0.2]))
    expected = point_deflection(*grid, [[0.3, 0.1]], [0.2])
    np.testing.assert_allclose(alpha, expected + np.array([[1.0], [2.0]]))


def test_deflection_on_the_spot_of_a_mass_is_finite():
    alpha = point_deflection(np.array([0.5]), np.array([-0.5]), [[0.5, -0.5]], [0.1])
    np.testing.assert_array_equal(alpha, 0)


@pytest.mark.parametrize("angle", [0.0, 0.4, 2.0, 3.0])
@pytest.mark.parametrize("length", [0.3, 2.0, 10.0])
def test_segment_is_the_limit_of_a_string_of_point_masses(grid, angle, length):
    num = 4000
    along = (np.arange(num) + 0.5) / num * length - length / 2
    positions = np.stack([along * np.cos(angle), along * np.sin(angle)], axis=1)
    string = point_deflection(*grid, positions, np.full(num, 0.2 / num**0.5))
    exact = segment_deflection(*grid, 0.2, length, angle)
    # The string's field is lumpy within a few spacings of it.
    across = np.abs(grid[1] * np.cos(angle) - grid[0] * np.sin(angle))
    clear = across > 3 * length / num
    assert clear.mean() > 0.9
    np.testing.assert_allclose(exact[:, clear], string[:, clear], atol=1e-6)


def test_deflection_jumps_across_the_segment_by_its_mass_per_length():
    x, y = np.array([0.2, 0.2]), np.array([1e-9, -1e-9])
    above, below = segment_deflection(x, y, 0.3, 2.0, 0.0)[1]
    assert above - below == pytest.approx(2 * np.pi * 0.3**2 / 2.0, rel=1e-6)


def test_short_segment_deflects_as_a_point_mass(grid):
    point = point_deflection(*grid, [[0, 0]], [0.2])
    np.testing.assert_allclose(segment_deflection(*grid, 0.2, 1e-4, 1.0), point, atol=1e-6)


def test_turning_the_segment_by_half_a_turn_changes_nothing(grid):
    one, other = (segment_deflection(*grid, 0.2, 3.0, angle) for angle in (0.7, 0.7 + np.pi))
    np.testing.assert_allclose(one, other, atol=1e-12)
