"""A data set in numbers: what there is, how it is spread, and which transform suits it."""

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
class PixelSummary:
    """How the pixels of a set are spread; all values in the set's flux unit.

    Attributes:
        low: Faintest pixel.
        high: Brightest pixel.
        mean: Mean of all pixels, without those that were not observed, as all else here.
        std: Standard deviation of all pixels.
        quantiles: Value by level, the levels of `QUANTILES`.
        lows: Range of the images' faintest pixels.
        highs: Range of the images' brightest pixels.
        num_quantile_pixels: Pixels behind the quantiles.
    """

    low: float
    high: float
    mean: float
    std: float
    quantiles: dict[float, float]
    lows: tuple[float, float]
    highs: tuple[float, float]
    num_quantile_pixels: int


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSummary:
    """What `gravlens inspect` tells about a data set beside what the set says of itself.

    Attributes:
        pixels: How the pixels are spread.
        class_counts: Number of images by class; unlabelled ones under that name.
        duplicates: Groups of images that are copies of one another, by name.
        parameters: Range and unit of each parameter, and number of images that have it.
        transform: Kind of transform that preset cutouts28 needs for the set.
        transform_reason: Why.
        images: Name of the file, faintest, mean and brightest pixel of each image, where there are
            few and each has a file of its own.
    """

    pixels: PixelSummary
    class_counts: dict[str, int]
    duplicates: tuple[tuple[str, ...], ...]
    parameters: dict[str, tuple[float, float, str, int]]
    transform: str
    transform_reason: str
    images: tuple[tuple[str, float, float, float], ...]

    @property
    def in_unit_range(self) -> bool:
        """Whether all pixels lie in [0, 1], which presets ddpm and reference ask for."""
        return self.pixels.low >= 0 and self.pixels.high <= 1


def inspect_lenses(source: LensSet) -> DataSummary:
    """Read a whole set once and return it in numbers; memory stays flat."""
    walk = _Walk(source)
    pixels = walk.pixel_summary()
    transform, reason = _choose_transform(pixels)
    return DataSummary(
        pixels=pixels,
        class_counts=_count_classes(source),
        duplicates=walk.duplicates(),
        parameters=_summarise_parameters(source),
        transform=transform,
        transform_reason=reason,
        images=walk.images(),
    )


def _choose_transform(pixels: PixelSummary) -> tuple[str, str]:
    """Return the kind of transform that preset cutouts28 needs for a set, and why."""
    low, middle = pixels.quantiles[0.1], pixels.quantiles[0.5]
    if middle <= low:
        return "linear", "the faint pixels are all equal, so there is no noise for asinh to follow"
    scale = 5 * (middle - low)
    return "asinh", f"linear up to about {scale:.3g} above {low:.3g}, logarithmic beyond"


class _Walk:
    """One pass over all images, in blocks."""

    def __init__(self, source: LensSet) -> None:
        self.source = source
        num_pixels = int(np.prod(source.image_shape))
        self.stride = max(1, num_pixels * len(source) // NUM_QUANTILE_PIXELS)
        self.low = np.empty(len(source), np.float32)
        self.high = np.empty(len(source), np.float32)
        self.mean = np.empty(len(source), np.float64)
        self.kept: list[NDArray[np.float32]] = []
        self.signatures: list[Signatures] = []
        self.total = self.squares = 0.0
        self.num_pixels = 0
        self._run()

    def _run(self) -> None:
        offset = 0
        centre = 0.0
        for where in self.source.slices():
            images = self.source.read(where)
            # What was not observed is no number here, and counts nowhere.
            values = images
            if self.source.has_masked:
                values = np.where(self.source.read_masked(where), np.float32(np.nan), images)
            self.low[where] = np.nanmin(values, axis=(1, 2, 3))
            self.high[where] = np.nanmax(values, axis=(1, 2, 3))
            self.mean[where] = np.nanmean(values, axis=(1, 2, 3), dtype=np.float64)
            if where.start == 0:
                # Squares of the distance to this level keep their digits.
                centre = float(np.nanmean(values, dtype=np.float64))
            shifted = values.astype(np.float64) - centre
            self.num_pixels += int(np.count_nonzero(np.isfinite(values)))
            self.total += float(np.nansum(shifted))
            self.squares += float(np.nansum(np.square(shifted)))
            flat = values.ravel()
            kept = flat[-offset % self.stride :: self.stride]
            self.kept.append(kept[np.isfinite(kept)])
            offset += flat.size
            self.signatures.append(sign([images]))
        self.centre = centre

    def pixel_summary(self) -> PixelSummary:
        """Return how the pixels are spread."""
        kept = np.concatenate(self.kept)
        mean = self.total / self.num_pixels
        return PixelSummary(
            low=float(self.low.min()),
            high=float(self.high.max()),
            mean=self.centre + mean,
            std=float(np.sqrt(max(self.squares / self.num_pixels - mean**2, 0.0))),
            quantiles=dict(zip(QUANTILES, np.quantile(kept, QUANTILES).tolist(), strict=True)),
            lows=(float(self.low.min()), float(self.low.max())),
            highs=(float(self.high.min()), float(self.high.max())),
            num_quantile_pixels=len(kept),
        )

    def images(self) -> tuple[tuple[str, float, float, float], ...]:
        """Return the pixels of each image of a small set of files."""
        files = [Path(self.source.name(k)) for k in range(min(len(self.source), NUM_LISTED + 1))]
        if len(files) > NUM_LISTED or not all(file.is_file() for file in files):
            return ()
        return tuple(
            (name, float(self.low[k]), float(self.mean[k]), float(self.high[k]))
            for k, name in enumerate(told_apart(files))
        )

    def duplicates(self) -> tuple[tuple[str, ...], ...]:
        """Return groups of copies, by name."""
        repeated = group(self.signatures).repeated if self.signatures else []
        return tuple(tuple(self.source.name(int(k)) for k in images) for images in repeated)


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
