"""The sections of a report that hold pictures."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.evaluation.compare import Row
from gravlensdiffusion.evaluation.result import Evaluation
from gravlensdiffusion.evaluation.statistics import MEASURED
from gravlensdiffusion.metrics.physics import power_spectrum, radial_profile
from gravlensdiffusion.reports.charts import bands_png, histogram_png
from gravlensdiffusion.reports.document import Beside, Figure, Guess, Section
from gravlensdiffusion.reports.mosaics import percentile_limits
from gravlensdiffusion.reports.numbers import number, percentage, typeset

MAX_TILES = 36
"""Images that a grid shows at most."""
GRID_PIXELS = 700_000
"""Pixels of a grid at most; large images are shown in smaller number."""
NUM_GUESSED = 8
"""Images of each set whose kind can be guessed, at most."""
PERCENTILES = (50.0, 16.0, 84.0)
"""Middle and edges of a band [per cent]."""
PROFILES: dict[str, tuple[Callable[..., Any], str, str]] = {
    "radial_profile": (radial_profile, "radius [{length}]", "flux above the sky [{flux}]"),
    "power_spectrum": (power_spectrum, "spatial frequency [cycles / {length}]", "power [{flux}²]"),
}
"""How each profile is measured, and what its axes show."""


def sections(evaluation: Evaluation) -> tuple[Section, ...]:
    """Return the sections: images to guess, images, distributions, profiles and neighbours."""
    draw = (_guess, _images, _distributions, _profiles, _neighbours)
    return tuple(each(evaluation) for each in draw)


def _images(evaluation: Evaluation) -> Section:
    """Return generated images and those of the reference, side by side on one grey scale."""
    both = (evaluation.generated_images, evaluation.real_images)
    figures = []
    if min(map(len, both)):
        size = both[0].shape[-1]
        most = min(max(9, min(MAX_TILES, GRID_PIXELS // size**2)), max(map(len, both)))
        limits = percentile_limits(np.concatenate([each[:most] for each in both]))
        how: dict[str, Any] = {"num_columns": int(np.ceil(np.sqrt(most))), "limits": limits}
        for name, each in zip(("generated images", evaluation.noun), both, strict=True):
            heading, alt = name.capitalize(), f"Grid of {name}"
            figures.append(Figure.photo(each[:most], alt, heading=heading, **how))
    text = "Not chosen by eye. All images share one grey scale, with a square-root stretch."
    return Section("images", "Images", text, [Beside(blocks=figures)])


def guess(kinds: Mapping[str, NDArray[np.float32]], seed: int = 0) -> Section:
    """Return images of several kinds in random order, whose kind is told after a guess.

    Args:
        kinds: Images by their kind, grey from 0 to 1, shape ``(N, H, H)``.
        seed: Seed of the order.
    """
    named = [(image, name) for name, images in kinds.items() for image in images]
    figures: list[tuple[Figure, str]] = []
    for k in np.random.default_rng(seed).permutation(len(named)):
        image, name = named[k]
        alt = f"Image {len(figures) + 1}, of a kind to guess"
        figures.append((Figure.photo(image[None], alt, stretch="linear", limits=(0.0, 1.0)), name))
    text = "Which is which? Guess, and see the answer; below is your score."
    return Section("guess", "Guess", text, [Guess(kinds=tuple(kinds), figures=figures)])


def _guess(evaluation: Evaluation) -> Section:
    """Return some generated images and some of the reference, to guess."""
    both = (evaluation.generated_images[-NUM_GUESSED:], evaluation.real_images[-NUM_GUESSED:])
    if not min(map(len, both)):
        return guess({})
    low, high = percentile_limits(np.concatenate(both))
    greys = [np.sqrt(np.clip((each - low) / (high - low), 0, 1)) for each in both]
    return guess(dict(zip(("generated", evaluation.noun), greys, strict=True)))


def _distributions(evaluation: Evaluation) -> Section:
    """Return the distribution of each statistic of lens physics that has values."""
    rows = {row.name: row for row in evaluation.rows}
    figures = []
    for name, real in evaluation.real.physics.items():
        generated = evaluation.generated.physics[name]
        if np.isfinite(generated).any() or np.isfinite(real).any():
            title, details = MEASURED[name].with_unit(*evaluation.units), _details(rows.get(name))
            alt = f"Histograms of {title}, generated and real. {details}".strip()
            png = histogram_png(generated, real)
            figures.append(Figure(png=png, alt=alt, heading=title, caption=details))
    text = "Share of the images per bin. The outermost bins hold all that lies beyond them."
    block = Beside(blocks=figures, layout="small", has_key=True)
    return Section("distributions", "Distributions", text, [block])


def _profiles(evaluation: Evaluation) -> Section:
    """Return the radial profile and the power spectrum."""
    rows = {row.name: row for row in evaluation.rows}
    scale, flux = evaluation.units
    length = "arcsec" if scale is not None else "pixel"
    size = evaluation.generated_images.shape[-1]
    blank = np.zeros((1, size, size), dtype=np.float32)
    figures = []
    for name, (profile, x_label, y_label) in PROFILES.items():
        bands = [_band(each.profiles[name]) for each in (evaluation.generated, evaluation.real)]
        png = bands_png(
            profile(blank, scale).centres,
            *bands,
            x_label=x_label.format(length=length),
            y_label=y_label.format(flux=flux),
            log=name == "power_spectrum",
        )
        title, details = MEASURED[name].title, _details(rows.get(name))
        alt = f"{title} of generated and real images. {details}".strip()
        figures.append(Figure(png=png, alt=alt, heading=title.capitalize(), caption=details))
    text = (
        "Median over the images, and the band that holds the middle 68% of them. Below: generated "
        "less real median, in units of half the width of the real band."
    )
    return Section("profiles", "Profile and power", text, [Beside(blocks=figures)])


def _band(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median and the middle 68% over images of profiles ``(N, K)``, shape ``(3, K)``."""
    whole = values[np.isfinite(values).all(1)]
    if not len(whole):
        return np.full((3, values.shape[1]), np.nan)
    return np.asarray(np.percentile(whole, PERCENTILES, axis=0))


def _neighbours(evaluation: Evaluation) -> Section:
    """Return the generated images closest to training images, each above its neighbour."""
    blocks = []
    for near in evaluation.neighbours:
        both = np.stack([near.generated, near.training], axis=1)
        limits = percentile_limits(both)
        figures = []
        for k, pair in enumerate(both):
            text = number(float(near.distances[k]))
            alt = f"Pair {k + 1}: generated image above its nearest training image, distance {text}"
            how: dict[str, Any] = {"num_columns": 1, "limits": limits}
            figures.append(Figure.photo(pair, alt, caption=typeset(text), **how))
        blocks.append(Beside(blocks=figures, layout="pairs", title=f"Nearest in {near.space}"))
    text = (
        "The generated images that come closest to a training image, each above that image, with "
        "their distance; the closest of all first. A copy would look the same, noise included."
    )
    return Section("neighbours", "Nearest training images", text, blocks)


def _details(row: Row | None) -> str:
    """Return the numbers of a row that belong beside its picture."""
    if row is None or row.ratio is None:
        return ""
    mark = "\N{BLACK UP-POINTING TRIANGLE} " if row.stands_out else ""
    shift = "" if row.shift is None else f", mean {percentage(row.shift)}"
    return typeset(f"{mark}{number(row.ratio)} \N{MULTIPLICATION SIGN} floor{shift}")
