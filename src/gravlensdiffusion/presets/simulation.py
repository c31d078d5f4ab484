"""Named populations and instruments to simulate."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from gravlensdiffusion.codec import read_json
from gravlensdiffusion.config.galaxies import Box, Disc, GalaxyLight, Source
from gravlensdiffusion.config.instrument import Camera, Imaging
from gravlensdiffusion.config.priors import Constant, LogUniform, TruncatedNormal, Uniform
from gravlensdiffusion.config.simulation import (
    Cosmology,
    Lens,
    LensClass,
    SimulationConfig,
    Subhaloes,
    Vortex,
)
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.presets.instruments import ACS_F814W, EUCLID_VIS, WFC3_F140W
from gravlensdiffusion.presets.populations import DESI, EUCLID, SLACS, Survey


def _normal(mean: float, std: float, low: float, high: float) -> TruncatedNormal:
    return TruncatedNormal(mean=mean, std=std, low=low, high=high)


def _symmetric(std: float, most: float) -> TruncatedNormal:
    return _normal(0.0, std, -most, most)


def _even(low: float, high: float) -> Uniform:
    return Uniform(low=low, high=high)


def _fixed(value: float) -> Constant:
    return Constant(value=value)


CENTRE = Box(x=_fixed(0.0), y=_fixed(0.0))
AXION_MASS = LogUniform(low=1e-24, high=1e-22)
CLASSES = (
    LensClass(name="no_sub"),
    LensClass(name="cdm", substructure=Subhaloes(slope=-1.1)),
    LensClass(
        name="axion",
        substructure=Vortex(axion_mass=AXION_MASS, mass_fraction=_even(0.02, 0.04)),
    ),
)
"""The three classes, at the strength at which `deeplense` tells them apart."""


def deeplense() -> SimulationConfig:
    """Lenses like those of the DeepLense diffusion set; docs/simulation.md has the calibration."""
    return SimulationConfig(
        preset="deeplense",
        lens=Lens(
            einstein_radius=_even(1.0, 1.65),
            e1=_normal(-0.04, 0.026, -0.1, 0.02),
            e2=_symmetric(0.011, 0.03),
            position=CENTRE,
            gamma1=_even(0.0, 0.29),
            gamma2=_normal(-0.01, 0.012, -0.04, 0.02),
        ),
        source=Source(
            light=GalaxyLight(
                magnitude=_fixed(20.0),
                effective_radius=_normal(0.48, 0.02, 0.42, 0.54),
                sersic_index=_normal(1.25, 0.05, 1.1, 1.4),
                e1=_even(0.02, 0.38),
                e2=_normal(-0.02, 0.027, -0.08, 0.06),
            ),
            position=Disc(radius=_even(0.0, 0.5)),
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


def deeplense_wide() -> SimulationConfig:
    """The lenses of `deeplense` with every prior widened, noise included: to train encoders on.

    Shear and ellipticities point anywhere, and the sky noise runs from a quarter to four times
    that of `deeplense`.
    """
    narrow = deeplense()
    assert isinstance(narrow.imaging.instrument, Camera)
    noise = LogUniform(low=0.00043, high=0.0069)
    return replace(
        narrow,
        preset="deeplense-wide",
        lens=Lens(
            einstein_radius=_even(0.7, 2.0),
            e1=_symmetric(0.1, 0.25),
            e2=_symmetric(0.1, 0.25),
            position=Disc(radius=_even(0.0, 0.05)),
            gamma1=_even(-0.3, 0.3),
            gamma2=_even(-0.3, 0.3),
        ),
        source=Source(
            light=GalaxyLight(
                magnitude=_even(19.5, 20.5),
                effective_radius=LogUniform(low=0.2, high=0.8),
                sersic_index=_even(0.7, 2.0),
                e1=_symmetric(0.15, 0.4),
                e2=_symmetric(0.15, 0.4),
            ),
            position=Disc(radius=_even(0.0, 0.7)),
        ),
        imaging=replace(
            narrow.imaging, instrument=replace(narrow.imaging.instrument, background_rms=noise)
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
            einstein_radius=_fixed(1.6645),
            e1=_fixed(0.1),
            e2=_fixed(0.0),
            position=CENTRE,
            gamma1=_fixed(0.05),
            gamma2=_fixed(0.0),
        ),
        source=Source(
            light=GalaxyLight(
                # Amplitude 20 at the half-light radius.
                magnitude=_fixed(22.063),
                effective_radius=_fixed(0.25),
                sersic_index=_fixed(1.0),
                e1=_fixed(-0.1),
                e2=_fixed(0.1),
            ),
            position=Box(x=_even(-0.35, 0.35), y=_even(-0.35, 0.35)),
        ),
        classes=(
            LensClass(name="no_sub"),
            LensClass(name="cdm", substructure=Subhaloes(slope=-0.9)),
            LensClass(name="axion", substructure=Vortex(axion_mass=AXION_MASS, mass=_fixed(3e10))),
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
    return _survey(
        "euclid", EUCLID, Imaging(instrument=EUCLID_VIS, num_pixels=100, supersampling=2)
    )


def hst() -> SimulationConfig:
    """Galaxy-scale lenses in snapshots of the Hubble Space Telescope, WFC3 F140W."""
    return _survey("hst", DESI, Imaging(instrument=WFC3_F140W, num_pixels=100, supersampling=2))


def slacs() -> SimulationConfig:
    """Galaxy-scale lenses at redshift 0.2, in the images of the Hubble Space Telescope, ACS F814W."""
    config = _survey("slacs", SLACS, Imaging(instrument=ACS_F814W, num_pixels=96, supersampling=2))
    # The masses are those that bend as much at this redshift as those of the others at theirs.
    subhaloes = Subhaloes(slope=-1.1, mass_min=3.7e5, mass_max=3.7e9)
    no_sub, cdm, *others = config.classes
    return replace(
        config,
        cosmology=Cosmology(redshift_lens=0.2, redshift_source=0.6),
        classes=(no_sub, replace(cdm, substructure=subhaloes), *others),
    )


def _survey(name: str, survey: Survey, imaging: Imaging) -> SimulationConfig:
    """Return lenses of three classes and as many images without one, as a survey sees them."""
    return SimulationConfig(
        preset=name,
        lens=survey.lens,
        source=survey.source,
        neighbours=survey.around,
        classes=(*CLASSES, survey.no_lens),
        mix=(1.0, 1.0, 1.0, 3.0),
        imaging=imaging,
    )


SIMULATION_PRESETS: dict[str, Callable[[], SimulationConfig]] = {
    "deeplense": deeplense,
    "deeplense-wide": deeplense_wide,
    "deeplense-sim": deeplense_sim,
    "euclid": euclid,
    "hst": hst,
    "slacs": slacs,
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
    if name.endswith(".json"):
        return read_json(SimulationConfig, Path(name))
    if name not in SIMULATION_PRESETS:
        known = ", ".join(SIMULATION_PRESETS)
        raise GravLensError(f"unknown preset '{name}'; choose from {known}, or a .json file")
    return SIMULATION_PRESETS[name]()
