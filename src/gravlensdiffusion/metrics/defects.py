"""Defects of known strength, planted into images to see which metric notices them."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, maximum_filter

from gravlensdiffusion.metrics.detail import DEPTH, points
from gravlensdiffusion.metrics.morphology import local_mean
from gravlensdiffusion.metrics.sky import measure_sky

Images = NDArray[np.float32]
Defect = Literal["flux", "noise", "blur", "shift", "turned", "patches", "pitted", "clipped"]

LENS_FROM = 1.5
"""Where sky goes over into lens: mean of 3 x 3 pixels above the sky, in units of its rms."""
TRUNCATE = 6.0
"""Where a Gaussian is cut, in units of its sigma."""
PATCH = 4
"""Height and width of a patch [pixel]."""


def plant(
    images: NDArray[np.floating], defect: Defect, strength: float, rng: np.random.Generator
) -> Images:
    """Return images with a defect. Which pixels show the lens is measured on each image.

    Args:
        images: Shape ``(N, H, H)`` [flux].
        defect: ``flux`` multiplies the lens's flux above the sky by 1 + strength and leaves the sky
            and its noise; ``noise`` adds white noise so that the sky's rms is 1 + strength times as
            large; ``blur`` smooths by a Gaussian of that sigma [pixel]; ``shift`` averages each
            image with its copy one pixel along the columns, whose weight is the strength, which at
            one half blurs by half a pixel, too; ``turned`` turns that share of the images by 90
            degrees, from the x axis towards the y axis; ``patches`` makes every other patch of 4 x 4
            pixels brighter by that share, so that seams show; ``pitted`` darkens, in that share of
            the images, a point on the arc that is free of pits, twice as deep as what counts as
            one; ``clipped`` sets that share of the pixels, the faintest, to 0.
        strength: How strong it is.
        rng: Source of noise and choices.
    """
    faulty: NDArray[np.floating]
    match defect:
        case "flux":
            flux, lens, _ = _separate(images)
            faulty = images + strength * lens * flux
        case "noise":
            rms = _separate(images)[2]
            noise = rng.standard_normal(images.shape, dtype=np.float32)
            faulty = images + np.sqrt((1 + strength) ** 2 - 1) * rms[:, None, None] * noise
        case "blur":
            faulty = gaussian_filter(
                images, strength, mode="nearest", axes=(1, 2), truncate=TRUNCATE
            )
        case "shift":
            moved = np.concatenate([images[:, :, :1], images[:, :, :-1]], axis=2)
            faulty = (1 - strength) * images + strength * moved
        case "turned":
            is_turned = rng.permutation(len(images)) < strength * len(images)
            # rot90 turns from the first axis named towards the second: from x to y.
            faulty = np.where(is_turned[:, None, None], np.rot90(images, axes=(2, 1)), images)
        case "patches":
            number = np.arange(images.shape[-1]) // PATCH
            faulty = images * (1 + strength * ((number[:, None] + number) % 2))
        case "pitted":
            faulty = _pitted(images, strength, rng)
        case "clipped":
            limit = np.quantile(images, strength, axis=(1, 2), keepdims=True)
            faulty = np.where(images < limit, 0, images)
    return np.asarray(faulty, dtype=np.float32)


def _pitted(
    images: NDArray[np.floating], share: float, rng: np.random.Generator
) -> NDArray[np.floating]:
    """Return images of which a share has one more pit, where there is room for another."""
    chosen = np.flatnonzero(rng.permutation(len(images)) < share * len(images))
    is_pit, _, around = points(images)
    is_free = around >= around.max(axis=(1, 2), keepdims=True) / 2
    is_free &= ~maximum_filter(is_pit, size=(1, 5, 5))
    chosen = chosen[is_free[chosen].any(axis=(1, 2))]
    places = (is_free * rng.random(images.shape)).reshape(len(images), -1).argmax(axis=1)
    rows, columns = np.unravel_index(places[chosen], images.shape[1:])
    pitted = images.copy()
    depth = 2 * DEPTH * images.max(axis=(1, 2))
    pitted[chosen, rows, columns] = around[chosen, rows, columns] - depth[chosen]
    return pitted


def _separate(
    images: NDArray[np.floating],
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """Return flux above the sky, share of the lens in each pixel (0 to 1), and the sky's rms."""
    single = np.asarray(images, dtype=np.float32)
    sky = measure_sky(single)
    flux = single - sky.level[:, None, None].astype(np.float32)
    mean = np.maximum(local_mean(flux), 0).astype(np.float64)
    strength = mean**4
    reference = (LENS_FROM * sky.rms[:, None, None]) ** 4
    total = strength + reference
    return flux, strength / np.where(total > 0, total, 1), sky.rms
