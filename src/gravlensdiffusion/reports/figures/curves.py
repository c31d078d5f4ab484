"""Curves in one pair of axes, and bands around them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.reports.figures.png import figure_png, own_settings
from gravlensdiffusion.reports.figures.series import GENERATED, REAL

Floats = NDArray[np.float64]

MAX_MARKED = 12
"""Points up to which each point of a curve gets a mark."""


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
def save_curve(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    path: str | Path,
    *,
    x_label: str,
    y_label: str,
    log_y: bool = False,
) -> Path:
    """Save curves in one pair of axes.

    Args:
        curves: The points ``(x, y)`` of each curve, by its name in the legend.
        path: The file to write; its suffix names the format.
        x_label: What the horizontal axis shows.
        y_label: What the vertical axis shows.
        log_y: Whether the vertical axis is logarithmic.

    Returns:
        The path written.
    """
    # Imported here because matplotlib takes longer to load than a grid takes to draw.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    for name, (x, y) in curves.items():
        # A curve of few points shows where they are; one of a single point is nothing else.
        marker = "o" if len(x) <= MAX_MARKED else None
        axes.plot(x, y, label=name, linewidth=1.2, marker=marker, markersize=4)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(alpha=0.3)
    if log_y:
        axes.set_yscale("log")
    if len(curves) > 1:
        axes.legend()
    path = Path(path)
    figure.savefig(path, dpi=120)
    return path


@own_settings()
def bands_png(
    x: Floats,
    generated: Band,
    real: Band,
    *,
    x_label: str,
    y_label: str,
    log: bool = False,
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
    axes.set_ylabel(y_label, fontsize=9)
    strip.set_ylabel("difference\n/ scatter", fontsize=9)
    strip.set_xlabel(x_label, fontsize=9)
    axes.legend(fontsize=9, frameon=False)
    for each in (axes, strip):
        each.tick_params(labelsize=9)
        each.grid(alpha=0.25, linewidth=0.6)
        each.spines[["right", "top"]].set_visible(False)
    return figure_png(figure)
