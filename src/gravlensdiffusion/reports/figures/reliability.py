"""Confidence beside what became of it."""

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.reports.figures.png import figure_png, own_settings
from gravlensdiffusion.reports.figures.series import GENERATED, REAL

Floats = NDArray[np.float64]


@own_settings()
def reliability_png(
    confidence: Floats, share: Floats, intervals: Floats, *, chance: float = 0.0
) -> bytes:
    """Return a reliability diagram as a PNG file.

    Args:
        confidence: Mean probability of each bin, shape ``(B,)``.
        share: Share of the images of each bin that were called rightly, shape ``(B,)``.
        intervals: Interval of that share, shape ``(B, 2)``.
        chance: The least confidence that there can be, where the axes begin.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    low = min(chance, float(intervals.min(initial=1.0)))
    axes.plot((0, 1), (0, 1), color=REAL.colour, linestyle=REAL.line, linewidth=1)
    # Rounding may put an interval's end on the wrong side of its middle.
    reach = np.maximum(np.abs(intervals.T - share), 0)
    axes.errorbar(
        confidence,
        share,
        yerr=reach,
        color=GENERATED.colour,
        marker="o",
        markersize=4.5,
        linestyle="none",
        elinewidth=1.1,
        capsize=2,
    )
    margin = 0.02 * (1 - low)
    axes.set_xlim(low - margin, 1 + margin)
    axes.set_ylim(low - margin, 1 + margin)
    axes.set_aspect("equal")
    axes.set_xlabel("probability of the class called", fontsize=9)
    axes.set_ylabel("share called rightly", fontsize=9)
    axes.tick_params(labelsize=9)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["right", "top"]].set_visible(False)
    return figure_png(figure)
