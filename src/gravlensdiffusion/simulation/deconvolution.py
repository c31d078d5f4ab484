"""Images of galaxies as a narrower point spread function would show them."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import zoom

Floats = NDArray[np.float64]

REGULARISATION = 1e-7
"""Power of the noise over that of the signal in the Wiener filter, where the power of the point spread function
counts as 1: what it passes to less than that is not brought back."""
FINE = 6
"""Points of a pixel at which the width of a point spread function is measured, along each axis."""


def deconvolved(image: Floats, psf: Floats, fwhm: float) -> Floats:
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
    found: Floats = np.fft.irfft2(wiener * np.fft.rfft2(image, shape), shape)
    return found[: image.shape[0], : image.shape[1]]


def full_width(psf: Floats) -> float:
    """Return the full width at half maximum of a point spread function, that of a circle of the same area [pixel]."""
    fine = zoom(psf, FINE, order=3, mode="nearest", grid_mode=True)
    area = np.count_nonzero(fine > fine.max() / 2) / FINE**2
    return 2 * math.sqrt(area / math.pi)
