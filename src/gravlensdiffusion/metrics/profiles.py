"""Radial profile and power spectrum of each image."""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft2

from gravlensdiffusion.metrics.images import chunks, finite, subtract_sky

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Profile(NamedTuple):
    """A quantity in K bins, for each of N images.

    Attributes:
        centres: Mean abscissa of each bin, shape ``(K,)``.
        values: Shape ``(N, K)``; NaN for images that are not finite.
    """

    centres: Floats
    values: Floats


def radial_profile(
    images: NDArray[np.floating],
    pixel_scale_arcsec: float | None,
    masked: Mask | None = None,
) -> Profile:
    """Return the mean of the sky-subtracted image in rings one pixel wide about its middle.

    Args:
        images: Shape ``(N, H, H)`` [flux].
        pixel_scale_arcsec: Width of a pixel [arcsec]; None to have the radii in pixels.
        masked: Pixels that do not count, shape ``(N, H, H)``; None where all do.

    Returns:
        H // 2 rings out to the inscribed circle: radii [arcsec], means [flux].
    """
    centres, rings = _rings(images.shape[-1])
    return Profile(centres * (pixel_scale_arcsec or 1.0), _averaged(images, rings, masked))


def power_spectrum(
    images: NDArray[np.floating],
    pixel_scale_arcsec: float | None,
    masked: Mask | None = None,
) -> Profile:
    """Return the power of the sky-subtracted image in rings of spatial frequency.

        P(k) = mean over the ring of |F(k)|^2 / H^2

    for the discrete Fourier transform F without further factors: white noise of standard deviation
    sigma has ``P = sigma^2`` at all frequencies.

    Args:
        images: Shape ``(N, H, H)`` [flux].
        pixel_scale_arcsec: Width of a pixel [arcsec]; None to have the frequencies per pixel.
        masked: Pixels that do not count, shape ``(N, H, H)``; None where all do. They are taken
            for sky, and the power is that of the others, whose share of the image it is divided by.

    Returns:
        H // 2 rings, one cycle per image wide, up to the Nyquist frequency: frequencies
        [cycles / arcsec], powers [flux^2].
    """
    size = images.shape[-1]
    centres, rings = _frequency_rings(size)

    def power(flux: NDArray[np.float32]) -> NDArray[np.float32]:
        transform = rfft2(flux)
        return np.asarray(np.square(transform.real) + np.square(transform.imag))

    values = _averaged(images, rings, masked, power) / size**2
    return Profile(centres / (pixel_scale_arcsec or 1.0), values)


def _averaged(
    images: NDArray[np.floating],
    rings: NDArray[np.float32],
    masked: Mask | None,
    change: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None,
) -> Floats:
    """Return the ring averages of what a function makes of sky-subtracted images, ``(N, K)``."""
    values = np.empty((len(images), rings.shape[1]))
    for chunk in chunks(images):
        single, good = finite(images[chunk])
        own = None if masked is None or not masked[chunk].any() else masked[chunk]
        flux = subtract_sky(single, own)[0]
        changed = flux if change is None else change(flux)
        means = changed.reshape(len(changed), -1) @ rings
        if own is not None:
            seen = (~own).reshape(len(own), -1).astype(np.float32)
            share = seen @ rings if change is None else seen.mean(1, keepdims=True)
            means = means / np.where(share > 0, share, np.nan)
        values[chunk] = np.where(good[:, None], means, np.nan)
    return values


@lru_cache(maxsize=8)
def _rings(size: int) -> tuple[Floats, NDArray[np.float32]]:
    """Return mean radii ``(K,)`` [pixel] and averaging weights ``(H * H, K)``."""
    axis = np.arange(size) - (size - 1) / 2
    radius = np.hypot(axis[:, None], axis).ravel()
    return _bins(radius, np.ones_like(radius), radius.astype(int), size // 2)


@lru_cache(maxsize=8)
def _frequency_rings(size: int) -> tuple[Floats, NDArray[np.float32]]:
    """Return mean frequencies ``(K,)`` [1 / pixel] and weights for the half plane of rfft2."""
    rows = np.fft.fftfreq(size) * size
    columns = np.arange(size // 2 + 1)
    # All columns but the first, and the last of an even size, stand for two.
    twice = np.where((columns == 0) | (2 * columns == size), 1.0, 2.0)
    frequency = np.hypot(rows[:, None], columns).ravel()
    weights = np.broadcast_to(twice, (size, len(columns))).ravel()
    rings = np.rint(frequency).astype(int) - 1
    centres, averages = _bins(frequency, weights, rings, size // 2)
    return centres / size, averages


def _bins(
    abscissa: Floats, weights: Floats, bins: NDArray[np.intp], num_bins: int
) -> tuple[Floats, NDArray[np.float32]]:
    """Return the mean abscissa of each bin and the matrix that averages over bins."""
    members = weights[:, None] * (bins[:, None] == np.arange(num_bins))
    averages = members / members.sum(0)
    return abscissa @ averages, averages.astype(np.float32)
