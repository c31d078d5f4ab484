"""Named populations and instruments to simulate."""

from collections.abc import Callable

from gravlensdiffusion.config.priors import Constant, LogUniform, TruncatedNormal, Uniform
from gravlensdiffusion.config.simulation import (
    Box,
    Camera,
    Disc,
    GalaxyLight,
    Imaging,
    Lens,
    LensClass,
    SimulationConfig,
    Source,
    Subhaloes,
    Vortex,
)

AXION_MASS = LogUniform(low=1e-24, high=1e-22)


def deeplense() -> SimulationConfig:
    """Lenses like those of the DeepLense diffusion set; docs/simulation.md has the calibration."""
    return SimulationConfig(
        preset="deeplense",
        lens=Lens(
            einstein_radius=Uniform(low=1.0, high=1.65),
            e1=TruncatedNormal(mean=-0.04, std=0.026, low=-0.1, high=0.02),
            e2=TruncatedNormal(mean=0.0, std=0.011, low=-0.03, high=0.03),
            position=Box(x=Constant(value=0.0), y=Constant(value=0.0)),
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
        classes=(
            LensClass(name="no_sub"),
            LensClass(name="cdm", substructure=Subhaloes(slope=-1.1)),
            LensClass(
                name="axion",
                substructure=Vortex(
                    axion_mass=AXION_MASS, mass_fraction=Uniform(low=0.02, high=0.04)
                ),
            ),
        ),
        mix=(1.0, 1.0, 1.0),
        imaging=Imaging(
            instrument=Camera(
                pixel_scale=0.05, psf_fwhm=0.087, zero_point=25.0, background_rms=0.00172
            ),
            num_pixels=150,
            flux_unit="peak",
        ),
    )


SIMULATION_PRESETS: dict[str, Callable[[], SimulationConfig]] = {"deeplense": deeplense}
"""The presets by name."""
