"""Pictures as the bytes of a PNG file, the same bytes for the same picture."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image

from gravlensdiffusion.errors import GravLensError, one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 200
"""Resolution of drawn figures [pixel / inch]."""
NUM_COLOURS = 128
"""Colours of a drawn figure; a palette takes a third of the bytes."""


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


def figure_png(figure: "Figure") -> bytes:
    """Return a drawn figure as a PNG file on white."""
    stream = BytesIO()
    figure.savefig(stream, format="png", dpi=DPI, facecolor="white")
    with Image.open(stream) as picture:
        plain = picture.convert("RGB")
    return picture_png(plain.quantize(NUM_COLOURS, dither=Image.Dither.NONE))
