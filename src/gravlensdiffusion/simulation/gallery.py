"""Images of real galaxies, made ready to be sources: without sky, noise and neighbours, sharper where their PSF is known."""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d, gaussian_filter, label, zoom

from gravlensdiffusion.config.galaxies import Cutouts
from gravlensdiffusion.config.simulation import SimulationConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.simulation.instrument import build_instrument

Floats = NDArray[np.float64]

PSF_PIXELS, POINT_RADIUS = 4.0, 2.5
"""Full width at half maximum of the point spread function of images that come without one, and the radius that
holds half of the light of a point [pixel]; those of COSMOS."""
MIN_RADIUS = 2.0
"""Half-light radius of a galaxy that is taken, in units of that of a point."""
TARGETS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
"""Widths of the Gaussians that may take the place of a known point spread function, in units of its own."""
MAX_PSF = 512
"""Pixels that a point spread function has at most on each side."""
MIN_SIGNAL = 40.0
"""Signal-to-noise ratio of a galaxy that is taken."""
MAX_GALAXIES = 20_000
THRESHOLD = 3.0
"""How far structure must stand out of the noise to be kept, in units of its standard deviation."""
FINEST_THRESHOLD = 4.0
"""The same at the finest scale, where a deconvolved image has most of its noise and most of its pixels are free of structure."""
DETECTION = 2.0
"""Standard deviation of the Gaussian with which a galaxy is told from what lies beside it [pixel]."""
NUM_SCALES = 4
REGULARISATION = 1e-7
"""Power of the noise over that of the signal in the Wiener filter, where the power of the point spread function
counts as 1: what it passes to less than that is not brought back."""
FINE = 6
"""Points of a pixel at which the width of a point spread function is measured, along each axis."""
_KERNEL = np.array([1, 4, 6, 4, 1]) / 16


@dataclass(frozen=True, slots=True)
class Gallery:
    """Galaxies to take sources from.

    Attributes:
        names: Where each comes from.
        images: Shares of its light in the pixels, each of a shape of its own, ``(H, W)``.
        radii: Half-light radii [pixel].
        widths: Full widths at half maximum of what spreads a point in each [pixel].
    """

    names: tuple[str, ...]
    images: tuple[NDArray[np.float32], ...]
    radii: tuple[float, ...]
    widths: tuple[float, ...]

    @classmethod
    def of(cls, galaxies: LensSet) -> Self:
        """Make ready the galaxies of a set, one in the middle of each image, that are bright and large enough.

        Raises:
            GravLensError: If there are none, or too many.
        """
        if len(galaxies) > MAX_GALAXIES:
            raise GravLensError(f"sources: {len(galaxies)} galaxies, more than {MAX_GALAXIES}")
        found = list(_prepared(galaxies))
        galaxies.close()
        if not found:
            raise GravLensError(
                f"sources: none of {len(galaxies)} galaxies has a half-light radius of {MIN_RADIUS:g} times "
                f"that of a point, which is {POINT_RADIUS} pixels where no PSF is known, and a signal-to-noise "
                f"ratio of {MIN_SIGNAL:.0f}, as sources need"
            )
        return cls(*zip(*found, strict=True))

    def sources_of(self, config: SimulationConfig) -> SimulationConfig:
        """Return a simulation whose sources are these galaxies."""
        fwhm = build_instrument(config.imaging).psf_fwhm
        sizes = zip(self.radii, self.widths, strict=True)
        digest = hashlib.sha256()
        for image in self.images:
            digest.update(repr(image.shape).encode() + image.tobytes())
        cutouts = Cutouts(
            names=self.names,
            largest_radius=tuple(fwhm * radius / width for radius, width in sizes),
            digest=digest.hexdigest(),
        )
        light = replace(config.source.light, structure=cutouts)
        return replace(config, source=replace(config.source, light=light))

    def profile(self, number: int, radius: float, texture: int) -> dict[str, Any]:
        """Return the arguments of lenstronomy's ``INTERPOL`` but for flux and centre.

        The galaxy gets a half-light radius [arcsec], and is turned as the seed ``texture`` says.
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


def _prepared(galaxies: LensSet) -> Iterator[tuple[str, NDArray[np.float32], float, float]]:
    """Yield name, light, half-light radius and width of a point [pixel] of the galaxies that can be taken."""
    for index in range(len(galaxies)):
        image = galaxies.read_whole(index).mean(0, dtype=np.float64)
        light, width, point = _isolated(image), PSF_PIXELS, POINT_RADIUS
        if light is None:
            continue
        # The folder may be moved; the file says which galaxy it is.
        name = Path(galaxies.name(index)).name
        psf = galaxies.read_psf(index)
        if psf is not None:
            checked = _checked(psf.mean(0, dtype=np.float64), name)
            sharper = _sharpened(image, checked)
            if sharper is not None:
                light, width = sharper
                point = width / 2  # of a Gaussian
        y, x = (np.average(axis, weights=light) for axis in np.indices(light.shape))
        radius = half_light_radius(light, y, x)
        if radius >= MIN_RADIUS * point:
            centred = _centred(light / light.sum(), round(y), round(x))
            yield name, centred.astype(np.float32), radius, width


def _checked(psf: Floats, name: str) -> Floats:
    """Return a point spread function that can be one."""
    is_one = max(psf.shape) <= MAX_PSF and np.isfinite(psf).all() and 0 < psf.max() < 2 * psf.sum()
    if not is_one:
        raise GravLensError(
            f"sources: the PSF of {name} is none: it has {psf.shape[0]} x {psf.shape[1]} pixels that sum to "
            f"{psf.sum():.3g}, allowed are {MAX_PSF} on each side, finite and positive in sum"
        )
    return psf


def _sharpened(image: Floats, psf: Floats) -> tuple[Floats, float] | None:
    """Return the light of a galaxy as the narrowest Gaussian shows it, and how wide a point is then [pixel].

    A narrower one amplifies the noise; it is the narrowest at which the galaxy keeps `MIN_SIGNAL`. None where
    it does at no width.
    """
    own, found = _full_width(psf), None
    for target in TARGETS:
        narrower = _isolated(image, _deconvolved(_without_sky(image), psf, target * own))
        if narrower is None:
            break
        found = (narrower, target * own)
    if found is None:
        return None
    light, width = found
    # The function may pass too little for the narrowest of them.
    return light, _full_width(_deconvolved(psf, psf, width))


def half_light_radius(light: Floats, row: float, column: float) -> float:
    """Return the radius about a point that holds half of the light [pixel]."""
    distance = np.hypot(*(np.indices(light.shape) - np.array([row, column])[:, None, None]))
    order = np.argsort(distance, axis=None)
    growth = np.cumsum(light.ravel()[order]) / light.sum()
    return float(np.interp(0.5, growth, distance.ravel()[order]))


def _isolated(image: Floats, sharper: Floats | None = None) -> Floats | None:
    """Return the light of the galaxy in the middle alone, or None where it is too faint.

    Noise is taken out by a threshold on the coefficients of an isotropic undecimated wavelet
    transform, scale by scale, so that structure larger than the noise's grain is kept as it is. Where
    the galaxy lies tells ``image``; its light is that of ``sharper``, as `_deconvolved` makes it, or its own.

    References:
        Starck, Fadili & Murtagh 2007, The Undecimated Wavelet Decomposition.
    """
    image = _without_sky(image)
    shown = image if sharper is None else _without_sky(sharper)
    smooth, clean = shown, np.zeros_like(shown)
    for scale in range(min(NUM_SCALES, int(math.log2(min(image.shape))) - 2)):
        coarser = _smoothed(smooth, 2**scale)
        detail = smooth - coarser
        lowest = (THRESHOLD if scale else FINEST_THRESHOLD) * _spread(detail)
        # The finest scale is below the point spread function, but for one that has been narrowed.
        if scale > 0 or sharper is not None:
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
    noise = _spread(_edge(shown))
    if shown[region].sum() < MIN_SIGNAL * noise * math.sqrt(region.sum()):
        return None
    inside = np.clip(2 * gaussian_filter(region.astype(np.float64), DETECTION) - 1, 0, 1)
    light: Floats = inside * np.maximum(clean, 0)
    return light


def _without_sky(image: Floats) -> Floats:
    sky: Floats = image - np.median(_edge(image))
    return sky


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


def _deconvolved(image: Floats, psf: Floats, fwhm: float) -> Floats:
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


def _full_width(psf: Floats) -> float:
    """Return the full width at half maximum of a point spread function, that of a circle of the same area [pixel]."""
    fine = zoom(psf, FINE, order=3, mode="nearest", grid_mode=True)
    area = np.count_nonzero(fine > fine.max() / 2) / FINE**2
    return 2 * math.sqrt(area / math.pi)
