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
from scipy.fft import fftfreq, fftshift, irfft2, next_fast_len, rfft2, rfftfreq
from scipy.ndimage import binary_dilation
from scipy.special import gamma, kv

from gravlensdiffusion.config.instrument import (
    Camera,
    Depth,
    Imaging,
    NoiseLevel,
    PointSpread,
    Telescope,
)
from gravlensdiffusion.config.priors import Constant
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.flux import like_those_beside
from gravlensdiffusion.simulation.observe import draw_noise, noise_std
from gravlensdiffusion.simulation.population import draw

BANDS = {"Euclid": ("VIS", "Y", "J", "H"), "HST": ("WFC3_F160W",)}
"""The filters of each telescope that come with a Gaussian point spread function."""
PSF_UNITS = {"psf_fwhm": "arcsec", "psf_e1": "", "psf_e2": ""}
"""Units of what is known of the point spread function of an image."""
MARGIN = 0.25
"""Empty border of the grid that light is spread on, as a share of the image: what leaves the image
on one side comes back on the other no nearer than that."""
MAX_STRETCH = 2.0
"""Highest frequency that is told from the highest, in units of one over the distance of the rays."""
_ENTRIES = 32768
"""Entries of the table that the transform of the round profile is looked up in."""

Array = NDArray[np.float64]


def _moffat_transform(frequency: Array, fwhm: float, beta: float) -> Array:
    r"""Return the Fourier transform of a round Moffat profile of unit flux, at frequencies k >= 0 [1 / arcsec].

    .. math:: \frac{2 (\pi k a)^{\beta - 1} K_{\beta - 1}(2 \pi k a)}{\Gamma(\beta - 1)},
        \quad a = \frac{\mathrm{FWHM}}{2 \sqrt{2^{1 / \beta} - 1}}

    References:
        Trujillo, Aguerri, Cepa & Gutierrez 2001, MNRAS 328, 977, eq. 2 (the profile).
        Gradshteyn & Ryzhik, 6.565.4 (its Hankel transform).
    """
    scale = fwhm / (2 * math.sqrt(2 ** (1 / beta) - 1))
    # At k = 0 the limit is 1: the smallest argument that K still takes is as good.
    half = np.maximum(math.pi * scale * frequency, 1e-12)
    order = beta - 1
    with np.errstate(over="ignore", invalid="ignore"):
        values = 2 * half**order * kv(order, 2 * half) / gamma(order)
    return np.where(half > 1e-6, np.nan_to_num(values), 1.0)


class _Spread:
    """Spreads the light of images of one size, and gathers it in pixels.

    Args:
        psf: The point spread function.
        num_pixels: Side of the image [pixel].
        pixel_scale: Side of a pixel [arcsec].
        supersampling: Rays per pixel and axis.
    """

    def __init__(
        self, psf: PointSpread, num_pixels: int, pixel_scale: float, supersampling: int
    ) -> None:
        self.psf, self._fwhm = psf, psf.fwhm
        self._num_pixels, self._supersampling = num_pixels, supersampling
        self._area = pixel_scale**2
        spacing = pixel_scale / supersampling
        self._size = next_fast_len(math.ceil(num_pixels * supersampling * (1 + MARGIN)), real=True)
        x, y = rfftfreq(self._size, spacing), fftfreq(self._size, spacing)[:, None]
        self._round, self._axial, self._diagonal = x**2 + y**2, x**2 - y**2, 2 * x * y
        frequency = np.linspace(0, MAX_STRETCH / spacing, _ENTRIES)
        self._step = frequency[1]
        whole = sum(each.share for each in psf.components)
        self._table = np.zeros(_ENTRIES)
        for each in psf.components:
            self._table += each.share / whole * _moffat_transform(frequency, each.fwhm, each.beta)

    def draw(self, rng: np.random.Generator) -> dict[str, float]:
        """Draw the shape of an image's point spread function, by the names of `PSF_UNITS`."""
        return {
            "psf_fwhm": self._fwhm * draw(self.psf.width, rng),
            "psf_e1": draw(self.psf.e1, rng),
            "psf_e2": draw(self.psf.e2, rng),
        }

    def transform(self, shape: Mapping[str, float]) -> Array:
        """Return the Fourier transform of a point spread function on the grid of the light."""
        e1, e2 = shape.get("psf_e1", 0.0), shape.get("psf_e2", 0.0)
        square = e1**2 + e2**2
        # The transform of an ellipse is one across it; (1 - q) / (1 + q) is the modulus of (e1, e2).
        stretched = (1 + square) * self._round + 2 * e1 * self._axial + 2 * e2 * self._diagonal
        width = shape.get("psf_fwhm", self._fwhm) / self._fwhm
        scale = width / (math.sqrt(1 - square) * self._step)
        places = np.minimum(scale * np.sqrt(np.maximum(stretched, 0)), _ENTRIES - 1.001)
        index = places.astype(np.intp)
        low, high = self._table[index], self._table[index + 1]
        return np.asarray(low + (places - index) * (high - low))

    def lenstronomy_kwargs(self, shape: Mapping[str, float]) -> dict[str, Any]:
        """Return lenstronomy's arguments of a point spread function, as wide as the image."""
        side = self._num_pixels * self._supersampling // 2 * 2 - 1
        kernel = irfft2(self.transform(shape), (self._size, self._size))
        middle = self._size // 2
        around = slice(middle - side // 2, middle + side // 2 + 1)
        return {
            "psf_type": "PIXEL",
            "kernel_point_source": np.maximum(fftshift(kernel)[around, around], 0),
            "point_source_supersampling_factor": self._supersampling,
            "kernel_point_source_normalisation": False,
        }

    def image(self, light: Array, shape: Mapping[str, float]) -> Array:
        """Return the image of some light, shape ``(H, W)`` [flux per pixel].

        Args:
            light: Surface brightness at the rays, row by row, shape ``(N,)`` [flux / arcsec^2].
            shape: What `draw` returned; what is missing is that of the mean and round one.
        """
        side, s = self._num_pixels, self._supersampling
        size = (self._size, self._size)
        spread = irfft2(
            rfft2(light.reshape(side * s, side * s), size) * self.transform(shape), size
        )
        inside = spread[: side * s, : side * s].reshape(side, s, side, s)
        return np.asarray(inside.mean((1, 3)) * self._area)


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
    spread: _Spread | None

    def draw_psf(self, rng: np.random.Generator) -> dict[str, float]:
        """Draw the shape of the point spread function; empty where it is the same in all images."""
        return {} if self.spread is None else self.spread.draw(rng)

    def image(self, light: Array, psf: Mapping[str, float]) -> Array:
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

    def noise_std(self, image: Array, noise: NoiseLevel) -> Array:
        """Return the standard deviation of the noise in each pixel of a noise-free image [e- / s]."""
        return noise_std(image, noise, self.camera.sky_correlation)

    def observe(self, image: Array, noise: NoiseLevel, rng: np.random.Generator) -> Array:
        """Return the image with noise [e- / s]."""
        return image + draw_noise(image, noise, rng, self.camera.sky_correlation)

    def fill_bad_pixels(
        self, image: Array, rng: np.random.Generator
    ) -> tuple[Array, dict[str, float]]:
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

    def signal_to_noise(self, image: Array, noise: NoiseLevel) -> float:
        """Return the signal-to-noise ratio of a whole noise-free image, each pixel weighted at its best.

        ``sqrt(sum (flux / noise)^2)`` over the pixels; NaN where there is no signal or no noise: such an
        image has no place on a logarithmic scale.
        """
        std = self.noise_std(image, noise)
        return float(np.linalg.norm(image / std)) if image.any() and std.all() else math.nan


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
        spread = _Spread(camera.psf, imaging.num_pixels, camera.pixel_scale, imaging.supersampling)
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
