"""Defects of known strength, planted into images to see which metric notices them.

All functions take images ``(N, H, H)`` in any flux unit and return new ones of the same shape and
dtype. Which pixels show the lens and which the sky is measured on each image.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, maximum_filter

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.metrics.detail import DEPTH, points
from gravlensdiffusion.metrics.images import subtract_sky
from gravlensdiffusion.metrics.morphology import local_mean

Images = NDArray[np.floating]

LENS_FROM = 1.5
"""Where sky goes over into lens: mean of 3 x 3 pixels above the sky, in units of its rms."""

TRUNCATE = 6.0
"""Where a Gaussian is cut, in units of its sigma."""


def scale_flux(images: Images, factor: float) -> Images:
    """Multiply the lens's flux above the sky, and leave the sky and its noise as they are.

    Args:
        images: Shape ``(N, H, H)`` [flux].
        factor: 1.02 for lenses that are 2% too bright.
    """
    flux, lens, _ = _separate(images)
    return np.asarray(images + (factor - 1) * lens * flux).astype(images.dtype)


def add_noise(images: Images, factor: float, generator: np.random.Generator) -> Images:
    """Multiply the rms of the sky's noise.

    Args:
        images: Shape ``(N, H, H)`` [flux].
        factor: At least 1: white noise is added to all pixels. Below 1: the sky's pixels are drawn
            towards its level, and the noise on the lens stays.
        generator: Source of the noise.

    Raises:
        GravLensError: If the factor is negative.
    """
    if factor < 0:
        raise GravLensError(f"the factor on the noise must not be negative, got {factor}")
    flux, lens, rms = _separate(images)
    if factor < 1:
        return np.asarray(images - (1 - factor) * (1 - lens) * flux).astype(images.dtype)
    noise = generator.standard_normal(images.shape, dtype=np.float32)
    added = np.sqrt(factor**2 - 1) * rms[:, None, None]
    return np.asarray(images + added * noise).astype(images.dtype)


def blur(images: Images, sigma: float) -> Images:
    """Smooth each image by a Gaussian.

    Args:
        images: Shape ``(N, H, H)`` [flux].
        sigma: Its standard deviation [pixel].
    """
    smooth = gaussian_filter(images, sigma, mode="nearest", axes=(1, 2), truncate=TRUNCATE)
    return np.asarray(smooth)


def shift(images: Images, weight: float) -> Images:
    """Average each image with its copy one pixel further along the columns.

    At a weight of one half this blurs by a standard deviation of half a pixel along x, too.

    Args:
        images: Shape ``(N, H, H)`` [flux].
        weight: Weight of the copy, by which the light is moved [pixel].
    """
    moved = np.concatenate([images[:, :, :1], images[:, :, :-1]], axis=2)
    return np.asarray((1 - weight) * images + weight * moved).astype(images.dtype)


def rotate(images: Images, quarter_turns: int = 1) -> Images:
    """Turn each image by multiples of 90 degrees, from the x axis towards the y axis.

    Args:
        images: Shape ``(N, H, H)`` [flux].
        quarter_turns: How many times.
    """
    # rot90 turns from the first axis named towards the second: from x to y.
    return np.ascontiguousarray(np.rot90(images, quarter_turns, axes=(2, 1)))


def patch(images: Images, strength: float, side: int = 4) -> Images:
    """Make every other patch of each image brighter than its neighbours, so that seams show.

    Args:
        images: Shape ``(N, H, H)`` [flux].
        strength: By how much.
        side: Height and width of a patch [pixel].
    """
    number = np.arange(images.shape[-1]) // side
    is_brighter = (number[:, None] + number) % 2
    return np.asarray(images * (1 + strength * is_brighter)).astype(images.dtype)


def pit_arcs(images: Images, share: float, generator: np.random.Generator) -> Images:
    """Darken a point on the arc, as a subhalo may, twice as deep as what counts as a pit.

    It lies away from the pits that are there; an image without room for another keeps what it has.

    Args:
        images: Noise-free images, shape ``(N, H, H)`` [flux].
        share: Share of the images in which this is done.
        generator: Source of the choice.
    """
    chosen = np.flatnonzero(generator.permutation(len(images)) < share * len(images))
    is_pit, _, around = points(images)
    is_free = around >= around.max(axis=(1, 2), keepdims=True) / 2
    is_free &= ~maximum_filter(is_pit, size=(1, 5, 5))
    chosen = chosen[is_free[chosen].any(axis=(1, 2))]
    places = (is_free * generator.random(images.shape)).reshape(len(images), -1).argmax(axis=1)
    rows, columns = np.unravel_index(places[chosen], images.shape[1:])
    pitted = images.copy()
    depth = 2 * DEPTH * images.max(axis=(1, 2))
    pitted[chosen, rows, columns] = around[chosen, rows, columns] - depth[chosen]
    return pitted


def clip_faintest(images: Images, share: float) -> Images:
    """Set the faintest pixels of each image to 0, as clipping of light below zero does.

    Args:
        images: Shape ``(N, H, H)`` [flux].
        share: Share of the pixels.
    """
    limit = np.quantile(images, share, axis=(1, 2), keepdims=True)
    return np.where(images < limit, np.zeros((), images.dtype), images)


def _separate(
    images: Images,
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """Return flux above the sky, share of the lens in each pixel (0 to 1), and the sky's rms."""
    flux, sky = subtract_sky(np.asarray(images, dtype=np.float32))
    mean = np.maximum(local_mean(flux), 0).astype(np.float64)
    strength = mean**4
    reference = (LENS_FROM * sky.rms[:, None, None]) ** 4
    total = strength + reference
    return flux, strength / np.where(total > 0, total, 1), sky.rms
