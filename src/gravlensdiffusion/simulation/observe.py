"""The noise of an instrument, added to images of any stored size; needs no lenstronomy."""

import math

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.config.model import ObservationConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.flux import resize_flux


def noise_std(
    image: NDArray[np.float64], background_rms: float, exposure_time: float
) -> NDArray[np.float64]:
    """Return the standard deviation of the noise in each native pixel [e- / s].

    Sky and read noise are the same everywhere; the photons of the galaxies add their Poisson
    variance, flux / exposure time, in its normal approximation.

    Args:
        image: Noise-free image, shape ``(..., H, W)`` [e- / s].
        background_rms: Standard deviation of sky and read noise [e- / s].
        exposure_time: Exposure time [s]; infinite where the galaxies have no Poisson noise.
    """
    if math.isinf(exposure_time):
        return np.full(image.shape, math.sqrt(background_rms**2))
    return np.sqrt(background_rms**2 + np.maximum(image, 0) / exposure_time)


def draw_noise(
    image: NDArray[np.float64],
    background_rms: float,
    exposure_time: float,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Draw the noise of the native pixels [e- / s]; the arguments are those of `noise_std`."""
    return noise_std(image, background_rms, exposure_time) * rng.standard_normal(image.shape)


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
    size = _checked_size(clean, observation)
    native_size, method = observation.num_pixels, observation.resize
    flux = np.asarray(clean, dtype=np.float64)
    time = math.inf if observation.exposure_time is None else observation.exposure_time
    noise: NDArray[np.floating]
    if size == native_size or method is None:
        noise = draw_noise(flux, observation.background_rms, time, rng)
    else:
        native = np.zeros((*flux.shape[:-2], native_size, native_size))
        if math.isfinite(time):
            native = np.asarray(resize_flux(flux, native_size, "area"), dtype=np.float64)
        noise = draw_noise(native, observation.background_rms, time, rng)
        noise = resize_flux(noise, size, method)
    return (flux + noise).astype(clean.dtype)


def _checked_size(clean: NDArray[np.floating], observation: ObservationConfig) -> int:
    """Return the side of an image that can be observed."""
    native_size = observation.num_pixels
    if clean.ndim != 3 or clean.shape[-1] != clean.shape[-2]:
        raise GravLensError(f"an image to observe must be (C, H, H), this one is {clean.shape}")
    size = int(clean.shape[-1])
    if size > native_size:
        raise GravLensError(
            f"an image of {size} pixels a side is larger than the observation's {native_size}"
        )
    if size != native_size and observation.resize is None:
        raise GravLensError(
            f"an image of {size} pixels needs a resize from the observation's {native_size}"
        )
    return size
