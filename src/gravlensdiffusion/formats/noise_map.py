"""The noise map beside an image: which of its pixels are flagged, and how deep it is."""

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
    """Reads images of one suffix, and what the noise maps beside some of them say.

    Pixels without a noise that is finite, positive and not a flag become NaN, as pixels that were not
    observed are; the noise of the sky becomes the parameter `BACKGROUND_RMS`. A map of another size than its
    image, or that flags most of it, is no map of its noise, and is left alone.

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
            noise = None if facts.is_stacked else self._noise(path, pixels)
            if noise is None:
                yield pixels, facts
                continue
            rms = float(np.quantile(noise[_usable(noise)], SKY_QUANTILE))
            known = replace(
                facts,
                has_mask=True,
                parameters={BACKGROUND_RMS: rms, **facts.parameters},
                parameter_units={BACKGROUND_RMS: "", **facts.parameter_units},
            )
            yield _flagged(pixels, noise), known

    def pixels(self, path: Path, index: int) -> NDArray[np.generic]:
        """Return an image of a file, its flagged pixels as NaN."""
        pixels = self._reader.pixels(path, index)
        noise = self._noise(path, pixels) if index == 0 else None
        return pixels if noise is None else _flagged(pixels, noise)

    def _noise(self, path: Path, pixels: NDArray[np.generic]) -> NDArray[np.float64] | None:
        """Return the noise of each pixel of an image, or None where nothing tells it."""
        beside = self._maps.get(path)
        if beside is None:
            return None
        noise = self._readers[split_name(beside)[1]].pixels(beside, 0).astype(np.float64)
        if noise.shape != pixels.shape or 1 - _usable(noise).mean() > MAX_MASKED:
            return None
        return noise


def _usable(noise: NDArray[np.float64]) -> NDArray[np.bool_]:
    known = np.isfinite(noise) & (noise > 0)
    if not known.any():
        return known
    return np.asarray(known & (noise < FLAG * np.quantile(noise[known], 0.05)))


def _flagged(pixels: NDArray[np.generic], noise: NDArray[np.float64]) -> NDArray[np.generic]:
    usable = _usable(noise)
    if usable.all():
        return pixels
    dtype = pixels.dtype if pixels.dtype.kind == "f" else np.dtype(np.float32)
    return np.where(usable, pixels, np.nan).astype(dtype)
