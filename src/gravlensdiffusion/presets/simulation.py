"""Named populations to simulate, and the cameras that see them, measured on images as docs/simulation.md says."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from gravlensdiffusion.codec import read_preset
from gravlensdiffusion.config.galaxies import Box, Disc, GalaxyLight, Source
from gravlensdiffusion.config.instrument import (
    Camera,
    Depth,
    Imaging,
    Moffat,
    PointSpread,
    SkyCorrelation,
)
from gravlensdiffusion.config.priors import (
    Constant,
    LogUniform,
    Prior,
    TruncatedNormal,
    Uniform,
    around_zero,
)
from gravlensdiffusion.config.simulation import (
    Cosmology,
    Lens,
    LensClass,
    SimulationConfig,
    Subhaloes,
    Vortex,
)
from gravlensdiffusion.presets.populations import DESI, EUCLID, SLACS, Survey

CENTRE = Box(x=Constant(0.0), y=Constant(0.0))
AXION_MASS = LogUniform(1e-24, 1e-22)
CLASSES = (
    LensClass(name="no_sub"),
    LensClass(name="cdm", substructure=Subhaloes(slope=-1.1)),
    LensClass(
        name="axion",
        substructure=Vortex(axion_mass=AXION_MASS, mass_fraction=Uniform(0.02, 0.04)),
    ),
)
"""The three classes, at the strength at which `deeplense` tells them apart."""


def _spread(width: Prior, *parts: tuple[float, float, float]) -> PointSpread:
    """Return the sum of Moffats of share, width [arcsec] and beta, wider or narrower and elliptic by chance."""
    shape = around_zero(0.012, 0.048)
    moffats = (Moffat(share=share, fwhm=fwhm, beta=beta) for share, fwhm, beta in parts)
    return PointSpread(components=tuple(moffats), width=width, e1=shape, e2=shape)


ACS_F814W = Camera(
    pixel_scale=0.05,
    psf=_spread(
        TruncatedNormal(1.0, 0.01, 0.96, 1.04),
        (0.249, 0.050, 4.9),
        (0.540, 0.153, 12.0),
        (0.211, 0.540, 1.5),
    ),
    zero_point=25.94,
    # Snapshots of 420 s; the others are of one orbit.
    background_rms=TruncatedNormal(0.0134, 0.0019, 0.0125, 0.0198),
    exposure_time=Uniform(400, 420),
    other_depths=(
        Depth(
            share=0.57,
            background_rms=TruncatedNormal(0.0065, 0.0008, 0.0053, 0.0084),
            exposure_time=Uniform(2000, 2330),
        ),
    ),
    sky_correlation=SkyCorrelation(table=((1.0, 0.245), (0.245, 0.06))),
)
"""HST ACS/WFC, F814W, drizzled to 0.05 arcsec, as 42 SLACS lenses."""

WFC3_F140W = Camera(
    pixel_scale=0.08,
    psf=_spread(
        TruncatedNormal(1.0, 0.01, 0.96, 1.04),
        (0.310, 0.0755, 12.0),
        (0.492, 0.257, 12.0),
        (0.198, 0.823, 1.5),
    ),
    zero_point=26.45,
    background_rms=TruncatedNormal(0.0134, 0.0016, 0.0119, 0.0168),
    # 450 s in the files' maps, which count the share of a detector pixel that a pixel holds.
    exposure_time=Constant(1150.0),
    sky_correlation=SkyCorrelation(
        table=((1.0, 0.37, 0.038), (0.37, 0.148, 0.021), (0.038, 0.021, 0.009))
    ),
)
"""HST WFC3/IR, F140W, drizzled to 0.08 arcsec, as 14 lenses of DESI."""

EUCLID_VIS = Camera(
    pixel_scale=0.1,
    psf=_spread(
        TruncatedNormal(1.0, 0.02, 0.92, 1.08),
        (0.068, 0.0703, 12.0),
        (0.793, 0.190, 2.71),
        (0.139, 0.241, 1.5),
    ),
    zero_point=25.72,
    background_rms=TruncatedNormal(0.008, 0.0025, 0.0058, 0.0125),
    exposure_time=Constant(2264.0),
    sky_correlation=SkyCorrelation(table=((1.0, 0.19), (0.19, 0.023))),
)
"""Euclid VIS, mosaics of 0.1 arcsec, as four lenses of Q1; the zero point is lenstronomy's."""


def _deeplense() -> SimulationConfig:
    """Lenses like those of the DeepLense diffusion set; docs/simulation.md has the calibration."""
    return SimulationConfig(
        preset="deeplense",
        lens=Lens(
            einstein_radius=Uniform(1.0, 1.65),
            e1=TruncatedNormal(-0.04, 0.026, -0.1, 0.02),
            e2=around_zero(0.011, 0.03),
            position=CENTRE,
            gamma1=Uniform(0.0, 0.29),
            gamma2=TruncatedNormal(-0.01, 0.012, -0.04, 0.02),
        ),
        source=Source(
            light=GalaxyLight(
                magnitude=Constant(20.0),
                effective_radius=TruncatedNormal(0.48, 0.02, 0.42, 0.54),
                sersic_index=TruncatedNormal(1.25, 0.05, 1.1, 1.4),
                e1=Uniform(0.02, 0.38),
                e2=TruncatedNormal(-0.02, 0.027, -0.08, 0.06),
            ),
            position=Disc(radius=Uniform(0.0, 0.5)),
        ),
        classes=CLASSES,
        mix=(1.0, 1.0, 1.0),
        imaging=Imaging(
            instrument=Camera(
                pixel_scale=0.05, psf_fwhm=0.087, zero_point=25.0, background_rms=0.00172
            ),
            num_pixels=150,
            flux_unit="peak",
        ),
    )


def _deeplense_wide() -> SimulationConfig:
    """The lenses of `deeplense` with every prior widened, noise included: to train encoders on.

    Shear and ellipticities point anywhere, and the sky noise runs from a quarter to four times
    that of `deeplense`.
    """
    narrow = _deeplense()
    assert isinstance(narrow.imaging.instrument, Camera)
    noise = LogUniform(0.00043, 0.0069)
    return replace(
        narrow,
        preset="deeplense-wide",
        lens=Lens(
            einstein_radius=Uniform(0.7, 2.0),
            e1=around_zero(0.1, 0.25),
            e2=around_zero(0.1, 0.25),
            position=Disc(radius=Uniform(0.0, 0.05)),
            gamma1=Uniform(-0.3, 0.3),
            gamma2=Uniform(-0.3, 0.3),
        ),
        source=Source(
            light=GalaxyLight(
                magnitude=Uniform(19.5, 20.5),
                effective_radius=LogUniform(0.2, 0.8),
                sersic_index=Uniform(0.7, 2.0),
                e1=around_zero(0.15, 0.4),
                e2=around_zero(0.15, 0.4),
            ),
            position=Disc(radius=Uniform(0.0, 0.7)),
        ),
        imaging=replace(
            narrow.imaging, instrument=replace(narrow.imaging.instrument, background_rms=noise)
        ),
    )


def _deeplense_sim() -> SimulationConfig:
    """Model I of DeepLenseSim with its constants, and with the physics that its code misses.

    The lens is the same in all images: Einstein radius 1.665 arcsec, that of 1e12 M_sun. The flux
    scale is arbitrary: the zero point only turns the code's amplitude into a magnitude.

    References:
        https://github.com/mwt5345/DeepLenseSim, Model_I.
    """
    return SimulationConfig(
        preset="deeplense-sim",
        lens=Lens(
            einstein_radius=Constant(1.6645),
            e1=Constant(0.1),
            e2=Constant(0.0),
            position=CENTRE,
            gamma1=Constant(0.05),
            gamma2=Constant(0.0),
        ),
        source=Source(
            light=GalaxyLight(
                # Amplitude 20 at the half-light radius.
                magnitude=Constant(22.063),
                effective_radius=Constant(0.25),
                sersic_index=Constant(1.0),
                e1=Constant(-0.1),
                e2=Constant(0.1),
            ),
            position=Box(x=Uniform(-0.35, 0.35), y=Uniform(-0.35, 0.35)),
        ),
        classes=(
            LensClass(name="no_sub"),
            LensClass(name="cdm", substructure=Subhaloes(slope=-0.9)),
            LensClass(
                name="axion", substructure=Vortex(axion_mass=AXION_MASS, mass=Constant(3e10))
            ),
        ),
        mix=(1.0, 1.0, 1.0),
        imaging=Imaging(
            instrument=Camera(
                pixel_scale=0.05,
                psf_fwhm=0.087,
                zero_point=25.0,
                background_rms=0.01,
                exposure_time=LogUniform(1e3, 10**3.5),
            ),
            num_pixels=150,
        ),
    )


def _slacs() -> SimulationConfig:
    """Galaxy-scale lenses at redshift 0.2, in the images of the Hubble Space Telescope, ACS F814W."""
    config = _survey("slacs", SLACS, ACS_F814W, 96)
    # The masses are those that bend as much at this redshift as those of the others at theirs.
    subhaloes = Subhaloes(slope=-1.1, mass_min=3.7e5, mass_max=3.7e9)
    no_sub, cdm, *others = config.classes
    return replace(
        config,
        cosmology=Cosmology(redshift_lens=0.2, redshift_source=0.6),
        classes=(no_sub, replace(cdm, substructure=subhaloes), *others),
    )


def _survey(name: str, survey: Survey, camera: Camera, num_pixels: int) -> SimulationConfig:
    """Return lenses of three classes and as many images without one, as a survey sees them."""
    return SimulationConfig(
        preset=name,
        lens=survey.lens,
        source=survey.source,
        neighbours=survey.around,
        classes=(*CLASSES, survey.no_lens),
        mix=(1.0, 1.0, 1.0, 3.0),
        imaging=Imaging(instrument=camera, num_pixels=num_pixels, supersampling=2),
    )


SIMULATION_PRESETS: dict[str, Callable[[], SimulationConfig]] = {
    "deeplense": _deeplense,
    "deeplense-wide": _deeplense_wide,
    "deeplense-sim": _deeplense_sim,
    "euclid": partial(_survey, "euclid", EUCLID, EUCLID_VIS, 100),
    "hst": partial(_survey, "hst", DESI, WFC3_F140W, 100),
    "slacs": _slacs,
}
"""The presets by name."""


def learned_preset(training_data: str) -> str | None:
    """Return the name of the preset that a model says it was trained on; None where it is none."""
    found = re.search(r"\bpreset ([\w-]+)", training_data)
    return found[1] if found is not None and found[1] in SIMULATION_PRESETS else None


def simulation_preset(name: str) -> SimulationConfig:
    """Return the preset of a name, or that of a JSON file.

    Raises:
        GravLensError: If there is none of that name, or the file is no simulation.
    """
    return read_preset(SimulationConfig, SIMULATION_PRESETS, name)
