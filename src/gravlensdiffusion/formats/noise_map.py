"""The noise map of an image: which of its pixels are flagged, and how deep it is."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.formats.image import MAX_MASKED, Facts, ImageReader
from gravlensdiffusion.formats.units import BACKGROUND_RMS
from gravlensdiffusion.sets.naming import split_name

FLAG = 1000.0
"""Noise of a pixel that is not to be used, in units of the lowest: maps flag by 1e8, say."""
SKY_QUANTILE = 0.25
"""Where in the noise of an image's pixels that of the sky is taken: galaxies add theirs above it."""


class NoiseMapReader:
    """Reads images of one suffix, and what the noise maps in files beside some of them say.

    Args:
        reader: Reads the images.
        readers: The reader of each suffix, for the maps.
        maps: The noise map of each image that has one.
    """

    def __init__(
        self, reader: ImageReader, readers: Mapping[str, ImageReader], maps: Mapping[Path, Path]
    ) -> None:
        self._reader, self._readers, self._maps = reader, dict(readers), maps

    def images(self, path: Path) -> Iterator[tuple[NDArray[np.generic], Facts]]:
        """Yield the images of a file, their flagged pixels as NaN, and what is known of each."""
        for pixels, facts in self._reader.images(path):
            yield with_noise(pixels, facts, None if facts.is_stacked else self._noise(path))

    def pixels(self, path: Path, index: int) -> NDArray[np.generic]:
        """Return an image of a file, its flagged pixels as NaN."""
        pixels = self._reader.pixels(path, index)
        return without_flagged(pixels, self._noise(path) if index == 0 else None)

    def _noise(self, path: Path) -> NDArray[np.generic] | None:
        """Return the map of an image, or None where it has none."""
        beside = self._maps.get(path)
        if beside is None:
            return None
        return self._readers[split_name(beside)[1]].pixels(beside, 0)


def with_noise(
    pixels: NDArray[np.generic], facts: Facts, noise: NDArray[np.generic] | None
) -> tuple[NDArray[np.generic], Facts]:
    """Return an image without its flagged pixels, and its facts with its depth.

    Pixels without a noise that is finite, positive and not a flag become NaN, as pixels that were not
    observed are; the noise of the sky becomes the parameter `BACKGROUND_RMS` of an image of one channel,
    where its file does not state it. A map of another size than its image, or that flags most of a channel,
    is no map of its noise, and is left alone.

    Args:
        pixels: Shape ``(C, H, W)``.
        facts: What is known of them.
        noise: Standard deviation of each pixel, or None where nothing tells it.
    """
    usable = _usable(pixels, noise)
    if noise is None or usable is None:
        return pixels, facts
    facts = replace(facts, has_mask=True)
    if len(pixels) == 1:
        rms = float(np.quantile(noise[usable].astype(np.float64), SKY_QUANTILE))
        facts = replace(
            facts,
            parameters={BACKGROUND_RMS: rms, **facts.parameters},
            parameter_units={BACKGROUND_RMS: "", **facts.parameter_units},
        )
    return _where(usable, pixels), facts


def without_flagged(
    pixels: NDArray[np.generic], noise: NDArray[np.generic] | None
) -> NDArray[np.generic]:
    """Return an image, the pixels that its noise flags as NaN; see `with_noise`."""
    usable = _usable(pixels, noise)
    return pixels if usable is None else _where(usable, pixels)


def _where(usable: NDArray[np.bool_], pixels: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return an image in which all but the usable pixels are NaN."""
    if usable.all():
        return pixels
    dtype = pixels.dtype if pixels.dtype.kind == "f" else np.dtype(np.float32)
    return np.where(usable, pixels, np.nan).astype(dtype)


def _usable(
    pixels: NDArray[np.generic], noise: NDArray[np.generic] | None
) -> NDArray[np.bool_] | None:
    """Return which pixels are not flagged, or None where the noise is not that of the image."""
    if noise is None or noise.shape != pixels.shape:
        return None
    values = noise.astype(np.float64)
    usable = np.isfinite(values) & (values > 0)
    for k, channel in enumerate(values):
        if usable[k].any():
            usable[k] &= channel < FLAG * np.quantile(channel[usable[k]], 0.05)
        if 1 - usable[k].mean() > MAX_MASKED:
            return None
    return np.asarray(usable)
