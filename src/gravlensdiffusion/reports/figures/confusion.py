"""What each class is taken for."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.reports.figures.lettering import lettered
from gravlensdiffusion.reports.figures.png import figure_png, own_settings

MAX_WRITTEN = 12
"""Classes up to which every cell holds its number."""


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
    slanted = num > 3 or max(map(len, shown)) > 9
    axes.set_xticks(range(num), shown, fontsize=9)
    if slanted:
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
    if num <= MAX_WRITTEN:
        for (row, column), count in np.ndenumerate(confusion):
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
