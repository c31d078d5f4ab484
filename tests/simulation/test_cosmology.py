import math

import pytest
from astropy.cosmology import FlatLambdaCDM
from lenstronomy.Cosmo.lens_cosmo import LensCosmo

from gravlensdiffusion.config.simulation import Cosmology
from gravlensdiffusion.simulation.substructure import _de_broglie_length, lens_geometry


def test_einstein_radius_of_a_trillion_suns_between_redshifts_half_and_one():
    # With luminosity distances and D_LS = D_S - D_L it would come out as 1.281 arcsec.
    assert lens_geometry(Cosmology()).einstein_radius(1e12) == pytest.approx(1.665, abs=1e-3)


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


def test_mass_and_einstein_radius_are_each_others_inverse():
    geometry = lens_geometry(Cosmology())
    assert geometry.einstein_radius(geometry.mass_within(1.3)) == pytest.approx(1.3)


def test_de_broglie_length_of_fuzzy_dark_matter():
    # Hui et al. 2017: lambda / 2 pi = 1.92 kpc at 1e-22 eV and 10 km/s.
    assert _de_broglie_length(1e-22, 10.0) == pytest.approx(1.92 * 6.283185, rel=2e-3)
    assert _de_broglie_length(1e-24, 200.0) == pytest.approx(60.3, rel=2e-3)
