"""Charts of what two sets of images have in common."""

from math import isfinite, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.reports.drawing import GENERATED, REAL, dress, figure_png, own_settings

# Matplotlib is imported where it draws: it takes longer to load than a grid takes to draw.

Floats = NDArray[np.float64]

MIN_BINS, MAX_BINS = 8, 40
SHOWN = (0.5, 99.5)
"""Percentiles of the real values that the axis of a histogram spans at least [per cent]."""


class Band(NamedTuple):
    """A curve and what surrounds it, shape ``(K,)`` each.

    Attributes:
        middle: The curve.
        low: Lower edge.
        high: Upper edge.
    """

    middle: Floats
    low: Floats
    high: Floats


@own_settings()
def bands_png(
    x: Floats, generated: Band, real: Band, *, x_label: str, y_label: str, log: bool = False
) -> bytes:
    """Return two bands as a PNG file, and below them how far the curves are apart.

    The difference of the curves is shown in units of half the width of the real band.

    Args:
        x: Abscissae, shape ``(K,)``.
        generated: Band of one set.
        real: Band of the other.
        x_label: What the horizontal axis shows.
        y_label: What the vertical axis shows.
        log: Whether both axes are logarithmic.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    figure = Figure(figsize=(4.4, 3.5), layout="constrained")
    axes, strip = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    axes.fill_between(x, real.low, real.high, color=REAL.colour, alpha=REAL.fill, linewidth=0)
    for edge in (generated.low, generated.high):
        axes.plot(x, edge, color=GENERATED.colour, linewidth=0.8)
    for name, band, series in (("real", real, REAL), ("generated", generated, GENERATED)):
        axes.plot(
            x, band.middle, color=series.colour, linestyle=series.line, linewidth=1.6, label=name
        )
    half = (real.high - real.low) / 2
    apart = (generated.middle - real.middle) / np.where(half > 0, half, np.nan)
    strip.axhline(0, color=REAL.colour, linestyle=REAL.line, linewidth=1)
    strip.plot(x, apart, color=GENERATED.colour, linewidth=1.3)
    reach = max(1.0, 1.1 * float(np.nanmax(np.abs(apart), initial=0.0)))
    strip.set_ylim(-reach, reach)
    if log:
        axes.set_xscale("log")
        # Less than two decades are shown: a power of ten alone would say little.
        strip.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        strip.xaxis.set_major_formatter("{x:g}")
        strip.xaxis.set_minor_formatter(NullFormatter())
        axes.set_yscale("log", nonpositive="mask")
    axes.legend(fontsize=9, frameon=False)
    dress(axes, "", y_label)
    dress(strip, x_label, "difference\n/ scatter")
    return figure_png(figure)


@own_settings()
def histogram_png(generated: Floats, real: Floats) -> bytes:
    """Return two step histograms of equal area as a PNG file.

    Args:
        generated: Values of one set, shape ``(N,)``; those that are not finite are left out.
        real: Values of the other, shape ``(M,)``, likewise.

    Raises:
        ValueError: If neither set has a value.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    sets = [values[np.isfinite(values)] for values in (generated, real)]
    edges = bin_edges(*sets)
    # Places are fixed, so that histograms beside each other stand on one line.
    figure = Figure(figsize=(2.4, 1.6))
    axes = figure.add_axes((0.08, 0.22, 0.84, 0.74))
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
