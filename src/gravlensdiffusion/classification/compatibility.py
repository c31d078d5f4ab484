"""Whether images are what a classifier was trained on."""

from collections.abc import Iterator

import numpy as np

from gravlensdiffusion.config.classifier import ClassifierConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.flux import UNKNOWN
from gravlensdiffusion.sets.lens_set import LensSet, evenly_spread

TOLERANCE = 0.01
"""Relative difference of pixel scales that does not matter."""
NUM_LOOKED_AT = 64
"""Images whose brightness is looked at where the flux unit is not known."""
FACTOR = 30
"""Factor of brightness beyond which images of no known unit are told to be suspicious."""


def for_classifier(config: ClassifierConfig, source: LensSet) -> LensSet:
    """Return a set as a classifier takes it: larger images of the same field are resized.

    Args:
        config: The classifier's configuration.
        source: The set.

    Raises:
        GravLensError: If the images have other channels, another flux unit, another pixel scale or
            another field than those that the classifier was trained on.
    """
    channels, height, width = source.image_shape
    if channels != config.num_channels:
        raise GravLensError(
            f"the images have {channels} channels, the classifier was trained on "
            f"{config.num_channels}"
        )
    units = (source.header.flux_unit, config.flux_unit)
    if UNKNOWN not in units and units[0] != units[1]:
        raise GravLensError(
            f"the images are in flux unit {units[0]}, the classifier was trained on {units[1]}; "
            "give images in that unit, or train a classifier on this one"
        )
    size = config.image_size
    if min(height, width) < size:
        raise GravLensError(
            f"the images have {height} x {width} pixels, the classifier was trained on {size}"
        )
    sized = source.resized(size, config.resize, flux_unit=config.flux_unit)
    _check_field(config, source, sized)
    return sized


def _check_field(config: ClassifierConfig, source: LensSet, sized: LensSet) -> None:
    scale, trained = sized.header.pixel_scale_arcsec, config.pixel_scale_arcsec
    num, size = source.image_shape[1], sized.image_shape[1]
    if scale is not None and trained is not None:
        if abs(scale / trained - 1) <= TOLERANCE:
            return
        if sized is source:
            raise GravLensError(
                f"the pixels of the images have {scale:.4g} arcsec, those that the classifier was "
                f"trained on {trained:.4g}"
            )
        raise GravLensError(
            f"the images show {scale * size:.4g} arcsec on {num} pixels, those that the classifier "
            f"was trained on {trained * size:.4g} arcsec on {size}: not the same field"
        )
    if sized is not source and num != config.original_size:
        sizes = f"{size}" if config.original_size is None else f"{size} or {config.original_size}"
        raise GravLensError(
            f"the images have {num} pixels a side and the classifier takes {sizes}; without a pixel "
            "scale on both sides it is not known whether they show the same field"
        )


def doubts(config: ClassifierConfig, sized: LensSet) -> Iterator[str]:
    """Yield what cannot be known of a set beside what a classifier was trained on."""
    unit = sized.header.flux_unit
    if UNKNOWN in (unit, config.flux_unit):
        if unit != config.flux_unit:
            yield (
                f"the flux unit of the images is {unit}, that of the training images "
                f"{config.flux_unit}; they are taken for the same"
            )
        places = evenly_spread(len(sized), NUM_LOOKED_AT)
        pixels = sized.read(places).reshape(len(places), len(config.bright), -1)
        faint, bright = np.quantile(pixels, (0.3, 0.99), axis=2)
        ratio = float(np.median(np.median(bright - faint, axis=0) / config.bright))
        if not 1 / FACTOR < ratio < FACTOR:
            yield (
                f"the images are {ratio:.3g} times as bright as the training images, so the "
                "probabilities mean little"
            )
    scales = (sized.header.pixel_scale_arcsec, config.pixel_scale_arcsec)
    if None in scales and scales != (None, None):
        whose = "images" if scales[0] is None else "training images"
        yield f"the pixel scale of the {whose} is not known; it is taken for the same"
