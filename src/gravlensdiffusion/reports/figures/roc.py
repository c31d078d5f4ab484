"""ROC curves."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.reports.figures.lettering import lettered
from gravlensdiffusion.reports.figures.png import figure_png, own_settings
from gravlensdiffusion.reports.figures.series import class_series

Floats = NDArray[np.float64]


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
def roc_png(curves: Sequence[Roc]) -> bytes:
    """Return ROC curves as a PNG file, the line of guessing beside them."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    axes.plot((0, 1), (0, 1), color="#8a8f98", linewidth=0.9, linestyle=(0, (1, 2)))
    handles = []
    for place, curve in enumerate(curves):
        series = class_series(place)
        handles += axes.plot(
            curve.false, curve.true, color=series.colour, linestyle=series.line, linewidth=1.6
        )
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    axes.set_aspect("equal")
    axes.set_xlabel("false positives / others", fontsize=9)
    axes.set_ylabel("true positives / own", fontsize=9)
    axes.tick_params(labelsize=9)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["right", "top"]].set_visible(False)
    names = [f"{lettered(curve.name)}  {curve.area:.3f}" for curve in curves]
    axes.legend(handles, names, fontsize=9, frameon=False, loc="lower right")
    return figure_png(figure)
