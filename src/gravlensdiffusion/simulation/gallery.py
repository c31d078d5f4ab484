"""Images of real galaxies, made ready to be sources: without sky, noise and neighbours."""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d, gaussian_filter, label

from gravlensdiffusion.config.galaxies import Cutouts
from gravlensdiffusion.config.simulation import SimulationConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.simulation.instrument import build_instrument

Floats = NDArray[np.float64]

PSF_PIXELS = 4.0
"""Full width at half maximum of the point spread function of the images [pixel]; that of COSMOS, which holds
half of the light of a point within 2.5 pixels."""
MIN_RADIUS = 5.0
"""Half-light radius of a galaxy that is taken [pixel]: twice that of a point."""
MIN_SIGNAL = 40.0
"""Signal-to-noise ratio of a galaxy that is taken."""
MAX_GALAXIES = 20_000
THRESHOLD = 3.0
"""How far structure must stand out of the noise to be kept, in units of its standard deviation."""
DETECTION = 2.0
"""Standard deviation of the Gaussian with which a galaxy is told from what lies beside it [pixel]."""
NUM_SCALES = 4
_KERNEL = np.array([1, 4, 6, 4, 1]) / 16


@dataclass(frozen=True, slots=True)
class Gallery:
    """Galaxies to take sources from.

    Attributes:
        names: Where each comes from.
        images: Shares of its light in the pixels, each of a shape of its own, ``(H, W)``.
        radii: Half-light radii [pixel].
    """

    names: tuple[str, ...]
    images: tuple[NDArray[np.float32], ...]
    radii: tuple[float, ...]

    def profile(self, number: int, radius: float, texture: int) -> dict[str, Any]:
        """Return the arguments of lenstronomy's ``INTERPOL`` but for flux and centre.

        Args:
            number: Which galaxy.
            radius: Its half-light radius [arcsec].
            texture: Seed of how it is turned.
        """
        rng = np.random.default_rng(texture)
        scale = radius / self.radii[number]
        image = self.images[number]
        if rng.integers(2):
            image = np.ascontiguousarray(image[:, ::-1])
        return {
            "image": image / np.float32(scale**2),
            "phi_G": rng.uniform(0, 2 * math.pi),
            "scale": scale,
        }

    @property
    def digest(self) -> str:
        """SHA-256 of the images."""
        found = hashlib.sha256()
        for image in self.images:
            found.update(repr(image.shape).encode() + image.tobytes())
        return found.hexdigest()


def open_gallery(galaxies: LensSet) -> Gallery:
    """Make ready the galaxies of a set that are bright and large enough.

    Args:
        galaxies: Images, each with a galaxy in its middle; they may differ in size.

    Raises:
        GravLensError: If there are none, or too many.
    """
    if len(galaxies) > MAX_GALAXIES:
        raise GravLensError(f"sources: {len(galaxies)} galaxies, more than {MAX_GALAXIES}")
    found = list(_prepared(galaxies))
    if not found:
        raise GravLensError(
            f"sources: none of {len(galaxies)} galaxies has a half-light radius of {MIN_RADIUS} "
            f"pixels and a signal-to-noise ratio of {MIN_SIGNAL:.0f}, as sources need"
        )
    names, images, radii = zip(*found, strict=True)
    return Gallery(names, images, radii)


def with_sources(config: SimulationConfig, gallery: Gallery) -> SimulationConfig:
    """Return a simulation whose sources are the galaxies of a gallery."""
    limit = build_instrument(config.imaging).psf_fwhm / PSF_PIXELS
    cutouts = Cutouts(
        names=gallery.names,
        largest_radius=tuple(radius * limit for radius in gallery.radii),
        digest=gallery.digest,
    )
    light = replace(config.source.light, structure=cutouts)
    return replace(config, source=replace(config.source, light=light))


def _prepared(galaxies: LensSet) -> Iterator[tuple[str, NDArray[np.float32], float]]:
    """Yield name, light and half-light radius [pixel] of the galaxies that can be taken."""
    for index in range(len(galaxies)):
        image = galaxies.read_whole(index).mean(0, dtype=np.float64)
        light = isolated(image)
        if light is None:
            continue
        y, x = (np.average(axis, weights=light) for axis in np.indices(light.shape))
        radius = half_light_radius(light, y, x)
        if radius >= MIN_RADIUS:
            centred = _centred(light / light.sum(), round(y), round(x))
            # The folder may be moved; the file says which galaxy it is.
            yield Path(galaxies.name(index)).name, centred.astype(np.float32), radius


def half_light_radius(light: Floats, row: float, column: float) -> float:
    """Return the radius about a point that holds half of the light [pixel]."""
    distance = np.hypot(*(np.indices(light.shape) - np.array([row, column])[:, None, None]))
    order = np.argsort(distance, axis=None)
    growth = np.cumsum(light.ravel()[order]) / light.sum()
    return float(np.interp(0.5, growth, distance.ravel()[order]))


def isolated(image: Floats) -> Floats | None:
    """Return the light of the galaxy in the middle alone, or None where it is too faint.

    Noise is taken out by a threshold on the coefficients of an isotropic undecimated wavelet
    transform, scale by scale, so that structure larger than the noise's grain is kept as it is.

    References:
        Starck, Fadili & Murtagh 2007, The Undecimated Wavelet Decomposition.
    """
    image = image - np.median(_edge(image))
    noise = _spread(_edge(image))
    smooth, clean = image, np.zeros_like(image)
    for scale in range(min(NUM_SCALES, int(math.log2(min(image.shape))) - 2)):
        coarser = _smoothed(smooth, 2**scale)
        detail = smooth - coarser
        lowest = THRESHOLD * _spread(detail)
        # The finest scale is below the point spread function.
        if scale > 0:
            kept = np.maximum(np.abs(detail), lowest)
            clean += np.sign(detail) * (kept - lowest * (lowest / kept))
        smooth = coarser
    clean += smooth
    seen = gaussian_filter(image, DETECTION)
    regions, _ = label(seen > THRESHOLD * _spread(_edge(seen)))
    height, width = image.shape
    middle = regions[height // 2 - 2 : height // 2 + 3, width // 2 - 2 : width // 2 + 3]
    numbers = middle[middle > 0]
    if numbers.size == 0:
        return None
    region = regions == np.bincount(numbers).argmax()
    if image[region].sum() < MIN_SIGNAL * noise * math.sqrt(region.sum()):
        return None
    inside = np.clip(2 * gaussian_filter(region.astype(np.float64), DETECTION) - 1, 0, 1)
    light: Floats = inside * np.maximum(clean, 0)
    return light


def _edge(image: Floats) -> Floats:
    return np.concatenate([image[0], image[-1], image[1:-1, 0], image[1:-1, -1]])


def _spread(values: Floats) -> float:
    """Return a standard deviation that outliers do not change."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def _smoothed(image: Floats, step: int) -> Floats:
    """Return an image smoothed by a cubic spline with holes between its points."""
    kernel = np.zeros(4 * step + 1)
    kernel[::step] = _KERNEL
    for axis in (0, 1):
        image = convolve1d(image, kernel, axis, mode="reflect")
    return image


def _centred(image: Floats, row: int, column: int) -> Floats:
    """Return an image with a margin of zeros that brings a pixel to the middle."""
    height, width = image.shape
    up, left = max(0, height - 1 - 2 * row), max(0, width - 1 - 2 * column)
    down, right = max(0, 2 * row - height + 1), max(0, 2 * column - width + 1)
    return np.pad(image, ((up + 1, down + 1), (left + 1, right + 1)))
