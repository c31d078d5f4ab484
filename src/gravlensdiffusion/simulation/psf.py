"""Point spread functions with wings, by their Fourier transforms: how they spread light, and how they are taken off."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fftfreq, fftshift, irfft2, next_fast_len, rfft2, rfftfreq
from scipy.ndimage import zoom
from scipy.special import gamma, kv

from gravlensdiffusion.config.instrument import PointSpread
from gravlensdiffusion.simulation.population import draw

Array = NDArray[np.float64]

UNITS = {"psf_fwhm": "arcsec", "psf_e1": "", "psf_e2": ""}
"""Units of what is known of the point spread function of an image."""
MARGIN = 0.25
"""Empty border of the grid that light is spread on, as a share of the image: what leaves the image
on one side comes back on the other no nearer than that."""
MAX_STRETCH = 2.0
"""Highest frequency that is told from the highest, in units of one over the distance of the rays."""
REGULARISATION = 1e-7
"""Power of the noise over that of the signal in the Wiener filter, where the power of the point spread function
counts as 1: what it passes to less than that is not brought back."""
FINE = 6
"""Points of a pixel at which the width of a point spread function is measured, along each axis."""
_ENTRIES = 32768
"""Entries of the table that the transform of the round profile is looked up in."""


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


class Spread:
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
        """Draw the shape of an image's point spread function, by the names of `UNITS`."""
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


def deconvolved(image: Array, psf: Array, fwhm: float) -> Array:
    """Return an image as a Gaussian shows it in place of the point spread function that it was taken with.

    The Fourier transform is multiplied by ``T P* / (|P|^2 + K) (1 + K)`` with the transforms P and T of the
    function and of the Gaussian and the constant K of a Wiener filter, `REGULARISATION`, so that the flux stays.

    Args:
        image: Without sky, shape ``(H, W)``; it counts as zero beyond its edges.
        psf: The point spread function, with its brightest pixel at the middle of a point, ``(h, w)``.
        fwhm: Full width at half maximum of the Gaussian [pixel].

    References:
        Starck, Pantin & Murtagh 2002, Deconvolution in Astronomy: A Review, section 3.
    """
    height, width = shape = tuple(map(sum, zip(image.shape, psf.shape, strict=True)))
    kernel = np.zeros(shape)
    kernel[: psf.shape[0], : psf.shape[1]] = psf / psf.sum()
    peak = np.unravel_index(psf.argmax(), psf.shape)
    blur = np.fft.rfft2(np.roll(kernel, (-int(peak[0]), -int(peak[1])), (0, 1)))
    squared = np.fft.fftfreq(height)[:, None] ** 2 + np.fft.rfftfreq(width) ** 2
    sigma = fwhm / (2 * math.sqrt(2 * math.log(2)))
    target = np.exp(-2 * (math.pi * sigma) ** 2 * squared)
    wiener = target * blur.conj() / (np.abs(blur) ** 2 + REGULARISATION) * (1 + REGULARISATION)
    found: Array = np.fft.irfft2(wiener * np.fft.rfft2(image, shape), shape)
    return found[: image.shape[0], : image.shape[1]]


def full_width(psf: Array) -> float:
    """Return the full width at half maximum of a point spread function, that of a circle of the same area [pixel]."""
    fine = zoom(psf, FINE, order=3, mode="nearest", grid_mode=True)
    area = np.count_nonzero(fine > fine.max() / 2) / FINE**2
    return 2 * math.sqrt(area / math.pi)
