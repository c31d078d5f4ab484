"""From masses in the sky to angles, by angular-diameter distances."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from astropy import constants, units
from astropy.cosmology import FlatLambdaCDM

from gravlensdiffusion.config.simulation import Cosmology


@dataclass(frozen=True, slots=True)
class LensGeometry:
    """The numbers that a cosmology and two redshifts come down to.

    Attributes:
        mass_scale: Mass of a point lens with an Einstein radius of one arcsecond
            [M_sun / arcsec^2]; the mass of another goes with its Einstein radius squared.
        kpc_per_arcsec: Proper length at the lens that an arcsecond spans [kpc / arcsec].
    """

    mass_scale: float
    kpc_per_arcsec: float

    def einstein_radius(self, mass: float) -> float:
        """Return the Einstein radius [arcsec] of a point lens of a mass [M_sun]."""
        return float(np.sqrt(mass / self.mass_scale))

    def mass_within(self, einstein_radius: float) -> float:
        """Return the mass [M_sun] within the Einstein radius [arcsec] of a round lens."""
        return self.mass_scale * einstein_radius**2


@lru_cache(maxsize=16)
def lens_geometry(cosmology: Cosmology) -> LensGeometry:
    r"""Work out the geometry of a lens.

    The Einstein radius of a point mass is

    .. math:: \theta_E = \sqrt{\frac{4 G M}{c^2} \frac{D_{LS}}{D_L D_S}}

    with angular-diameter distances, of which D_LS is *not* D_S - D_L.

    References:
        Schneider, Ehlers & Falco 1992, Gravitational Lenses, section 2.1.
        Hogg 1999, Distance measures in cosmology, arXiv:astro-ph/9905116.
    """
    model = FlatLambdaCDM(H0=cosmology.hubble, Om0=cosmology.omega_matter)
    to_lens = model.angular_diameter_distance(cosmology.redshift_lens)
    to_source = model.angular_diameter_distance(cosmology.redshift_source)
    # In a flat universe comoving distances add up; this spelling is the same in all astropys.
    between = (
        model.comoving_distance(cosmology.redshift_source)
        - model.comoving_distance(cosmology.redshift_lens)
    ) / (1 + cosmology.redshift_source)
    arcsec = units.arcsec.to(units.rad)
    mass = constants.c**2 / (4 * constants.G) * to_lens * to_source / between * arcsec**2
    return LensGeometry(
        mass_scale=float(mass.to_value(units.M_sun)),
        kpc_per_arcsec=float(to_lens.to_value(units.kpc) * arcsec),
    )


def de_broglie_length(axion_mass: float, velocity: float) -> float:
    """Return the de Broglie wavelength h / (m v) [kpc] of a particle of a mass [eV] and velocity [km / s].

    References:
        Hui, Ostriker, Tremaine & Witten 2017, arXiv:1610.08297, eq. 1.
    """
    energy = axion_mass * units.eV
    speed = velocity * units.km / units.s
    length = constants.h * constants.c**2 / (energy * speed)
    return float(length.to_value(units.kpc))
