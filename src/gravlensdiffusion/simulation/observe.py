"""The noise of an instrument, added to images of any stored size; needs no lenstronomy."""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, next_fast_len, rfft2

from gravlensdiffusion.config.instrument import NoiseLevel, ObservationConfig, SkyCorrelation
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.flux import resize_flux


def noise_std(
    image: NDArray[np.float64],
    noise: NoiseLevel | ObservationConfig,
    correlation: SkyCorrelation | None = None,
) -> NDArray[np.float64]:
    """Return the standard deviation of the noise in each native pixel [e- / s].

    Sky and read noise are the same everywhere; the photons of the galaxies add their Poisson
    variance, flux / exposure time, in its normal approximation. Where neighbours share their noise,
    that of a pixel is less, so that a large area still has that of its photons.

    Args:
        image: Noise-free image, shape ``(..., H, W)`` [e- / s].
        noise: What sets it.
        correlation: Correlation of the noise, or None where it is white.
    """
    variance = noise.background_rms**2
    if noise.exposure_time is None:
        return np.full(image.shape, math.sqrt(variance))
    shared = 1.0 if correlation is None else correlation.total
    return np.sqrt(variance + np.maximum(image, 0) / (noise.exposure_time * shared))


def draw_noise(
    image: NDArray[np.float64],
    noise: NoiseLevel | ObservationConfig,
    rng: np.random.Generator,
    correlation: SkyCorrelation | None = None,
) -> NDArray[np.float64]:
    """Draw the noise of the native pixels [e- / s]; the arguments are those of `noise_std`."""
    std = noise_std(image, noise, correlation)
    if correlation is None:
        return std * rng.standard_normal(image.shape)
    return std * _correlated(image.shape, correlation, rng)


def _correlated(
    shape: tuple[int, ...], correlation: SkyCorrelation, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw normal noise of variance 1 and some correlation on the last two axes.

    White noise on a grid that is larger by the length of the correlation, times the root of the
    power spectrum: on the part of it that is kept, variance and correlation are exact.

    References:
        Dietrich & Newsam 1997, SIAM J. Sci. Comput. 18, 1088 (circulant embedding).
    """
    amplitude, size = _amplitude(correlation, shape[-2], shape[-1])
    white = rng.standard_normal((*shape[:-2], *size))
    noise = irfft2(rfft2(white) * amplitude, size)
    return np.asarray(noise[..., : shape[-2], : shape[-1]])


@lru_cache(maxsize=8)
def _amplitude(
    correlation: SkyCorrelation, height: int, width: int
) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """Return the root of the power spectrum on a grid that holds an image, and the grid's size."""
    table = np.array(correlation.table)
    reach = len(table)
    # Twice the reach at least, so that no distance is met twice.
    rows, columns = (next_fast_len(max(n + reach, 2 * reach), real=True) for n in (height, width))
    periodic = np.zeros((rows, columns))
    for i in range(1 - reach, reach):
        for j in range(1 - reach, reach):
            periodic[i, j] = table[abs(i), abs(j)]
    power = np.maximum(rfft2(periodic).real, 0)
    return np.sqrt(power), (rows, columns)


def observe(
    clean: NDArray[np.floating], observation: ObservationConfig, rng: np.random.Generator
) -> NDArray[np.floating]:
    """Return a noise-free image with the noise of an observation.

    The noise is drawn at the native size and goes through the resize that the image went through,
    so that neighbouring pixels share noise as those of a reduced observation do. Where the image is
    smaller than the native one, the native flux that sets the Poisson noise is taken to be even
    over each pixel of the image.

    Args:
        clean: Noise-free image, shape ``(C, H, W)`` with H = W [e- / s per pixel].
        observation: Native size, noise and resize.
        rng: The generator of this image.

    Returns:
        Shape ``(C, H, W)`` [e- / s per pixel], in the dtype of ``clean``.

    Raises:
        GravLensError: If the image is not square, larger than the native one, or smaller with no
            resize named.
    """
    native_size, method = observation.num_pixels, observation.resize
    size = clean.shape[-1]
    if clean.ndim != 3 or size != clean.shape[-2]:
        raise GravLensError(f"an image to observe must be (C, H, H), this one is {clean.shape}")
    if size > native_size:
        raise GravLensError(
            f"an image of {size} pixels a side is larger than the observation's {native_size}"
        )
    if size != native_size and method is None:
        raise GravLensError(
            f"an image of {size} pixels needs a resize from the observation's {native_size}"
        )
    correlation = observation.sky_correlation
    flux = np.asarray(clean, dtype=np.float64)
    noise: NDArray[np.floating]
    if size == native_size or method is None:
        noise = draw_noise(flux, observation, rng, correlation)
    else:
        native = np.zeros((*flux.shape[:-2], native_size, native_size))
        if observation.exposure_time is not None:
            native = np.asarray(resize_flux(flux, native_size, "area"), dtype=np.float64)
        noise = draw_noise(native, observation, rng, correlation)
        noise = resize_flux(noise, size, method)
    return (flux + noise).astype(clean.dtype)
