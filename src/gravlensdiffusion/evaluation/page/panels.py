"""The pictures of a report, drawn from an evaluation."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.evaluation.labels import with_unit
from gravlensdiffusion.evaluation.result import Evaluation, Neighbours, set_fact
from gravlensdiffusion.metrics import profiles
from gravlensdiffusion.reports.charts import Band, bands_png, histogram_png
from gravlensdiffusion.reports.mosaics import grid_png, percentile_limits

MAX_TILES = 36
"""Images that a grid shows at most."""
GRID_PIXELS = 700_000
"""Pixels of a grid at most; large images are shown in smaller number."""
MAX_PAIRS = 8
"""Pairs of neighbours that are shown, at most."""
MIN_SIDE = 100
"""Smaller images are enlarged by a whole factor until they have so many pixels."""
PERCENTILES = (50.0, 16.0, 84.0)
"""Middle and edges of a band [per cent]."""


class Panel(NamedTuple):
    """A picture and what belongs to it.

    Attributes:
        name: Name of the row that it illustrates.
        title: Its heading.
        png: The picture.
    """

    name: str
    title: str
    png: bytes


def grids(evaluation: Evaluation) -> tuple[bytes, bytes]:
    """Return generated and real images, equally many where there are, on one grey scale."""
    size = evaluation.generated_images.shape[-1]
    most = max(9, min(MAX_TILES, GRID_PIXELS // size**2))
    most = min(most, max(len(evaluation.generated_images), len(evaluation.real_images)))
    columns = int(np.ceil(np.sqrt(most)))
    shown = [images[:most] for images in (evaluation.generated_images, evaluation.real_images)]
    limits = percentile_limits(np.concatenate(shown))
    ours, theirs = (
        grid_png(images, num_columns=columns, limits=limits, min_side=MIN_SIDE) for images in shown
    )
    return ours, theirs


def distributions(evaluation: Evaluation) -> Iterator[Panel]:
    """Yield the distribution of each statistic of lens physics that has values."""
    scale, unit = _units(evaluation)
    for name, real in evaluation.real.physics.items():
        generated = evaluation.generated.physics[name]
        if np.isfinite(generated).any() or np.isfinite(real).any():
            png = histogram_png(generated, real)
            yield Panel(name, with_unit(name, scale, unit), png)


def curves(evaluation: Evaluation) -> Iterator[Panel]:
    """Yield the radial profile and the power spectrum, as far as they were measured."""
    scale, unit = _units(evaluation)
    size = evaluation.generated_images.shape[-1]
    blank = np.zeros((1, size, size), dtype=np.float32)
    length = "arcsec" if scale is not None else "pixel"
    plans = (
        (
            "radial_profile",
            profiles.radial_profile,
            f"radius [{length}]",
            f"flux above the sky [{unit}]",
        ),
        (
            "power_spectrum",
            profiles.power_spectrum,
            f"spatial frequency [cycles / {length}]",
            f"power [{unit}²]",
        ),
    )
    for name, profile, x_label, y_label in plans:
        if name in evaluation.generated.profiles:
            bands = [
                band(measured.profiles[name])
                for measured in (evaluation.generated, evaluation.real)
            ]
            png = bands_png(
                profile(blank, scale).centres,
                *bands,
                x_label=x_label,
                y_label=y_label,
                log=name == "power_spectrum",
            )
            yield Panel(name, with_unit(name, scale, unit), png)


def band(values: NDArray[np.float64]) -> Band:
    """Return the median and the middle 68% over images of profiles ``(N, K)``."""
    whole = values[np.isfinite(values).all(1)]
    if not len(whole):
        nothing = np.full(values.shape[1], np.nan)
        return Band(nothing, nothing, nothing)
    return Band(*np.percentile(whole, PERCENTILES, axis=0))


def pairs(neighbours: Neighbours) -> Iterator[tuple[float, bytes]]:
    """Yield the distance and the picture of each pair: the generated image above its neighbour."""
    num = min(MAX_PAIRS, len(neighbours.distances))
    both = np.stack([neighbours.generated[:num], neighbours.training[:num]], axis=1)
    if not num:
        return
    limits = percentile_limits(both)
    for distance, pair in zip(neighbours.distances, both, strict=False):
        png = grid_png(pair, num_columns=1, limits=limits, min_side=MIN_SIDE)
        yield float(distance), png


def _units(evaluation: Evaluation) -> tuple[float | None, str]:
    """Return the side of a pixel [arcsec] and the flux unit of what was measured."""
    scale = evaluation.facts.get("pixel_scale_arcsec")
    preparation = evaluation.facts.get("preparation", {})
    if preparation.get("rescale") == "peak":
        return scale, "peak"
    return scale, str(set_fact(evaluation, "reference", "flux_unit") or "flux")
