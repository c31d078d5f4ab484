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
from scipy.ndimage import binary_dilation

from gravlensdiffusion.config.instrument import (
    Camera,
    Depth,
    Imaging,
    NoiseLevel,
    Telescope,
)
from gravlensdiffusion.config.priors import Constant
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.flux import like_those_beside
from gravlensdiffusion.simulation.observe import draw_noise, noise_std
from gravlensdiffusion.simulation.population import draw
from gravlensdiffusion.simulation.psf import Spread

BANDS = {"Euclid": ("VIS", "Y", "J", "H"), "HST": ("WFC3_F160W",)}
"""The filters of each telescope that come with a Gaussian point spread function."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Instrument:
    """An instrument with its grid of rays.

    Attributes:
        camera: Its numbers.
        psf_fwhm: Full width at half maximum of the point spread function [arcsec].
        numerics: lenstronomy's grid of rays, and its convolution with a Gaussian.
        arguments: What lenstronomy makes grid, point spread function and convolution of, by its
            names of them; `lenstronomy_kwargs` has those of an image.
        spread: What spreads the light where the point spread function is no Gaussian, or None.
    """

    camera: Camera
    psf_fwhm: float
    numerics: Numerics
    arguments: Mapping[str, Mapping[str, Any]]
    spread: Spread | None

    def draw_psf(self, rng: np.random.Generator) -> dict[str, float]:
        """Draw the shape of the point spread function; empty where it is the same in all images."""
        return {} if self.spread is None else self.spread.draw(rng)

    def image(self, light: NDArray[np.float64], psf: Mapping[str, float]) -> NDArray[np.float64]:
        """Return the noise-free image of some light, shape ``(H, W)`` [e- / s].

        Args:
            light: Surface brightness at the rays of the grid, shape ``(N,)`` [e- / s / arcsec^2].
            psf: What `draw_psf` returned, among other values or not.
        """
        if self.spread is not None:
            return self.spread.image(light, psf)
        return np.asarray(self.numerics.re_size_convolve(light))

    def lenstronomy_kwargs(self, psf: Mapping[str, float]) -> dict[str, dict[str, Any]]:
        """Return what lenstronomy makes grid, point spread function and convolution of; see `image`."""
        kwargs = {name: dict(each) for name, each in self.arguments.items()}
        if self.spread is not None:
            kwargs["kwargs_psf"] = self.spread.lenstronomy_kwargs(psf)
            # The default one is deprecated by numpy.
            kwargs["kwargs_numerics"]["convolution_type"] = "fft"
        return kwargs

    def counts(self, magnitude: float) -> float:
        """Return the electrons per second of a source of a magnitude."""
        return float(10 ** (0.4 * (self.camera.zero_point - magnitude)))

    def draw_noise_level(self, rng: np.random.Generator) -> NoiseLevel:
        """Draw what sets the noise of one image."""
        others = self.camera.other_depths
        depths: list[Camera | Depth] = [self.camera, *others]
        depth = depths[0]
        if others:
            shares = [each.share for each in others]
            ends = np.cumsum([1 - sum(shares), *shares])
            depth = depths[int(np.searchsorted(ends[:-1], rng.uniform(), side="right"))]
        time = None if depth.exposure_time is None else draw(depth.exposure_time, rng)
        rms = depth.background_rms
        return NoiseLevel(
            exposure_time=time,
            background_rms=rms if isinstance(rms, float | int) else draw(rms, rng),
        )

    def noise_std(self, image: NDArray[np.float64], noise: NoiseLevel) -> NDArray[np.float64]:
        """Return the standard deviation of the noise in each pixel of a noise-free image [e- / s]."""
        return noise_std(
            image, noise.background_rms, noise.exposure_time, self.camera.sky_correlation
        )

    def observe(
        self, image: NDArray[np.float64], noise: NoiseLevel, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Return the image with noise [e- / s]."""
        level = noise.background_rms, noise.exposure_time
        return image + draw_noise(image, *level, rng, self.camera.sky_correlation)

    def fill_bad_pixels(
        self, image: NDArray[np.float64], rng: np.random.Generator
    ) -> tuple[NDArray[np.float64], dict[str, float]]:
        """Return an image with noise without the pixels that were not observed, and their share."""
        if self.camera.bad_pixels is None:
            return image, {}
        # So many spots of five pixels, which may overlap, leave the share that is asked for.
        spots = 1 - (1 - draw(self.camera.bad_pixels, rng)) ** 0.2
        bad = binary_dilation(rng.uniform(size=image.shape) < spots)
        if bad.any() and not bad.all():
            image = image.copy()
            image[bad] = like_those_beside(image, bad)
        return image, {"bad_pixels": float(bad.mean())}

    def signal_to_noise(self, image: NDArray[np.float64], noise: NoiseLevel) -> float:
        """Return the signal-to-noise ratio of a whole noise-free image, each pixel weighted at its best.

        ``sqrt(sum (flux / noise)^2)`` over the pixels; infinite where there is no noise, and NaN
        where there is no signal: such an image has no place on a logarithmic scale.
        """
        if not image.any():
            return math.nan
        std = self.noise_std(image, noise)
        if not std.all():
            return math.inf
        return float(np.linalg.norm(image / std))


@lru_cache(maxsize=8)
def build_instrument(imaging: Imaging) -> _Instrument:
    """Build the instrument and its grid, centred on the middle of the image."""
    chosen = imaging.instrument
    camera = chosen if isinstance(chosen, Camera) else _camera(chosen)
    corner = -(imaging.num_pixels - 1) / 2 * camera.pixel_scale
    grid = {
        "transform_pix2angle": np.eye(2) * camera.pixel_scale,
        "ra_at_xy_0": corner,
        "dec_at_xy_0": corner,
    }
    fwhm, spread = camera.psf_fwhm or 0.0, None
    if camera.psf is not None:
        fwhm = camera.psf.fwhm
        spread = Spread(camera.psf, imaging.num_pixels, camera.pixel_scale, imaging.supersampling)
    gaussian = {"psf_type": "GAUSSIAN", "fwhm": fwhm, "truncation": 5}
    rays = {
        "supersampling_factor": imaging.supersampling,
        "supersampling_convolution": imaging.supersampling > 1,
    }
    return _Instrument(
        camera=camera,
        psf_fwhm=fwhm,
        numerics=Numerics(
            PixelGrid(nx=imaging.num_pixels, ny=imaging.num_pixels, **grid), PSF(**gaussian), **rays
        ),
        arguments={"kwargs_data": grid, "kwargs_psf": gaussian, "kwargs_numerics": rays},
        spread=spread,
    )


def _camera(telescope: Telescope) -> Camera:
    """Return a telescope of lenstronomy's by its numbers."""
    if telescope.band not in BANDS[telescope.name]:
        raise GravLensError(
            f"{telescope.name} has no band '{telescope.band}'; "
            f"choose from {', '.join(BANDS[telescope.name])}"
        )
    make = {"Euclid": Euclid, "HST": HST}[telescope.name]
    settings: dict[str, float] = make(band=telescope.band, psf_type="GAUSSIAN").kwargs_single_band()
    band = SingleBand(**settings)
    return Camera(
        pixel_scale=band.pixel_scale,
        psf_fwhm=settings["seeing"],
        zero_point=settings["magnitude_zero_point"],
        background_rms=float(band.background_noise),
        exposure_time=Constant(value=band.exposure_time),
    )
