"""Pictures as the bytes of a PNG file, the same bytes for the same picture."""

from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 200
"""Resolution of drawn figures [pixel / inch]."""
NUM_COLOURS = 128
"""Colours of a drawn figure; a palette takes a third of the bytes."""


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
