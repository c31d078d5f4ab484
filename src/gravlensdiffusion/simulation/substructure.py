"""What is added to the smooth lens: nothing, cold dark matter subhaloes, or a vortex; from masses in the sky to angles."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from astropy import constants, units
from astropy.cosmology import FlatLambdaCDM
from numpy.typing import NDArray

from gravlensdiffusion.config.simulation import Cosmology, Subhaloes, Vortex
from gravlensdiffusion.simulation.light import Profile
from gravlensdiffusion.simulation.population import draw

Array = NDArray[np.float64]

UNITS = {
    "substructure_mass": "M_sun",
    "substructure_fraction": "",
    "subhalo_count": "",
    "axion_mass": "eV",
    "vortex_length": "arcsec",
    "vortex_angle": "rad",
}
"""Units of the parameters of the substructure; those that a class lacks are NaN."""
NEAREST_SQUARE = 1e-20
"""Squared distance below which a point is taken to lie on a point mass [arcsec^2]."""


@dataclass(frozen=True, slots=True)
class _LensGeometry:
    """The numbers that a cosmology and two redshifts come down to.

    Attributes:
        mass_scale: Mass of a point lens with an Einstein radius of one arcsecond
            [M_sun / arcsec^2]; the mass of another goes with its Einstein radius squared.
        kpc_per_arcsec: Proper length at the lens that an arcsecond spans [kpc / arcsec].
    """

    mass_scale: float
    kpc_per_arcsec: float


@lru_cache(maxsize=16)
def lens_geometry(cosmology: Cosmology) -> _LensGeometry:
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
    return _LensGeometry(
        mass_scale=float(mass.to_value(units.M_sun)),
        kpc_per_arcsec=float(to_lens.to_value(units.kpc) * arcsec),
    )


def _de_broglie_length(axion_mass: float, velocity: float) -> float:
    """Return the de Broglie wavelength h / (m v) [kpc] of a particle of a mass [eV] and velocity [km / s].

    References:
        Hui, Ostriker, Tremaine & Witten 2017, arXiv:1610.08297, eq. 1.
    """
    energy = axion_mass * units.eV
    speed = velocity * units.km / units.s
    length = constants.h * constants.c**2 / (energy * speed)
    return float(length.to_value(units.kpc))


@dataclass(frozen=True, kw_only=True, slots=True)
class Substructure:
    """The substructure of one image; this is that of a smooth lens, which is none.

    Attributes:
        parameters: The values named in `UNITS`.
        subhaloes: Shape ``(K, 3)``: x [arcsec], y [arcsec], mass [M_sun]; None where the class
            has none.
    """

    parameters: dict[str, float]
    subhaloes: Array | None = None

    @staticmethod
    def of(parameters: dict[str, float], subhaloes: Array | None = None) -> "Substructure":
        """Return the substructure that the parameters and subhaloes of a record tell."""
        if subhaloes is not None:
            return _PointMasses(parameters=parameters, subhaloes=subhaloes)
        has_segment = math.isfinite(parameters["vortex_length"])
        return (_MassSegment if has_segment else Substructure)(parameters=parameters)

    def add_deflection(
        self, alpha_x: Array, alpha_y: Array, x: Array, y: Array, geometry: _LensGeometry
    ) -> None:
        """Add the deflection [arcsec] at x and y, shape ``(N,)`` [arcsec]."""

    def profiles(self, geometry: _LensGeometry, axis: Array) -> tuple[Profile, ...]:
        """Return lenstronomy's profiles of it; rays are shot at all pairs of points of an axis ``(N,)`` [arcsec]."""
        return ()


@dataclass(frozen=True, kw_only=True, slots=True)
class _PointMasses(Substructure):
    """Subhaloes, each a point mass."""

    subhaloes: Array

    def add_deflection(
        self, alpha_x: Array, alpha_y: Array, x: Array, y: Array, geometry: _LensGeometry
    ) -> None:
        radii = np.sqrt(self.subhaloes[:, 2] / geometry.mass_scale)
        _add_point_masses(alpha_x, alpha_y, x, y, self.subhaloes[:, :2], radii)

    def profiles(self, geometry: _LensGeometry, axis: Array) -> tuple[Profile, ...]:
        radii = np.sqrt(self.subhaloes[:, 2] / geometry.mass_scale).tolist()
        places = zip(radii, *self.subhaloes[:, :2].T.tolist(), strict=True)
        return tuple(
            Profile("POINT_MASS", {"theta_E": radius, "center_x": x, "center_y": y})
            for radius, x, y in places
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _MassSegment(Substructure):
    """A vortex: a mass spread evenly along a segment through the middle of the lens."""

    def add_deflection(
        self, alpha_x: Array, alpha_y: Array, x: Array, y: Array, geometry: _LensGeometry
    ) -> None:
        own = self.parameters
        radius = math.sqrt(own["substructure_mass"] / geometry.mass_scale)
        _add_segment(alpha_x, alpha_y, x, y, radius, own["vortex_length"], own["vortex_angle"])

    def profiles(self, geometry: _LensGeometry, axis: Array) -> tuple[Profile, ...]:
        """Return a table of its deflection, since lenstronomy has no mass along a segment.

        It is exact at the rays of the image, and linear between them; see `Substructure.profiles`.
        """
        x, y = (each.ravel() for each in np.meshgrid(axis, axis))
        alpha_x, alpha_y = np.zeros_like(x), np.zeros_like(y)
        self.add_deflection(alpha_x, alpha_y, x, y, geometry)
        shape = (axis.size, axis.size)
        grid = {"grid_interp_x": axis, "grid_interp_y": axis}
        table = {"f_x": alpha_x.reshape(shape), "f_y": alpha_y.reshape(shape)}
        return (Profile("INTERPOL", grid | table),)


def draw_substructure(
    config: Subhaloes | Vortex | None,
    einstein_radius: float,
    geometry: _LensGeometry,
    rng: np.random.Generator,
) -> Substructure:
    """Draw the substructure of one image; none for a smooth lens, whose Einstein radius is given [arcsec]."""
    smooth_mass = geometry.mass_scale * einstein_radius**2
    if config is None:
        values = dict.fromkeys(UNITS, math.nan)
        return Substructure(
            parameters=values | {"substructure_mass": 0.0, "substructure_fraction": 0.0}
        )
    if isinstance(config, Subhaloes):
        return _draw_subhaloes(config, smooth_mass, rng)
    return _draw_vortex(config, einstein_radius, smooth_mass, geometry, rng)


def _draw_masses(config: Subhaloes, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw masses [M_sun] from dN/dm ~ m**slope by inverting its integral, shape ``(count,)``."""
    quantile = rng.uniform(size=count)
    power = config.slope + 1
    span = math.log(config.mass_max / config.mass_min)
    if abs(power * span) < 1e-9:
        return config.mass_min * np.exp(quantile * span)
    # log1p and expm1 keep their digits where the slope is close to -1.
    grown = np.log1p(quantile * math.expm1(power * span)) / power
    return np.asarray(config.mass_min * np.exp(grown))


def _draw_subhaloes(
    config: Subhaloes, smooth_mass: float, rng: np.random.Generator
) -> Substructure:
    count = int(rng.poisson(config.mean_count))
    masses = _draw_masses(config, count, rng)
    radius = rng.uniform(config.radius_min, config.radius_max, count)
    angle = rng.uniform(0, 2 * math.pi, count)
    total = float(masses.sum())
    values = dict.fromkeys(UNITS, math.nan) | {
        "substructure_mass": total,
        "substructure_fraction": total / smooth_mass,
        "subhalo_count": float(count),
    }
    table = np.stack([radius * np.cos(angle), radius * np.sin(angle), masses], axis=1)
    return _PointMasses(parameters=values, subhaloes=table)


def _draw_vortex(
    config: Vortex,
    einstein_radius: float,
    smooth_mass: float,
    geometry: _LensGeometry,
    rng: np.random.Generator,
) -> Substructure:
    axion_mass = draw(config.axion_mass, rng)
    length = _de_broglie_length(axion_mass, config.velocity) / geometry.kpc_per_arcsec
    angle = rng.uniform(0, math.pi)
    share_within = min(1.0, 2 * einstein_radius / length)
    if config.mass_fraction is not None:
        mass = draw(config.mass_fraction, rng) * smooth_mass / share_within
    elif config.mass is not None:
        mass = draw(config.mass, rng)
    values = dict.fromkeys(UNITS, math.nan) | {
        "substructure_mass": mass,
        "substructure_fraction": mass * share_within / smooth_mass,
        "axion_mass": axion_mass,
        "vortex_length": length,
        "vortex_angle": angle,
    }
    return _MassSegment(parameters=values)


def _add_point_masses(
    alpha_x: Array, alpha_y: Array, x: Array, y: Array, positions: Array, einstein_radii: Array
) -> None:
    """Add the deflection of point masses at positions ``(K, 2)``; a radius t deflects by t^2 / conj(z).

    It is added in place, since most of the time of an image with 25 subhaloes goes into moving
    arrays about.
    """
    dx, dy, weight, square = (np.empty_like(x) for _ in range(4))
    for (centre_x, centre_y), radius in zip(positions, einstein_radii, strict=True):
        np.subtract(x, centre_x, out=dx)
        np.subtract(y, centre_y, out=dy)
        np.multiply(dx, dx, out=weight)
        np.multiply(dy, dy, out=square)
        weight += square
        # On the very spot of a mass the direction is undefined; nothing is deflected there.
        np.maximum(weight, NEAREST_SQUARE, out=weight)
        np.divide(radius**2, weight, out=weight)
        dx *= weight
        dy *= weight
        alpha_x += dx
        alpha_y += dy


def _add_segment(
    alpha_x: Array,
    alpha_y: Array,
    x: Array,
    y: Array,
    einstein_radius: float,
    length: float,
    angle: float,
) -> None:
    r"""Add the deflection of a mass spread evenly along a segment through the origin.

    The integral of the point lens over the segment: with z = x + i y and w = z exp(-i angle),

    .. math:: \bar\alpha = \frac{t^2}{L} e^{-i\phi} \log\frac{w + L/2}{w - L/2}

    whose branch cut, with the principal logarithm, is the segment itself: the deflection across
    it jumps by 2 pi t^2 / L, as it does at a line of mass.
    """
    cos, sin = np.cos(angle), np.sin(angle)
    along = cos * x + sin * y
    across = cos * y - sin * x
    ahead, behind = along + length / 2, along - length / 2
    square = across * across
    tiny = np.finfo(np.float64).tiny
    # Real part of the logarithm, and minus its imaginary part.
    log_ratio = 0.5 * np.log((ahead * ahead + square + tiny) / (behind * behind + square + tiny))
    opening = np.arctan2(length * across, ahead * behind + square)
    scale = einstein_radius**2 / length
    alpha_x += scale * (cos * log_ratio - sin * opening)
    alpha_y += scale * (sin * log_ratio + cos * opening)
