"""The statistics by which sets of lens images are compared, gathered."""

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.metrics.einstein import einstein_radius
from gravlensdiffusion.metrics.images import chunks, finite, subtract_sky
from gravlensdiffusion.metrics.morphology import asymmetry, ellipticity, gini, m20, moments, segment

Floats = NDArray[np.float64]


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


def measure(
    images: NDArray[np.floating],
    pixel_scale_arcsec: float | None,
    masked: NDArray[np.bool_] | None = None,
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
        GravLensError: If the images are not square or too small, or the pixel scale not positive.
    """
    if pixel_scale_arcsec is not None and not 0 < pixel_scale_arcsec < np.inf:
        raise GravLensError(f"the pixel scale must be positive, got {pixel_scale_arcsec}")
    lengths = {"arcsec": pixel_scale_arcsec or 1.0, "arcsec^2": (pixel_scale_arcsec or 1.0) ** 2}
    measured = {name: np.empty(len(images)) for name in UNITS}
    for chunk in chunks(images):
        single, good = finite(images[chunk])
        own = None if masked is None else masked[chunk]
        values = _measure_chunk(single, None if own is None or not own.any() else own)
        for name, unit in UNITS.items():
            measured[name][chunk] = np.where(good, values[name] * lengths.get(unit, 1.0), np.nan)
    return measured


def units(pixel_scale_arcsec: float | None, flux_unit: str) -> dict[str, str]:
    """Return the unit of each statistic: lengths in pixels where the scale is not known."""
    length = "arcsec" if pixel_scale_arcsec is not None else "pixel"
    return {
        name: unit.replace("arcsec", length).replace("flux", flux_unit)
        for name, unit in UNITS.items()
    }


def _measure_chunk(
    images: NDArray[np.float32], masked: NDArray[np.bool_] | None
) -> dict[str, Floats]:
    """Return all statistics of finite images, lengths in pixels."""
    flux, sky = subtract_sky(images, masked)
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
