"""A data set in numbers: what there is, how it is spread, and which transform suits it."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.config.bounds import UNLABELLED
from gravlensdiffusion.files import told_apart
from gravlensdiffusion.sets.copies import Signatures, group, sign
from gravlensdiffusion.sets.lens_set import LensSet

QUANTILES = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)
NUM_QUANTILE_PIXELS = 2_000_000
"""Pixels, evenly spread over the set, from which the quantiles are taken."""
NUM_LISTED = 10
"""Images of a set of files that are told one by one, at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSummary:
    """What `gravlens inspect` tells about a data set beside what the set says of itself.

    Pixels are in the set's flux unit; those that were not observed do not count.

    Attributes:
        quantiles: Value by level, the levels of `QUANTILES`.
        lows: Range of the images' faintest pixels.
        highs: Range of the images' brightest pixels.
        num_quantile_pixels: Pixels behind the quantiles.
        class_counts: Number of images by class; unlabelled ones under that name.
        duplicates: Groups of images that are copies of one another, by name.
        parameters: Range and unit of each parameter, and number of images that have it.
        transform: Kind of transform that preset cutouts28 needs for the set.
        images: Name of the file, faintest, mean and brightest pixel of each image, where there are
            few and each has a file of its own.
    """

    mean: float
    std: float
    quantiles: dict[float, float]
    lows: tuple[float, float]
    highs: tuple[float, float]
    num_quantile_pixels: int
    class_counts: dict[str, int]
    duplicates: tuple[tuple[str, ...], ...]
    parameters: dict[str, tuple[float, float, str, int]]
    transform: str
    transform_reason: str
    images: tuple[tuple[str, float, float, float], ...]

    @property
    def in_unit_range(self) -> bool:
        """Whether all pixels lie in [0, 1], which presets ddpm and reference ask for."""
        return self.lows[0] >= 0 and self.highs[1] <= 1


def inspect_lenses(source: LensSet) -> DataSummary:
    """Read a whole set once and return it in numbers; memory stays flat."""
    stride = max(1, math.prod(source.shape) // NUM_QUANTILE_PIXELS)
    while math.gcd(stride, source.image_shape[-1]) > 1:  # or some columns would count alone
        stride += 1
    lows, highs = (np.empty(len(source), np.float32) for _ in range(2))
    means = np.empty(len(source), np.float64)
    kept: list[NDArray[np.float32]] = []
    signatures: list[Signatures] = []
    total = squares = centre = 0.0
    num_pixels = offset = 0
    for where in source.slices():
        images = values = source.read(where)
        if source.has_masked:
            # What was not observed is no number here, and counts nowhere.
            values = np.where(source.read_masked(where), np.float32(np.nan), images)
        lows[where] = np.nanmin(values, axis=(1, 2, 3))
        highs[where] = np.nanmax(values, axis=(1, 2, 3))
        means[where] = np.nanmean(values, axis=(1, 2, 3), dtype=np.float64)
        if where.start == 0:
            # Squares of the distance to this level keep their digits.
            centre = float(np.nanmean(values, dtype=np.float64))
        shifted = values.astype(np.float64) - centre
        num_pixels += int(np.count_nonzero(np.isfinite(values)))
        total += float(np.nansum(shifted))
        squares += float(np.nansum(np.square(shifted)))
        some = values.ravel()[-offset % stride :: stride]
        kept.append(some[np.isfinite(some)])
        offset += values.size
        signatures.append(sign([images]))
    pixels = np.concatenate(kept)
    quantiles = dict(zip(QUANTILES, np.quantile(pixels, QUANTILES).tolist(), strict=True))
    mean = total / num_pixels
    transform, reason = _choose_transform(quantiles)
    repeated = group(signatures).repeated if signatures else []
    return DataSummary(
        mean=centre + mean,
        std=float(np.sqrt(max(squares / num_pixels - mean**2, 0.0))),
        quantiles=quantiles,
        lows=(float(lows.min()), float(lows.max())),
        highs=(float(highs.min()), float(highs.max())),
        num_quantile_pixels=len(pixels),
        class_counts=_count_classes(source),
        duplicates=tuple(tuple(source.name(int(k)) for k in images) for images in repeated),
        parameters=_summarise_parameters(source),
        transform=transform,
        transform_reason=reason,
        images=_image_rows(source, lows, means, highs),
    )


def _choose_transform(quantiles: dict[float, float]) -> tuple[str, str]:
    """Return the kind of transform that preset cutouts28 needs for a set, and why."""
    low, middle = quantiles[0.1], quantiles[0.5]
    if middle <= low:
        return "linear", "the faint pixels are all equal, so there is no noise for asinh to follow"
    scale = 5 * (middle - low)
    return "asinh", f"linear up to about {scale:.3g} above {low:.3g}, logarithmic beyond"


def _image_rows(
    source: LensSet, *columns: NDArray[np.floating]
) -> tuple[tuple[str, float, float, float], ...]:
    """Return the numbers of each image of a small set of files."""
    files = [Path(source.name(k)) for k in range(min(len(source), NUM_LISTED + 1))]
    if len(files) > NUM_LISTED or not all(file.is_file() for file in files):
        return ()
    numbers = (column.astype(float).tolist() for column in columns)
    return tuple(zip(told_apart(files), *numbers, strict=True))


def _count_classes(source: LensSet) -> dict[str, int]:
    unlabelled = int(np.count_nonzero(source.labels == UNLABELLED))
    return source.class_counts | ({"unlabelled": unlabelled} if unlabelled else {})


def _summarise_parameters(source: LensSet) -> dict[str, tuple[float, float, str, int]]:
    ranges = {}
    for name, values in source.parameters.items():
        known = values[~np.isnan(values)]
        if known.size:
            unit = source.header.parameter_units.get(name, "")
            ranges[name] = (float(known.min()), float(known.max()), unit, int(known.size))
    return ranges
