import math

import numpy as np
import pytest
from astropy.cosmology import FlatLambdaCDM
from lenstronomy.Cosmo.lens_cosmo import LensCosmo
from lenstronomy.LensModel.lens_model import LensModel
from scipy import stats

from gravlensdiffusion.config.priors import Constant, LogUniform, Uniform
from gravlensdiffusion.config.simulation import Cosmology, Subhaloes, Vortex
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.simulation.substructure import (
    UNITS,
    _add_point_masses,
    _add_segment,
    _de_broglie_length,
    _draw_masses,
    draw_substructure,
    lens_geometry,
)

GEOMETRY = lens_geometry(Cosmology())


def draw_many(config, num, einstein_radius=1.3):
    rng = np.random.default_rng(3)
    return [draw_substructure(config, einstein_radius, GEOMETRY, rng) for _ in range(num)]


@pytest.mark.parametrize("slope", [-0.9, -1.0, -1.1, -1.9])
def test_masses_follow_the_power_law(slope):
    masses = _draw_masses(Subhaloes(slope=slope), 20000, np.random.default_rng(5))
    assert masses.min() >= 1e6
    assert masses.max() <= 1e10
    # Maximum of the likelihood of a truncated power law, with u = log(m / m_min) / span.
    u, span = np.log(masses / 1e6) / math.log(1e4), math.log(1e4)
    trials = np.linspace(slope - 0.1, slope + 0.1, 401)
    power = (trials + 1) * span + 1e-12
    likelihood = power * u.mean() - np.log(np.expm1(power) / power)
    assert trials[np.argmax(likelihood)] == pytest.approx(slope, abs=0.02)


def test_total_mass_at_the_slope_of_the_code_and_of_its_docstring():
    rng = np.random.default_rng(0)
    code = _draw_masses(Subhaloes(slope=-0.9), 200_000, rng).mean() * 25
    docstring = _draw_masses(Subhaloes(slope=-1.9), 2_000_000, rng).mean() * 25
    assert code == pytest.approx(3.8e10, rel=0.03)
    assert docstring == pytest.approx(3.4e8, rel=0.1)


def test_count_is_poisson_of_mean_25():
    counts = np.array([s.parameters["subhalo_count"] for s in draw_many(Subhaloes(), 4000)])
    assert counts.mean() == pytest.approx(25, abs=4 * 5 / math.sqrt(4000))
    assert counts.var() == pytest.approx(25, rel=0.1)


def test_subhaloes_lie_evenly_in_radius_and_direction():
    table = np.concatenate([s.subhaloes for s in draw_many(Subhaloes(), 400)])
    radius = np.hypot(table[:, 0], table[:, 1])
    angle = np.arctan2(table[:, 1], table[:, 0])
    assert stats.kstest(radius, stats.uniform(0.25, 1.75).cdf).pvalue > 0.01
    assert stats.kstest(angle, stats.uniform(-math.pi, 2 * math.pi).cdf).pvalue > 0.01


def test_stored_mass_and_fraction_are_those_of_the_table():
    for sample in draw_many(Subhaloes(), 20):
        total = sample.subhaloes[:, 2].sum()
        assert sample.parameters["substructure_mass"] == pytest.approx(total)
        expected = total / (GEOMETRY.mass_scale * 1.3**2)
        assert sample.parameters["substructure_fraction"] == pytest.approx(expected)
        assert len(sample.subhaloes) == sample.parameters["subhalo_count"]


def test_vortex_lies_in_any_direction_alike():
    vortex = Vortex(axion_mass=LogUniform(low=1e-24, high=1e-22), mass=Constant(value=3e10))
    samples = draw_many(vortex, 1000)
    angles = np.array([s.parameters["vortex_angle"] for s in samples])
    assert stats.kstest(angles, stats.uniform(0, math.pi).cdf).pvalue > 0.01
    # On a circle, so that a preferred axis at the seam is seen as well.
    assert abs(np.exp(2j * angles).mean()) < 3 / math.sqrt(1000)
    masses = np.array([s.parameters["axion_mass"] for s in samples])
    lengths = np.array([s.parameters["vortex_length"] for s in samples])
    np.testing.assert_allclose(lengths * masses, lengths[0] * masses[0])
    assert lengths.max() == pytest.approx(9.9, rel=0.05)
    assert lengths.min() == pytest.approx(0.099, rel=0.05)


def test_vortex_is_bent_along_its_own_angle():
    """The jump of the deflection lies along the drawn angle, not along the diagonal."""
    vortex = Vortex(axion_mass=Constant(value=1e-24), mass=Constant(value=3e10))
    for sample in draw_many(vortex, 5):
        angle = sample.parameters["vortex_angle"]
        along = 0.7 * np.array([math.cos(angle), math.sin(angle)])
        across = 1e-9 * np.array([-math.sin(angle), math.cos(angle)])
        x, y = np.stack([along + across, along - across], axis=1)
        alpha = np.zeros(2), np.zeros(2)
        sample.add_deflection(*alpha, x, y, GEOMETRY)
        jump = np.array([alpha[0][0] - alpha[0][1], alpha[1][0] - alpha[1][1]])
        size = 2 * math.pi * 3e10 / GEOMETRY.mass_scale / sample.parameters["vortex_length"]
        np.testing.assert_allclose(jump, size * across / 1e-9, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("axion_mass", [1e-24, 1e-22])
def test_vortex_fraction_counts_the_mass_within_the_einstein_radius(axion_mass):
    vortex = Vortex(
        axion_mass=Constant(value=axion_mass), mass_fraction=Uniform(low=0.02, high=0.04)
    )
    for sample in draw_many(vortex, 20):
        values = sample.parameters
        share = min(1.0, 2 * 1.3 / values["vortex_length"])
        within = values["substructure_mass"] * share / (GEOMETRY.mass_scale * 1.3**2)
        assert within == pytest.approx(values["substructure_fraction"])
        assert 0.02 <= within <= 0.04


def test_smooth_lens_has_no_mass_added_and_bends_nothing():
    sample = draw_substructure(None, 1.3, GEOMETRY, np.random.default_rng(0))
    assert set(sample.parameters) == set(UNITS)
    assert sample.parameters["substructure_mass"] == 0
    assert math.isnan(sample.parameters["vortex_length"])
    assert sample.subhaloes is None
    alpha = np.zeros(3), np.zeros(3)
    sample.add_deflection(*alpha, np.arange(3.0), np.arange(3.0), GEOMETRY)
    np.testing.assert_array_equal(alpha, 0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Vortex(axion_mass=Constant(value=1e-23)),
        lambda: Vortex(axion_mass=Constant(value=0.0), mass=Constant(value=1.0)),
        lambda: Vortex(axion_mass=Constant(value=1e-23), mass=Constant(value=-1.0)),
        lambda: Subhaloes(mass_min=1e10, mass_max=1e6),
        lambda: Subhaloes(mean_count=0),
        lambda: Subhaloes(radius_min=2, radius_max=1),
    ],
)
def test_impossible_substructure_is_refused(make):
    with pytest.raises(GravLensError):
        make()


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


def test_einstein_radius_of_a_trillion_suns_between_redshifts_half_and_one():
    # With luminosity distances and D_LS = D_S - D_L it would come out as 1.281 arcsec.
    assert math.sqrt(1e12 / lens_geometry(Cosmology()).mass_scale) == pytest.approx(1.665, abs=1e-3)


@pytest.mark.parametrize("redshifts", [(0.5, 1.0), (0.2, 2.5)])
def test_geometry_agrees_with_lenstronomy(redshifts):
    z_lens, z_source = redshifts
    cosmology = Cosmology(
        hubble=67.0, omega_matter=0.31, redshift_lens=z_lens, redshift_source=z_source
    )
    geometry = lens_geometry(cosmology)
    theirs = LensCosmo(z_lens, z_source, cosmo=FlatLambdaCDM(H0=67.0, Om0=0.31))
    # Their critical density is per square arcsecond; theta_E = 1 encloses pi of it. Their
    # constants of nature are older ones, 3e-4 apart from astropy's.
    assert geometry.mass_scale == pytest.approx(theirs.sigma_crit_angle * math.pi, rel=5e-4)
    assert geometry.kpc_per_arcsec == pytest.approx(theirs.dd * 1e3 / 206264.806, 1e-4)


def test_de_broglie_length_of_fuzzy_dark_matter():
    # Hui et al. 2017: lambda / 2 pi = 1.92 kpc at 1e-22 eV and 10 km/s.
    assert _de_broglie_length(1e-22, 10.0) == pytest.approx(1.92 * 6.283185, rel=2e-3)
    assert _de_broglie_length(1e-24, 200.0) == pytest.approx(60.3, rel=2e-3)
