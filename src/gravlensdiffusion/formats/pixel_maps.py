"""The maps that go with an image: which of its pixels they flag, and how deep it is."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.errors import BadImageError
from gravlensdiffusion.formats.fits_header import BACKGROUND_RMS
from gravlensdiffusion.formats.image import MAX_MASKED, Facts, ImageReader, masked_pixels
from gravlensdiffusion.sets.naming import NOISE, QUALITY, WEIGHT, split_name

USED = "likelihood mask"
"""A map of the pixels that are used: 0 flags one, as in lenstronomy."""
TIME = "exposure time"
NEUTRAL = {QUALITY: 0, USED: 1, WEIGHT: 1, TIME: 1, NOISE: 1}
"""The value that flags no pixel, by the kinds of maps, in the order in which pixels are counted by them."""
FLAG = 1000.0
"""Noise of a pixel that is not to be used, in units of the lowest: maps flag by 1e8, say."""
SKY_QUANTILE = 0.25
"""Where in the noise of an image's pixels that of the sky is taken: galaxies add theirs above it."""
Maps = Mapping[str, NDArray[np.generic]]
"""Maps of an image of shape ``(C, H, W)`` by their kind, each ``(C, H, W)`` or ``(1, H, W)``."""


class MapReader:
    """Reads images of one suffix, and what the maps in files beside some of them say."""

    def __init__(
        self,
        reader: ImageReader,
        readers: Mapping[str, ImageReader],
        maps: Mapping[Path, Mapping[str, Path]],
    ) -> None:
        self._reader, self._readers, self._maps = reader, dict(readers), maps

    def images(self, path: Path) -> Iterator[tuple[NDArray[np.generic], Facts]]:
        """Yield the images of a file, their flagged pixels as NaN, and what is known of each."""
        for pixels, facts in self._reader.images(path):
            yield with_maps(pixels, facts, {} if facts.is_stacked else self._beside(path))

    def pixels(self, path: Path, index: int) -> NDArray[np.generic]:
        """Return an image of a file, its flagged pixels as NaN."""
        pixels = self._reader.pixels(path, index)
        return with_maps(pixels, Facts(), self._beside(path) if index == 0 else {})[0]

    def _beside(self, path: Path) -> Maps:
        """Return the maps of an image by their kind."""
        found = {}
        for kind, beside in self._maps.get(path, {}).items():
            try:
                found[kind] = self._readers[split_name(beside)[1]].pixels(beside, 0)
            except BadImageError as error:
                raise BadImageError(f"has a {kind} in {beside.name} that {error}") from error
        return found


def with_maps(
    pixels: NDArray[np.generic], facts: Facts, maps: Maps
) -> tuple[NDArray[np.generic], Facts]:
    """Return an image without its flagged pixels, and its facts with these and its depth.

    Flagged pixels become NaN, as pixels that were not observed are. A noise map flags what is not finite,
    not positive or over `FLAG`; a map of weights or exposure what is not finite or not positive; one of data
    quality what is not 0; a likelihood mask what is 0. The noise of the sky becomes the parameter
    `BACKGROUND_RMS` of an image of one channel, where its file does not state it. A map of noise, weights or
    exposure of another size than its image, or that flags most of a channel, is no map of it, and is left alone.

    Raises:
        BadImageError: If data quality or a likelihood mask are of another size than the image.
    """
    every = {kind: _flagged(kind, maps[kind], pixels.shape) for kind in NEUTRAL if kind in maps}
    flags = {kind: flagged for kind, flagged in every.items() if flagged is not None}
    if not flags:
        return pixels, facts
    usable = ~np.logical_or.reduce(list(flags.values()))
    # Each pixel counts for the first map that flags it, and for none where it is no number.
    before, told = masked_pixels(pixels), dict(facts.flags)
    for kind, flagged in flags.items():
        told[kind] = flagged & ~before
        before = before | flagged
    facts = replace(facts, has_mask=True, flags=told)
    if NOISE in flags and len(pixels) == 1 and usable.any():
        rms = float(np.quantile(maps[NOISE][usable].astype(np.float64), SKY_QUANTILE))
        facts = replace(
            facts,
            parameters={BACKGROUND_RMS: rms, **facts.parameters},
            parameter_units={BACKGROUND_RMS: "", **facts.parameter_units},
        )
    if not usable.all():
        dtype = pixels.dtype if pixels.dtype.kind == "f" else np.dtype(np.float32)
        pixels = np.where(usable, pixels, np.nan).astype(dtype)
    return pixels, facts


def _flagged(
    kind: str, values: NDArray[np.generic], shape: tuple[int, ...]
) -> NDArray[np.bool_] | None:
    """Return which pixels of an image a map flags, or None where it is none of the image."""
    numbers = values.astype(np.float64)
    if kind in (QUALITY, USED):
        if values.shape[1:] != shape[1:] or len(values) not in (1, shape[0]):
            own, whole = ("{1} x {2} pixels in {0}".format(*each) for each in (values.shape, shape))
            raise BadImageError(f"has a {kind} of {own} for an image of {whole}")
        flagged = numbers != 0 if kind == QUALITY else (numbers == 0) | np.isnan(numbers)
        return np.broadcast_to(flagged, shape)
    if values.shape != shape:
        return None
    flagged = ~(np.isfinite(numbers) & (numbers > 0))
    if kind == NOISE:
        for k, channel in enumerate(numbers):
            if not flagged[k].all():
                flagged[k] |= channel >= FLAG * np.quantile(channel[~flagged[k]], 0.05)
    return None if flagged.mean(axis=(1, 2)).max() > MAX_MASKED else flagged
