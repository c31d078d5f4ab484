"""Curves in one pair of axes, as the benchmarks draw them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from gravlensdiffusion.reports.charts import own_settings

MAX_MARKED = 12
"""Points up to which each point of a curve gets a mark."""


@own_settings()
def save_curve(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    path: Path,
    *,
    x_label: str,
    y_label: str,
    log_y: bool = False,
) -> None:
    """Save curves in one pair of axes.

    Args:
        curves: The points ``(x, y)`` of each curve, by its name in the legend.
        path: The file to write; its suffix names the format.
        x_label: What the horizontal axis shows.
        y_label: What the vertical axis shows.
        log_y: Whether the vertical axis is logarithmic.
    """
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
    figure.savefig(path, dpi=120)
