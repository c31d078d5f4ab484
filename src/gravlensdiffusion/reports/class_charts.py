"""Charts of a classifier: confusion, ROC curves, reliability."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.reports.drawing import (
    GENERATED,
    REAL,
    class_series,
    dress,
    figure_png,
    lettered,
    own_settings,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

MAX_WRITTEN = 12
"""Classes up to which every cell of a confusion matrix holds its number."""


class Roc(NamedTuple):
    """The curve of one class against all others.

    Attributes:
        name: The class.
        area: Area under the curve.
        false: False positive rates, increasing from 0 to 1, shape ``(P,)``.
        true: True positive rates, shape ``(P,)``.
    """

    name: str
    area: float
    false: Floats
    true: Floats


@own_settings()
def confusion_png(confusion: NDArray[np.int64], names: Sequence[str]) -> bytes:
    """Return a confusion matrix as a PNG file, shaded by the share within each row.

    Args:
        confusion: Images of each class (rows) by what they are called (columns), ``(K, K)``.
        names: Names of the K classes.
    """
    from matplotlib.figure import Figure

    num = len(names)
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    side = float(np.clip(2.0 + 0.75 * num, 3.4, 8.0))
    figure = Figure(figsize=(side + 0.6, side), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    shown = [lettered(name) for name in names]
    axes.set_xticks(range(num), shown, fontsize=9)
    if num > 3 or max(map(len, shown)) > 9:
        for label in axes.get_xticklabels():
            label.set(rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(num), shown, fontsize=9)
    axes.set_xlabel("called", fontsize=9)
    axes.set_ylabel("is", fontsize=9)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    # White lines between the cells.
    axes.set_xticks(np.arange(num - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(num - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=2)
    axes.tick_params(which="minor", length=0)
    for (row, column), count in np.ndenumerate(confusion) if num <= MAX_WRITTEN else ():
        share = shares[row, column]
        axes.text(
            column,
            row,
            f"{count:,}\n{share:.0%}",
            ha="center",
            va="center",
            fontsize=9,
            color="white" if share > 0.55 else "black",
        )
    return figure_png(figure)


@own_settings()
def roc_png(curves: Sequence[Roc]) -> bytes:
    """Return ROC curves as a PNG file, the line of guessing beside them."""
    figure, axes = _square(0.0, 0.01, "false positives / others", "true positives / own")
    axes.plot((0, 1), (0, 1), color="#8a8f98", linewidth=0.9, linestyle=(0, (1, 2)))
    handles = []
    for place, curve in enumerate(curves):
        series = class_series(place)
        handles += axes.plot(
            curve.false, curve.true, color=series.colour, linestyle=series.line, linewidth=1.6
        )
    names = [f"{lettered(curve.name)}  {curve.area:.3f}" for curve in curves]
    axes.legend(handles, names, fontsize=9, frameon=False, loc="lower right")
    return figure_png(figure)


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
    low = min(chance, float(intervals.min(initial=1.0)))
    margin = 0.02 * (1 - low)
    figure, axes = _square(low, margin, "probability of the class called", "share called rightly")
    axes.plot((0, 1), (0, 1), color=REAL.colour, linestyle=REAL.line, linewidth=1)
    axes.errorbar(
        confidence,
        share,
        # Rounding may put an interval's end on the wrong side of its middle.
        yerr=np.maximum(np.abs(intervals.T - share), 0),
        color=GENERATED.colour,
        marker="o",
        markersize=4.5,
        linestyle="none",
        elinewidth=1.1,
        capsize=2,
    )
    return figure_png(figure)


def _square(low: float, margin: float, x_label: str, y_label: str) -> "tuple[Figure, Axes]":
    """Return axes from ``low`` to 1 in both directions."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlim(low - margin, 1 + margin)
    axes.set_ylim(low - margin, 1 + margin)
    axes.set_aspect("equal")
    dress(axes, x_label, y_label)
    return figure, axes
