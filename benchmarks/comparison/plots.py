"""The plots of a comparison."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from comparison.report import curves, settings_of

COLOURS = {
    "reference": "#0072b2",
    "diffusers": "#009e73",
    "ddpm-pytorch": "#cc79a7",
    "ours": "#d55e00",
}
"""Colours of the arms, told apart with every kind of colour blindness (Okabe and Ito 2008)."""
OTHER = "#e69f00"
"""Colour of what was trained elsewhere."""
MARKERS = {"reference": "s", "diffusers": "^", "ddpm-pytorch": "v", "ours": "o"}
"""Marks of the arms."""

Points = Sequence[tuple[float, float]]


def draw_quality(report: dict[str, Any], path: Path) -> None:
    """Draw distance over floor against time per image, at both numbers of images."""
    figure, panels = new_figure(2)
    numbers = [report["numbers"][name] for name in ("num_slow", "num")]
    for axes, num in zip(panels, numbers, strict=True):
        floor = report["floors"][str(num)]["mean"]
        by_arm: dict[str, list[tuple[float, float]]] = {}
        for each in settings_of(report):
            if num in each.distances and "@" not in each.arm:
                point = (each.s_per_image, each.distances[num] / floor)
                by_arm.setdefault(each.arm, []).append(point)
        for arm, points in by_arm.items():
            draw_points(axes, arm, points)
        axes.set_xlabel("time per image [s]")
        axes.set_title(f"{num} images", fontsize=9)
    finish(figure, panels, path)


def draw_curves(report: dict[str, Any], path: Path) -> None:
    """Draw distance over floor against training time."""
    num = report["numbers"]["num_curve"]
    floor = report["floors"][str(num)]["mean"]
    figure, panels = new_figure(1)
    for arm, points in curves(report).items():
        scaled = [(seconds / 60, distance / floor) for seconds, distance in points]
        draw_points(panels[0], arm, scaled)
    panels[0].set_xlabel("training time [min]")
    panels[0].set_title(f"{num} images", fontsize=9)
    finish(figure, panels, path)


def new_figure(num_panels: int) -> tuple[Any, Sequence[Any]]:
    """Return an empty figure and the axes of its panels."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.0 + 3.6 * num_panels, 4.0), layout="constrained")
    return figure, figure.subplots(1, num_panels, squeeze=False)[0]


def draw_points(axes: Any, arm: str, points: Points) -> None:
    """Draw the points of one arm, joined in the order of their abscissae."""
    x, y = zip(*sorted(points), strict=True)
    marker, colour = MARKERS.get(arm, "D"), COLOURS.get(arm, OTHER)
    if "@" in arm:
        marker, colour = "*", COLOURS["ours"]
    axes.plot(x, y, label=arm, color=colour, linewidth=1.2, marker=marker, markersize=5)


def finish(figure: Any, panels: Sequence[Any], path: Path) -> None:
    """Set all axes logarithmic, add floor and legend, save."""
    for axes in panels:
        axes.axhline(1, color="#555555", linewidth=1, linestyle="--", label="real against real")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("lens Fréchet distance / floor")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=8, frameon=False)
    figure.savefig(path, dpi=120)
