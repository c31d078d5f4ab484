"""Charts: what two sets of images have in common, and confusion, ROC curves and reliability of a classifier."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from math import isfinite, sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gravlensdiffusion.reports.mosaics import picture_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Matplotlib is imported where it draws: it takes longer to load than a grid takes to draw.

Floats = NDArray[np.float64]
Dashes = str | tuple[int, tuple[float, ...]]


class _Series(NamedTuple):
    """How a set of images, or a class, is drawn."""

    colour: str  # of its lines
    line: Dashes  # of its lines, as matplotlib writes them
    fill: float = 0.0  # opacity of areas


# Vermilion and blue are told apart with every kind of colour blindness (Okabe and Ito 2008).
GENERATED = _Series("#d55e00", "-")
REAL = _Series("#0072b2", (0, (4.0, 1.6)), 0.18)
MAX_LETTERS = 18
"""Letters of a name in a figure, at most."""
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
LINES: tuple[Dashes, ...] = ("-", (0, (4.0, 1.6)), (0, (1.2, 1.2)), (0, (5.0, 1.4, 1.2, 1.4)))
"""Colours of Okabe and Ito, and dashes, that classes take in turn."""
MIN_BINS, MAX_BINS = 8, 40
MAX_WRITTEN = 12
"""Classes up to which every cell of a confusion matrix holds its number."""
SHOWN = (0.5, 99.5)
"""Percentiles of the real values that the axis of a histogram spans at least [per cent]."""


@contextmanager
def own_settings() -> Iterator[None]:
    """Draw with matplotlib as it comes, whatever the environment and the user's files say of it."""
    # Matplotlib refuses to load where this names what is not installed, as a notebook's own may.
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        from matplotlib import style
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    with style.context("default"):
        yield


@own_settings()
def bands_png(
    x: Floats, generated: Floats, real: Floats, *, x_label: str, y_label: str, log: bool = False
) -> bytes:
    """Return two bands as a PNG file, and below them how far the curves are apart.

    The difference of the curves is shown in units of half the width of the real band.

    Args:
        x: Abscissae, shape ``(K,)``.
        generated: Band of one set: its middle, lower and upper edge, shape ``(3, K)``.
        real: Band of the other, likewise.
        x_label: What the horizontal axis shows.
        y_label: What the vertical axis shows.
        log: Whether both axes are logarithmic.
    """
    from matplotlib.ticker import LogLocator, NullFormatter

    figure = _figure((4.4, 3.5), layout="constrained")
    axes, strip = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    middle, low, high = real
    axes.fill_between(x, low, high, color=REAL.colour, alpha=REAL.fill, linewidth=0)
    for edge in generated[1:]:
        axes.plot(x, edge, color=GENERATED.colour, linewidth=0.8)
    for name, curve, series in (("real", middle, REAL), ("generated", generated[0], GENERATED)):
        axes.plot(x, curve, color=series.colour, linestyle=series.line, linewidth=1.6, label=name)
    half = (high - low) / 2
    apart = (generated[0] - middle) / np.where(half > 0, half, np.nan)
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
    _dress(axes, "", y_label)
    _dress(strip, x_label, "difference\n/ scatter")
    return _figure_png(figure)


@own_settings()
def histogram_png(generated: Floats, real: Floats) -> bytes:
    """Return two step histograms of equal area as a PNG file.

    Args:
        generated: Values of one set, shape ``(N,)``; those that are not finite are left out.
        real: Values of the other, shape ``(M,)``, likewise; one of the sets has a value.
    """
    from matplotlib.ticker import MaxNLocator

    edges, *shares = _histograms(generated, real)
    # Places are fixed, so that histograms beside each other stand on one line.
    figure = _figure((2.4, 1.6))
    axes = figure.add_axes((0.08, 0.22, 0.84, 0.74))
    for heights, series in zip(reversed(shares), (REAL, GENERATED), strict=True):
        if not heights.any():
            continue
        if series.fill:
            axes.stairs(heights, edges, fill=True, color=series.colour, alpha=series.fill)
        axes.stairs(
            heights, edges, color=series.colour, linestyle=series.line, linewidth=1.3, baseline=None
        )
    axes.set(xlim=(edges[0], edges[-1]), ylim=(0, None), yticks=[])
    axes.xaxis.set_major_locator(MaxNLocator(4, min_n_ticks=2))
    axes.tick_params(labelsize=9, length=2.5)
    axes.ticklabel_format(axis="x", scilimits=(-2, 4), useMathText=True)
    axes.xaxis.get_offset_text().set_fontsize(8)
    axes.spines[["left", "right", "top"]].set_visible(False)
    return _figure_png(figure)


def _histograms(generated: Floats, real: Floats) -> tuple[Floats, Floats, Floats]:
    """Return common edges of bins, as fine as the smaller set allows, and the shares of both sets.

    The outer bins hold what lies beyond them; a set without values that are finite has no shares.
    """
    sets = [values[np.isfinite(values)] for values in (generated, real)]
    filled = [values for values in sets if len(values)]
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
    edges = np.linspace(low, high, num + 1)
    one, two = (
        np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] / max(len(values), 1)
        for values in sets
    )
    return edges, one, two


@own_settings()
def confusion_png(confusion: NDArray[np.int64], names: Sequence[str]) -> bytes:
    """Return a confusion matrix as a PNG file, shaded by the share within each row.

    Args:
        confusion: Images of each class (rows) by what they are called (columns), ``(K, K)``.
        names: Names of the K classes.
    """
    num = len(names)
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    side = float(np.clip(2.0 + 0.75 * num, 3.4, 8.0))
    figure = _figure((side + 0.6, side), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    shown = [_lettered(name) for name in names]
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
        color, text = "white" if share > 0.55 else "black", f"{count:,}\n{share:.0%}"
        axes.text(column, row, text, ha="center", va="center", fontsize=9, color=color)
    return _figure_png(figure)


@own_settings()
def roc_png(
    names: Sequence[str], areas: Iterable[float], curves: Sequence[tuple[Floats, Floats]]
) -> bytes:
    """Return ROC curves as a PNG file, the line of guessing beside them.

    Args:
        names: The class of each curve.
        areas: The area under each.
        curves: False positive rates, increasing from 0 to 1, and true positive rates of each.
    """
    figure, axes = _square(0.0, 0.01, "false positives / others", "true positives / own")
    axes.plot((0, 1), (0, 1), color="#8a8f98", linewidth=0.9, linestyle=(0, (1, 2)))
    handles = []
    for place, curve in enumerate(curves):
        series = _class_series(place)
        handles += axes.plot(*curve, color=series.colour, linestyle=series.line, linewidth=1.6)
    shown = [f"{_lettered(name)}  {area:.3f}" for name, area in zip(names, areas, strict=True)]
    axes.legend(handles, shown, fontsize=9, frameon=False, loc="lower right")
    return _figure_png(figure)


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
    reach, color = np.abs(intervals.T - share), GENERATED.colour
    axes.errorbar(
        confidence, share, reach, fmt="o", color=color, markersize=4.5, elinewidth=1.1, capsize=2
    )
    return _figure_png(figure)


def _figure(size: tuple[float, float], **how: Any) -> "Figure":
    """Return a figure, of a width and a height [inch]."""
    from matplotlib.figure import Figure

    return Figure(figsize=size, **how)


def _square(low: float, margin: float, x_label: str, y_label: str) -> "tuple[Figure, Axes]":
    """Return axes from ``low`` to 1 in both directions."""
    figure = _figure((4.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    limits = (low - margin, 1 + margin)
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    _dress(axes, x_label, y_label)
    return figure, axes


def _class_series(place: int) -> _Series:
    """Return how a class is drawn, by its place among the classes."""
    # The dashes change with each class, too, and the two numbers of styles share no factor of four.
    return _Series(COLOURS[place % len(COLOURS)], LINES[(place + place // 12) % len(LINES)])


def _dress(axes: "Axes", x_label: str, y_label: str) -> None:
    """Give axes their labels, and the look of all charts."""
    axes.set_xlabel(x_label, fontsize=9)
    axes.set_ylabel(y_label, fontsize=9)
    axes.tick_params(labelsize=9)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["right", "top"]].set_visible(False)


def _figure_png(figure: "Figure") -> bytes:
    """Return a drawn figure as a PNG file on white."""
    stream = BytesIO()
    figure.savefig(stream, format="png", dpi=200, facecolor="white")
    with Image.open(stream) as picture:
        plain = picture.convert("RGB")
    # A palette takes a third of the bytes.
    return picture_png(plain.quantize(128, dither=Image.Dither.NONE))


def _lettered(name: str) -> str:
    """Return a name that matplotlib draws as it is: short, in one line, of letters that it has."""
    from matplotlib.font_manager import findfont, get_font

    drawable = get_font(findfont("DejaVu Sans")).get_charmap()
    text = "".join(c if ord(c) in drawable else "?" for c in " ".join(name.split()))
    if len(text) > MAX_LETTERS:
        text = f"{text[: MAX_LETTERS - 1]}…"
    # What stands between dollar signs would be set as mathematics.
    text = text.replace("$", r"\$")
    # A label that begins with an underscore would be left out of a legend.
    return f"\N{HAIR SPACE}{text}" if text.startswith("_") else text
