"""What sets of lens images are compared by: numbers, radial profile and power spectrum of each image."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft2

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.metrics.einstein import einstein_radius
from gravlensdiffusion.metrics.morphology import asymmetry, ellipticity, gini, m20, moments, segment
from gravlensdiffusion.metrics.sky import MIN_SIZE, Sky, measure_sky

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

CHUNK_PIXELS = 1_000_000
"""Pixels that are measured at once: few enough to stay in the cache."""
UNITS = {
    "einstein_radius": "arcsec",  # from the arcs' mean distance
    "total_flux": "flux",  # sum of all pixels above the sky
    "maximum": "flux",  # brightest pixel, sky included
    "centroid_x": "arcsec",  # flux-weighted mean position along the columns
    "centroid_y": "arcsec",  # the same along the rows
    "ellipticity": "",  # (1 - q) / (1 + q) of the light, from second moments
    "ellipticity_1": "",  # its component along x (positive) or y (negative)
    "ellipticity_2": "",  # its component along the diagonals
    "quadrupole_plus": "arcsec^2",  # <x^2> - <y^2> of the light about its centroid
    "quadrupole_cross": "arcsec^2",  # 2 <x y> of the light about its centroid
    "asymmetry": "",  # difference from the image turned by 180 degrees, less the sky's
    "gini": "",  # Gini coefficient: 0 if all pixels are equally bright, 1 if one has all
    "m20": "",  # log10 of the second moment of the brightest fifth, relative to all
    "sky_level": "flux",  # mean of the sky in the corners
    "sky_rms": "flux",  # standard deviation of the noise in the corners
    "sky_whiteness": "",  # correlation of neighbouring sky pixels; 0 for white noise
}
"""Unit of each number that is measured on an image, in the order of `measure`; empty for pure ones."""


class _Profile(NamedTuple):
    """A quantity in K bins, for each of N images."""

    centres: Floats  # mean abscissa of each bin, shape (K,)
    values: Floats  # shape (N, K); NaN for images that are not finite


def measure(
    images: NDArray[np.floating],
    pixel_scale_arcsec: float | None,
    masked: Mask | None = None,
) -> dict[str, Floats]:
    """Measure each image, on its own.

    Args:
        images: Square images with a sky around the lens, shape ``(N, H, H)`` [flux].
        pixel_scale_arcsec: Width of a pixel [arcsec]; None to have all lengths in pixels.
        masked: Pixels that were not observed and do not count, shape ``(N, H, H)``; None where all
            were.

    Returns:
        For each of `UNITS`, by name, an array of shape ``(N,)``. NaN where a statistic has no
        meaning: all of them for an image that is not finite, shape and Einstein radius for one
        without a lens.

    Raises:
        GravLensError: If the images are too small to hold any sky.
    """
    lengths = {"arcsec": pixel_scale_arcsec or 1.0, "arcsec^2": (pixel_scale_arcsec or 1.0) ** 2}
    measured = {name: np.empty(len(images)) for name in UNITS}
    for chunk in _chunks(images, masked):
        values = _measure_chunk(chunk)
        for name, unit in UNITS.items():
            scaled = values[name] * lengths.get(unit, 1.0)
            measured[name][chunk.where] = np.where(chunk.good, scaled, np.nan)
    return measured


def radial_profile(
    images: NDArray[np.floating],
    pixel_scale_arcsec: float | None,
    masked: Mask | None = None,
) -> _Profile:
    """Return the mean of the sky-subtracted image in rings one pixel wide about its middle.

    The arguments are those of `measure`. There are H // 2 rings out to the inscribed circle: radii
    [arcsec], means [flux].
    """
    centres, rings = _rings(images.shape[-1])
    return _Profile(centres * (pixel_scale_arcsec or 1.0), _averaged(images, rings, masked))


def power_spectrum(
    images: NDArray[np.floating],
    pixel_scale_arcsec: float | None,
    masked: Mask | None = None,
) -> _Profile:
    """Return the power of the sky-subtracted image in rings of spatial frequency.

        P(k) = mean over the ring of |F(k)|^2 / H^2

    for the discrete Fourier transform F without further factors: white noise of standard deviation
    sigma has ``P = sigma^2`` at all frequencies. The arguments are those of `measure`; masked pixels
    are taken for sky, and the power is that of the others, whose share of the image it is divided by.
    There are H // 2 rings, one cycle per image wide, up to the Nyquist frequency: frequencies
    [cycles / arcsec], powers [flux^2].
    """
    size = images.shape[-1]
    centres, rings = _frequency_rings(size)

    def power(flux: NDArray[np.float32]) -> NDArray[np.float32]:
        transform = rfft2(flux)
        return np.asarray(np.square(transform.real) + np.square(transform.imag))

    values = _averaged(images, rings, masked, power) / size**2
    return _Profile(centres / (pixel_scale_arcsec or 1.0), values)


class _Chunk(NamedTuple):
    """Some of many images, ready to be measured."""

    where: slice  # which of them
    images: NDArray[np.float32]  # shape (N, H, H) [flux]; zero where an image is not finite
    flux: NDArray[np.float32]  # the same without the level of the sky; zero where it is masked
    sky: Sky
    masked: Mask | None  # pixels that do not count; None where all do
    good: Mask  # which images are finite, shape (N,)


def _chunks(images: NDArray[np.floating], masked: Mask | None) -> Iterator[_Chunk]:
    """Yield images ``(N, H, H)`` about `CHUNK_PIXELS` at a time."""
    if images.shape[1] < MIN_SIZE:
        raise GravLensError(
            f"images must have at least {MIN_SIZE} pixels a side to be measured, "
            f"got {images.shape[1]}"
        )
    step = max(1, CHUNK_PIXELS // images.shape[1] ** 2)
    for start in range(0, len(images), step):
        where = slice(start, min(start + step, len(images)))
        single = np.asarray(images[where], dtype=np.float32)
        good = np.asarray(np.isfinite(single).all((1, 2)))
        if not good.all():
            single = np.where(good[:, None, None], single, np.float32(0))
        own = masked[where] if masked is not None and masked[where].any() else None
        sky = measure_sky(single, own)
        flux = single - sky.level[:, None, None].astype(np.float32)
        flux = flux if own is None else np.where(own, np.float32(0), flux)
        yield _Chunk(where, single, flux, sky, own, good)


def _measure_chunk(chunk: _Chunk) -> dict[str, Floats]:
    """Return all statistics of finite images, lengths in pixels."""
    _, images, flux, sky, masked, _ = chunk
    total = flux.sum((1, 2), dtype=np.float64)
    # Shapes do not depend on the flux scale, and relative to the brightest pixel nothing overflows.
    brightest = flux.max((1, 2)).astype(np.float64)
    scale = np.where(brightest > 0, brightest, 1)
    flux /= scale[:, None, None].astype(np.float32)
    rms = sky.rms / scale
    mask = segment(flux, rms)
    observed, whole = images, flux
    if masked is not None:
        mask &= ~masked
        observed = np.where(masked, -np.inf, images)
        # A ray is compared with its opposite, from which it does not differ where it is not known.
        opposite = np.where(masked[:, ::-1, ::-1], np.float32(0), flux[:, ::-1, ::-1])
        whole = np.where(masked, opposite, flux)
    light = moments(flux, mask)
    e1, e2 = ellipticity(light)
    return {
        "einstein_radius": einstein_radius(whole, rms),
        "total_flux": total,
        "maximum": observed.max((1, 2)).astype(np.float64),
        "centroid_x": light.x,
        "centroid_y": light.y,
        "ellipticity": np.hypot(e1, e2),
        "ellipticity_1": e1,
        "ellipticity_2": e2,
        "quadrupole_plus": light.xx - light.yy,
        "quadrupole_cross": 2 * light.xy,
        "asymmetry": asymmetry(flux, sky.rotated_difference / scale, masked),
        "gini": gini(flux, mask),
        "m20": m20(flux, mask),
        "sky_level": sky.level,
        "sky_rms": sky.rms,
        "sky_whiteness": sky.whiteness,
    }


def _averaged(
    images: NDArray[np.floating],
    rings: NDArray[np.float32],
    masked: Mask | None,
    change: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None,
) -> Floats:
    """Return the ring averages of what a function makes of sky-subtracted images, ``(N, K)``."""
    values = np.empty((len(images), rings.shape[1]))
    for where, _, flux, _, own, good in _chunks(images, masked):
        changed = flux if change is None else change(flux)
        means = changed.reshape(len(changed), -1) @ rings
        if own is not None:
            seen = (~own).reshape(len(own), -1).astype(np.float32)
            share = seen @ rings if change is None else seen.mean(1, keepdims=True)
            means = means / np.where(share > 0, share, np.nan)
        values[where] = np.where(good[:, None], means, np.nan)
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
