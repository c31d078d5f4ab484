"""Named populations and instruments to simulate."""

from collections.abc import Callable
from dataclasses import replace

from gravlensdiffusion.config.priors import Constant, LogUniform, Prior, TruncatedNormal, Uniform
from gravlensdiffusion.config.simulation import (
    Box,
    Camera,
    Disc,
    GalaxyLight,
    Imaging,
    Lens,
    LensClass,
    Scene,
    SimulationConfig,
    Source,
    Subhaloes,
    Telescope,
    Vortex,
)
from gravlensdiffusion.errors import GravLensError

CENTRE = Box(x=Constant(value=0.0), y=Constant(value=0.0))
AXION_MASS = LogUniform(low=1e-24, high=1e-22)
EUCLID_GALAXY = TruncatedNormal(mean=19.8, std=0.6, low=18.3, high=21.3)
EUCLID_SOURCE = TruncatedNormal(mean=23.6, std=0.6, low=22.2, high=25.0)
HST_GALAXY = TruncatedNormal(mean=18.3, std=0.6, low=16.8, high=19.8)
HST_SOURCE = TruncatedNormal(mean=22.8, std=0.6, low=21.4, high=24.2)
HALF_LENSES = (1.0, 1.0, 1.0, 3.0)
"""Weights of three classes of lenses and of one without."""


def deeplense() -> SimulationConfig:
    """Lenses like those of the DeepLense diffusion set; docs/simulation.md has the calibration."""
    return SimulationConfig(
        preset="deeplense",
        lens=Lens(
            einstein_radius=Uniform(low=1.0, high=1.65),
            e1=TruncatedNormal(mean=-0.04, std=0.026, low=-0.1, high=0.02),
            e2=TruncatedNormal(mean=0.0, std=0.011, low=-0.03, high=0.03),
            position=CENTRE,
            gamma1=Uniform(low=0.0, high=0.29),
            gamma2=TruncatedNormal(mean=-0.01, std=0.012, low=-0.04, high=0.02),
        ),
        source=Source(
            light=GalaxyLight(
                magnitude=Constant(value=20.0),
                effective_radius=TruncatedNormal(mean=0.48, std=0.02, low=0.42, high=0.54),
                sersic_index=TruncatedNormal(mean=1.25, std=0.05, low=1.1, high=1.4),
                e1=Uniform(low=0.02, high=0.38),
                e2=TruncatedNormal(mean=-0.02, std=0.027, low=-0.08, high=0.06),
            ),
            position=Disc(radius=Uniform(low=0.0, high=0.5)),
        ),
        classes=_classes(),
        mix=(1.0, 1.0, 1.0),
        imaging=Imaging(
            instrument=Camera(
                pixel_scale=0.05, psf_fwhm=0.087, zero_point=25.0, background_rms=0.00172
            ),
            num_pixels=150,
            flux_unit="peak",
        ),
    )


def deeplense_wide() -> SimulationConfig:
    """The lenses of `deeplense` with every prior widened, noise included: to train encoders on.

    Shear and ellipticities point anywhere, and the sky noise runs from a quarter to four times
    that of `deeplense`.
    """
    narrow = deeplense()
    return replace(
        narrow,
        preset="deeplense-wide",
        lens=Lens(
            einstein_radius=Uniform(low=0.7, high=2.0),
            e1=TruncatedNormal(mean=0.0, std=0.1, low=-0.25, high=0.25),
            e2=TruncatedNormal(mean=0.0, std=0.1, low=-0.25, high=0.25),
            position=Disc(radius=Uniform(low=0.0, high=0.05)),
            gamma1=Uniform(low=-0.3, high=0.3),
            gamma2=Uniform(low=-0.3, high=0.3),
        ),
        source=Source(
            light=GalaxyLight(
                magnitude=Uniform(low=19.5, high=20.5),
                effective_radius=LogUniform(low=0.2, high=0.8),
                sersic_index=Uniform(low=0.7, high=2.0),
                e1=TruncatedNormal(mean=0.0, std=0.15, low=-0.4, high=0.4),
                e2=TruncatedNormal(mean=0.0, std=0.15, low=-0.4, high=0.4),
            ),
            position=Disc(radius=Uniform(low=0.0, high=0.7)),
        ),
        imaging=replace(
            narrow.imaging,
            instrument=Camera(
                pixel_scale=0.05,
                psf_fwhm=0.087,
                zero_point=25.0,
                background_rms=LogUniform(low=0.00043, high=0.0069),
            ),
        ),
    )


def deeplense_sim() -> SimulationConfig:
    """Model I of DeepLenseSim with its constants, and with the physics that its code misses.

    The lens is the same in all images: Einstein radius 1.665 arcsec, that of 1e12 M_sun. The flux
    scale is arbitrary: the zero point only turns the code's amplitude into a magnitude.

    References:
        https://github.com/mwt5345/DeepLenseSim, Model_I.
    """
    return SimulationConfig(
        preset="deeplense-sim",
        lens=Lens(
            einstein_radius=Constant(value=1.6645),
            e1=Constant(value=0.1),
            e2=Constant(value=0.0),
            position=CENTRE,
            gamma1=Constant(value=0.05),
            gamma2=Constant(value=0.0),
        ),
        source=Source(
            light=GalaxyLight(
                # Amplitude 20 at the half-light radius.
                magnitude=Constant(value=22.063),
                effective_radius=Constant(value=0.25),
                sersic_index=Constant(value=1.0),
                e1=Constant(value=-0.1),
                e2=Constant(value=0.1),
            ),
            position=Box(x=Uniform(low=-0.35, high=0.35), y=Uniform(low=-0.35, high=0.35)),
        ),
        classes=(
            LensClass(name="no_sub"),
            LensClass(name="cdm", substructure=Subhaloes(slope=-0.9)),
            LensClass(
                name="axion",
                substructure=Vortex(axion_mass=AXION_MASS, mass=Constant(value=3e10)),
            ),
        ),
        mix=(1.0, 1.0, 1.0),
        imaging=Imaging(
            instrument=Camera(
                pixel_scale=0.05,
                psf_fwhm=0.087,
                zero_point=25.0,
                background_rms=0.01,
                exposure_time=LogUniform(low=1e3, high=10**3.5),
            ),
            num_pixels=150,
        ),
    )


def euclid() -> SimulationConfig:
    """Galaxy-scale lenses as the Euclid wide survey sees them in VIS."""
    return SimulationConfig(
        preset="euclid",
        lens=_massive_galaxy(EUCLID_GALAXY),
        source=_star_forming_galaxy(EUCLID_SOURCE),
        classes=(
            *_classes(),
            _no_lens(
                EUCLID_GALAXY,
                TruncatedNormal(mean=22.0, std=0.8, low=20.4, high=23.6),
                EUCLID_SOURCE,
            ),
        ),
        mix=HALF_LENSES,
        imaging=Imaging(
            instrument=Telescope(name="Euclid", band="VIS"), num_pixels=100, supersampling=3
        ),
    )


def hst() -> SimulationConfig:
    """Galaxy-scale lenses in two orbits of the Hubble Space Telescope, WFC3 F160W."""
    return SimulationConfig(
        preset="hst",
        lens=_massive_galaxy(HST_GALAXY),
        source=_star_forming_galaxy(HST_SOURCE),
        classes=(
            *_classes(),
            _no_lens(
                HST_GALAXY,
                TruncatedNormal(mean=21.0, std=0.8, low=19.4, high=22.6),
                HST_SOURCE,
            ),
        ),
        mix=HALF_LENSES,
        imaging=Imaging(
            instrument=Telescope(name="HST", band="WFC3_F160W"), num_pixels=100, supersampling=3
        ),
    )


def _massive_galaxy(magnitude: Prior) -> Lens:
    """Return an early-type galaxy at redshift 0.5, its light aligned with its mass."""
    return Lens(
        einstein_radius=Uniform(low=0.7, high=1.8),
        e1=TruncatedNormal(mean=0.0, std=0.1, low=-0.25, high=0.25),
        e2=TruncatedNormal(mean=0.0, std=0.1, low=-0.25, high=0.25),
        position=Disc(radius=Uniform(low=0.0, high=0.05)),
        gamma1=TruncatedNormal(mean=0.0, std=0.04, low=-0.15, high=0.15),
        gamma2=TruncatedNormal(mean=0.0, std=0.04, low=-0.15, high=0.15),
        light=GalaxyLight(
            magnitude=magnitude,
            effective_radius=TruncatedNormal(mean=0.8, std=0.25, low=0.3, high=1.6),
            sersic_index=TruncatedNormal(mean=4.0, std=0.7, low=2.0, high=6.0),
            e1=TruncatedNormal(mean=0.0, std=0.03, low=-0.1, high=0.1),
            e2=TruncatedNormal(mean=0.0, std=0.03, low=-0.1, high=0.1),
        ),
        light_follows_mass=True,
    )


def _star_forming_galaxy(magnitude: Prior) -> Source:
    """Return a disc galaxy at redshift 1, anywhere within half an arcsecond of the axis."""
    return Source(
        light=GalaxyLight(
            magnitude=magnitude,
            effective_radius=LogUniform(low=0.12, high=0.4),
            sersic_index=TruncatedNormal(mean=1.2, std=0.4, low=0.5, high=2.5),
            e1=TruncatedNormal(mean=0.0, std=0.15, low=-0.45, high=0.45),
            e2=TruncatedNormal(mean=0.0, std=0.15, low=-0.45, high=0.45),
        ),
        position=Disc(radius=Uniform(low=0.0, high=0.5)),
    )


def _no_lens(galaxy: Prior, companion: Prior, background: Prior) -> LensClass:
    """Return the class of images that do not lens.

    Args:
        galaxy: Magnitude of the galaxy in the middle [mag].
        companion: Magnitude of a companion, about that of lensed arcs [mag].
        background: Magnitude of a galaxy in empty sky, that of the sources [mag].
    """
    turn = TruncatedNormal(mean=0.0, std=0.25, low=-0.6, high=0.6)
    disc = GalaxyLight(
        magnitude=galaxy,
        effective_radius=TruncatedNormal(mean=0.9, std=0.3, low=0.3, high=1.8),
        sersic_index=TruncatedNormal(mean=1.1, std=0.3, low=0.6, high=2.0),
        e1=turn,
        e2=turn,
    )
    near = Source(
        light=GalaxyLight(
            magnitude=companion,
            effective_radius=LogUniform(low=0.15, high=0.6),
            sersic_index=TruncatedNormal(mean=1.2, std=0.4, low=0.5, high=2.5),
            e1=turn,
            e2=turn,
        ),
        position=Disc(radius=Uniform(low=0.6, high=3.0)),
    )
    anywhere = Uniform(low=-3.5, high=3.5)
    faint = replace(_star_forming_galaxy(background), position=Box(x=anywhere, y=anywhere))
    return LensClass(
        name="no_lens",
        lensed=False,
        scenes=(
            Scene(name="early_type", weight=0.35, galaxy="lens"),
            Scene(name="disc", weight=0.2, galaxy=disc),
            Scene(name="pair", weight=0.3, galaxy="lens", companion=near),
            Scene(name="empty", weight=0.15, companion=faint, companion_chance=0.5),
        ),
    )


def _classes() -> tuple[LensClass, ...]:
    """Return the three classes at the strength at which `deeplense` tells them apart."""
    return (
        LensClass(name="no_sub"),
        LensClass(name="cdm", substructure=Subhaloes(slope=-1.1)),
        LensClass(
            name="axion",
            substructure=Vortex(axion_mass=AXION_MASS, mass_fraction=Uniform(low=0.02, high=0.04)),
        ),
    )


SIMULATION_PRESETS: dict[str, Callable[[], SimulationConfig]] = {
    "deeplense": deeplense,
    "deeplense-wide": deeplense_wide,
    "deeplense-sim": deeplense_sim,
    "euclid": euclid,
    "hst": hst,
}
"""The presets by name."""


def simulation_preset(name: str) -> SimulationConfig:
    """Return a preset by its name.

    Raises:
        GravLensError: If there is none of that name.
    """
    if name not in SIMULATION_PRESETS:
        raise GravLensError(f"unknown preset '{name}'; choose from {', '.join(SIMULATION_PRESETS)}")
    return SIMULATION_PRESETS[name]()
