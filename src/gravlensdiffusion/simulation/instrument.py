"""The instrument: pixel scale, point spread function, zero point, noise."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from lenstronomy.Data.pixel_grid import PixelGrid
from lenstronomy.Data.psf import PSF
from lenstronomy.ImSim.Numerics.numerics import Numerics
from lenstronomy.SimulationAPI.observation_api import SingleBand
from lenstronomy.SimulationAPI.ObservationConfig.Euclid import Euclid
from lenstronomy.SimulationAPI.ObservationConfig.HST import HST
from numpy.typing import NDArray

from gravlensdiffusion.config.priors import Constant, Prior
from gravlensdiffusion.config.simulation import Camera, Imaging, Telescope
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.simulation.observe import draw_noise, noise_std
from gravlensdiffusion.simulation.population import draw

BANDS = {"Euclid": ("VIS", "Y", "J", "H"), "HST": ("WFC3_F160W",)}
"""The filters of each telescope that come with a Gaussian point spread function."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Exposure:
    """What sets the noise of one image.

    Attributes:
        time: Exposure time [s]; infinite where the galaxies have no Poisson noise.
        background_rms: Standard deviation of sky and read noise in a pixel [e- / s].
    """

    time: float
    background_rms: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Instrument:
    """An instrument with its grid of rays.

    Attributes:
        pixel_scale: Side of a native pixel [arcsec].
        psf_fwhm: Full width at half maximum of the point spread function [arcsec].
        zero_point: AB magnitude of one electron per second [mag].
        background_rms: Prior of the standard deviation of sky and read noise in a pixel [e- / s].
        exposure_time: Prior of the total exposure time [s], or None for no Poisson noise.
        numerics: lenstronomy's grid of rays and convolution.
        arguments: What lenstronomy makes grid, point spread function and convolution of, by its
            names of them.
    """

    pixel_scale: float
    psf_fwhm: float
    zero_point: float
    background_rms: Prior
    exposure_time: Prior | None
    numerics: Numerics
    arguments: Mapping[str, Mapping[str, Any]]

    def counts(self, magnitude: float) -> float:
        """Return the electrons per second of a source of a magnitude."""
        return float(10 ** (0.4 * (self.zero_point - magnitude)))

    def draw_exposure(self, rng: np.random.Generator) -> Exposure:
        """Draw what sets the noise of one image."""
        time = math.inf if self.exposure_time is None else draw(self.exposure_time, rng)
        return Exposure(time=time, background_rms=draw(self.background_rms, rng))

    def noise_std(self, image: NDArray[np.float64], exposure: Exposure) -> NDArray[np.float64]:
        """Return the standard deviation of the noise in each pixel [e- / s].

        Args:
            image: Noise-free image, shape ``(H, W)`` [e- / s].
            exposure: Exposure time and sky noise.
        """
        return noise_std(image, exposure.background_rms, exposure.time)

    def observe(
        self, image: NDArray[np.float64], exposure: Exposure, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Return the image with noise [e- / s]."""
        return image + draw_noise(image, exposure.background_rms, exposure.time, rng)

    def signal_to_noise(self, image: NDArray[np.float64], exposure: Exposure) -> float:
        """Return the signal-to-noise ratio of a whole image, each pixel weighted at its best.

        ``sqrt(sum (flux / noise)^2)`` over the pixels; infinite where there is no noise, and NaN
        where there is no signal: such an image has no place on a logarithmic scale.

        Args:
            image: Noise-free image, shape ``(H, W)`` [e- / s].
            exposure: Exposure time and sky noise.
        """
        if not image.any():
            return math.nan
        noise = self.noise_std(image, exposure)
        if not noise.all():
            return math.inf
        return float(np.linalg.norm(image / noise))


@lru_cache(maxsize=8)
def build_instrument(imaging: Imaging) -> Instrument:
    """Build the instrument and its grid, centred on the middle of the image."""
    chosen = imaging.instrument
    if isinstance(chosen, Camera):
        pixel_scale, fwhm = chosen.pixel_scale, chosen.psf_fwhm
        zero_point, background = chosen.zero_point, _as_prior(chosen.background_rms)
        exposure_time = chosen.exposure_time
    else:
        settings = _telescope_settings(chosen)
        band = SingleBand(**settings)
        pixel_scale, fwhm = band.pixel_scale, settings["seeing"]
        zero_point = settings["magnitude_zero_point"]
        background = _as_prior(float(band.background_noise))
        exposure_time = Constant(value=band.exposure_time)
    corner = -(imaging.num_pixels - 1) / 2 * pixel_scale
    grid = {
        "transform_pix2angle": np.eye(2) * pixel_scale,
        "ra_at_xy_0": corner,
        "dec_at_xy_0": corner,
    }
    psf = {"psf_type": "GAUSSIAN", "fwhm": fwhm, "truncation": 5}
    rays = {
        "supersampling_factor": imaging.supersampling,
        "supersampling_convolution": imaging.supersampling > 1,
    }
    return Instrument(
        pixel_scale=pixel_scale,
        psf_fwhm=fwhm,
        zero_point=zero_point,
        background_rms=background,
        exposure_time=exposure_time,
        numerics=Numerics(
            PixelGrid(nx=imaging.num_pixels, ny=imaging.num_pixels, **grid), PSF(**psf), **rays
        ),
        arguments={"kwargs_data": grid, "kwargs_psf": psf, "kwargs_numerics": rays},
    )


def _as_prior(value: float | Prior) -> Prior:
    return Constant(value=value) if isinstance(value, int | float) else value


def _telescope_settings(telescope: Telescope) -> dict[str, float]:
    if telescope.band not in BANDS[telescope.name]:
        raise GravLensError(
            f"{telescope.name} has no band '{telescope.band}'; "
            f"choose from {', '.join(BANDS[telescope.name])}"
        )
    make = {"Euclid": Euclid, "HST": HST}[telescope.name]
    settings: dict[str, float] = make(band=telescope.band, psf_type="GAUSSIAN").kwargs_single_band()
    return settings
