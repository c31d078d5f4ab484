"""What all pictures share: PNG files of the same bytes, styles that are told apart, letters."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image

from gravlensdiffusion.errors import GravLensError, one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 200
"""Resolution of drawn figures [pixel / inch]."""
NUM_COLOURS = 128
"""Colours of a drawn figure; a palette takes a third of the bytes."""
MAX_LETTERS = 18
"""Letters of a name in a figure, at most."""

Line = str | tuple[int, tuple[float, ...]]


class _Series(NamedTuple):
    """How a set of images, or a class, is drawn.

    Attributes:
        colour: Of its lines.
        line: Dashes of its lines, as matplotlib writes them.
        fill: Opacity of areas.
    """

    colour: str
    line: Line
    fill: float = 0.0


# Vermilion and blue are told apart with every kind of colour blindness (Okabe and Ito 2008).
GENERATED = _Series("#d55e00", "-")
REAL = _Series("#0072b2", (0, (4.0, 1.6)), 0.18)

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
LINES: tuple[Line, ...] = ("-", (0, (4.0, 1.6)), (0, (1.2, 1.2)), (0, (5.0, 1.4, 1.2, 1.4)))
"""Colours of Okabe and Ito, and dashes, that classes take in turn."""


def class_series(place: int) -> _Series:
    """Return how a class is drawn, by its place among the classes."""
    # The dashes change with each class, too, and the two numbers of styles share no factor of four.
    return _Series(COLOURS[place % len(COLOURS)], LINES[(place + place // 12) % len(LINES)])


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


@contextmanager
def spared(what: str, tell: Callable[[str], object]) -> Iterator[None]:
    """Let a picture that cannot be drawn cost itself alone, and a line.

    What a disk or a user has done wrong is no matter of the picture, and goes on.

    Args:
        what: What is drawn.
        tell: Takes the line.
    """
    try:
        yield
    except (GravLensError, OSError):
        raise
    except Exception as error:  # noqa: BLE001  whatever a drawing library may raise
        tell(one_line(f"{what} was not drawn: {type(error).__name__}: {error}"))


def dress(axes: "Axes", x_label: str, y_label: str) -> None:
    """Give axes their labels, and the look of all charts."""
    axes.set_xlabel(x_label, fontsize=9)
    axes.set_ylabel(y_label, fontsize=9)
    axes.tick_params(labelsize=9)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["right", "top"]].set_visible(False)


def picture_png(picture: Image.Image) -> bytes:
    """Return a picture as a PNG file."""
    stream = BytesIO()
    picture.save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def figure_png(figure: "Figure") -> bytes:
    """Return a drawn figure as a PNG file on white."""
    stream = BytesIO()
    figure.savefig(stream, format="png", dpi=DPI, facecolor="white")
    with Image.open(stream) as picture:
        plain = picture.convert("RGB")
    return picture_png(plain.quantize(NUM_COLOURS, dither=Image.Dither.NONE))


def lettered(name: str) -> str:
    """Return a name that matplotlib draws as it is: short, in one line, of letters that it has."""
    drawable = _drawable()
    text = "".join(c if ord(c) in drawable else "?" for c in " ".join(name.split()))
    if len(text) > MAX_LETTERS:
        text = f"{text[: MAX_LETTERS - 1]}…"
    # What stands between dollar signs would be set as mathematics.
    text = text.replace("$", r"\$")
    # A label that begins with an underscore would be left out of a legend.
    return f"\N{HAIR SPACE}{text}" if text.startswith("_") else text


@cache
def _drawable() -> frozenset[int]:
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont("DejaVu Sans")).get_charmap())
