"""The distribution of one number in two sets."""

from math import isfinite, sqrt

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.reports.figures.png import figure_png, own_settings
from gravlensdiffusion.reports.figures.series import GENERATED, REAL

MIN_BINS, MAX_BINS = 8, 40
SHOWN = (0.5, 99.5)
"""Percentiles of the real values that the axis spans at least [per cent]."""

Floats = NDArray[np.float64]


@own_settings()
def histogram_png(generated: Floats, real: Floats, *, x_label: str = "") -> bytes:
    """Return two step histograms of equal area as a PNG file.

    Args:
        generated: Values of one set, shape ``(N,)``; those that are not finite are left out.
        real: Values of the other, shape ``(M,)``, likewise.
        x_label: What the horizontal axis shows.

    Raises:
        ValueError: If neither set has a value.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    sets = [values[np.isfinite(values)] for values in (generated, real)]
    edges = bin_edges(*sets)
    # Places are fixed, so that histograms beside each other stand on one line.
    figure = Figure(figsize=(2.4, 1.6))
    bottom = 0.32 if x_label else 0.22
    axes = figure.add_axes((0.08, bottom, 0.84, 0.96 - bottom))
    for values, series in zip(reversed(sets), (REAL, GENERATED), strict=True):
        if not len(values):
            continue
        heights = clipped_histogram(values, edges)
        if series.fill:
            axes.stairs(heights, edges, fill=True, color=series.colour, alpha=series.fill)
        axes.stairs(
            heights, edges, color=series.colour, linestyle=series.line, linewidth=1.3, baseline=None
        )
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(bottom=0)
    axes.set_yticks([])
    axes.xaxis.set_major_locator(MaxNLocator(4, min_n_ticks=2))
    axes.tick_params(labelsize=9, length=2.5)
    axes.ticklabel_format(axis="x", scilimits=(-2, 4), useMathText=True)
    axes.xaxis.get_offset_text().set_fontsize(8)
    axes.set_xlabel(x_label, fontsize=9)
    axes.spines[["left", "right", "top"]].set_visible(False)
    return figure_png(figure)


def bin_edges(generated: Floats, real: Floats) -> Floats:
    """Return common edges of bins, as fine as the smaller set allows.

    Raises:
        ValueError: If neither set has a value.
    """
    filled = [values for values in (generated, real) if len(values)]
    if not filled:
        raise ValueError("no values to show")
    limits = [np.percentile(values, SHOWN) for values in filled]
    # A few wild values of the generated set must not squeeze everything else into one bin.
    low, high = limits[-1]
    span = float(high - low)
    low = max(min(low, limits[0][0]), low - span) if span > 0 else min(low, limits[0][0])
    high = min(max(high, limits[0][1]), high + span) if span > 0 else max(high, limits[0][1])
    if not isfinite(high - low) or high - low <= 1e-12 * max(abs(low), abs(high)):
        middle = float(low)
        reach = abs(middle) / 10 or 1.0
        low, high = middle - reach, middle + reach
    num = int(np.clip(sqrt(min(len(values) for values in filled)), MIN_BINS, MAX_BINS))
    return np.linspace(low, high, num + 1)


def clipped_histogram(values: Floats, edges: Floats) -> Floats:
    """Return the share of the values in each bin; the outer bins hold what lies beyond them."""
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return counts / len(values)
