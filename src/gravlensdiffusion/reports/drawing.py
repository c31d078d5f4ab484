"""What pictures share: how two sets are drawn, PNG files, and what a failed one costs."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import NamedTuple

from PIL import Image

from gravlensdiffusion.errors import GravLensError, one_line

Line = str | tuple[int, tuple[float, ...]]


class Series(NamedTuple):
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
GENERATED = Series("#d55e00", "-")
REAL = Series("#0072b2", (0, (4.0, 1.6)), 0.18)


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


def picture_png(picture: Image.Image) -> bytes:
    """Return a picture as a PNG file."""
    stream = BytesIO()
    picture.save(stream, format="PNG", optimize=True)
    return stream.getvalue()
