"""Images from PNG, JPEG and TIFF files; PNGs of `gravlens sample`, which state their stretch, come back as flux."""

import math
import struct
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from gravlensdiffusion.codec import from_json
from gravlensdiffusion.errors import BadImageError, GravLensError
from gravlensdiffusion.formats.image import Facts, image_shape
from gravlensdiffusion.sets.flux import FULL_SCALE, UNKNOWN
from gravlensdiffusion.untrusted.probe import check_unpacked, held_bytes, readable, refuse_bad

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY = 0
FORMAT_OF = {
    ".png": "PNG",
    **dict.fromkeys((".jpg", ".jpeg"), "JPEG"),
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
}
"""What Pillow calls the formats, by suffix."""
WHITE_OF_MODE = {"I;16": 65535, "I;16B": 65535, "I;16L": 65535, "I": None, "F": None}
"""What becomes 1, for pictures of more than 8 bits; None where numbers stay as they are."""
_AS_ARRAY = "np.save('images.npy', tifffile.imread('FILE')) makes a set of it"
KEYWORD = "gravlens"
"""Keyword of the PNG text in which a file states what it is."""
SOFTENING = 0.02
"""Where the asinh stretch turns from linear to logarithmic, as a fraction of the range."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PngCard:
    """What a PNG of a lens image says about itself, as far as that is known.

    Attributes:
        low: Flux shown black.
        high: Flux shown white.
        label: Number of the class, -1 where there is none.
        image: Index of the image in its set.
    """

    stretch: Literal["linear", "asinh"]
    low: float
    high: float
    flux_unit: str
    pixel_scale_arcsec: float | None = None
    class_name: str | None = None
    label: int = -1
    image: int = 0
    seed: int | None = None
    model: str = ""
    software: str = ""


class PictureReader:
    """Reads PNG, JPEG and TIFF files of one picture, grey or in colour.

    Whole numbers are divided by the white of the bit depth. A colour picture has the three channels
    red, green and blue, unless it is grey all over; transparency is refused.
    """

    def images(self, path: Path) -> Iterator[tuple[NDArray[np.generic], Facts]]:
        """Yield the image of a file."""
        # The libraries behind these are written in C, and larger than that of PNG.
        if path.suffix.lower() != ".png":
            refuse_bad(path, _read)
        card, pixels, is_scaled = _read(path)
        facts = Facts(flux_unit=FULL_SCALE if is_scaled else UNKNOWN)
        if card is not None:
            facts = Facts(
                pixel_scale_arcsec=card.pixel_scale_arcsec,
                flux_unit=card.flux_unit,
                class_name=card.class_name,
                class_number=card.label,
            )
        yield pixels, facts

    def pixels(self, path: Path, index: int) -> NDArray[np.generic]:
        """Return the image of a file."""
        return next(self.images(path))[0]


def _read(path: Path) -> tuple[PngCard | None, NDArray[np.floating], bool]:
    """Return what a picture states, its pixels, and whether they were divided by white."""
    name = FORMAT_OF[path.suffix.lower()]
    if name == "PNG":
        _check_png(path)
    with _open(path, name) as image:
        is_deep_png = name == "PNG" and image.mode == "I"  # as earlier versions of Pillow say
        white = 65535 if is_deep_png else WHITE_OF_MODE.get(image.mode, 255)
        # Text after the pixels is only there once they are read.
        card = _read_card(image.info) if name == "PNG" else None
        pixels = _channels(image, keep_colours=card is not None)
    if white is None:
        return None, pixels, False
    pixels /= white
    return card, pixels if card is None else _unstretch(pixels, card), True


def _check_png(path: Path) -> None:
    """Check what a PNG declares before Pillow sees it."""
    with path.open("rb") as stream:
        start = stream.read(26)
    if len(start) < 26 or start[:8] != _SIGNATURE or start[12:16] != b"IHDR":
        raise BadImageError("is no PNG file")
    width, height, depth, kind = struct.unpack(">IIBB", start[16:26])
    _check_size(path, (width, height), num=1)
    if depth == 16 and kind != _GREY:
        raise BadImageError("is a 16-bit PNG with colour or transparency; save it as 16-bit grey")


def _check_size(path: Path, size: tuple[int, int], num: int) -> None:
    """Refuse a declared size that is no image, or that the file cannot hold."""
    width, height = size
    image_shape((height, width))
    check_unpacked(4 * num * height * width, held_bytes(path))


@contextmanager
def _open(path: Path, name: str) -> Iterator[Image.Image]:
    # What Pillow has to remark on a damaged file is no news beside what is raised here.
    with readable(f"{name} file"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(path, formats=[name]) as image:
            _check_size(path, image.size, len(image.getbands()))
            _check_kind(image, name)
            image.load()
            yield image


def _check_kind(image: Image.Image, name: str) -> None:
    """Refuse what is more than one picture, or of which Pillow would show but a part."""
    if name == "PNG" and getattr(image, "n_frames", 1) > 1:
        raise BadImageError("is an animated PNG")
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        bits = image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (1,))
        if len(bits) > 1 and max(bits) > 8:
            raise BadImageError(f"is a TIFF file with colours of {max(bits)} bits; {_AS_ARRAY}")
        with suppress(EOFError):
            image.seek(1)
            raise BadImageError(f"is a TIFF file of several pictures; {_AS_ARRAY}")
        image.seek(0)


def _channels(image: Image.Image, *, keep_colours: bool) -> NDArray[np.float64]:
    """Return grey levels or colours, shape ``(C, H, W)``."""
    if image.mode in ("L", *WHITE_OF_MODE):
        return np.asarray(image).astype(np.float64)[None]
    if image.mode == "1":
        return np.asarray(image.convert("L")).astype(np.float64)[None]
    if image.mode not in ("RGB", "RGBA", "LA", "P", "PA"):
        raise BadImageError(f"is a picture in {image.mode}; save it in grey or RGB")
    colours = np.moveaxis(np.asarray(image.convert("RGBA")), -1, 0)
    if (colours[3] != 255).any():
        raise BadImageError("is partly transparent; save it as an opaque picture")
    is_grey = (colours[0] == colours[1]).all() and (colours[0] == colours[2]).all()
    return np.asarray(colours[:1] if is_grey and not keep_colours else colours[:3], np.float64)


def _read_card(info: Mapping[Any, Any]) -> PngCard | None:
    """Return what a PNG states in its text, or None where it states nothing sensible."""
    try:
        card = from_json(PngCard, info.get(KEYWORD, ""))
    except GravLensError:
        return None
    is_scale = card.pixel_scale_arcsec is None or card.pixel_scale_arcsec > 0
    return card if card.low < card.high and is_scale else None


def stretch(flux: NDArray[np.floating], card: PngCard) -> NDArray[np.floating]:
    """Map flux to grey in [0, 1]; what lies outside the range is clipped."""
    fraction = np.clip((flux - card.low) / (card.high - card.low), 0, 1)
    if card.stretch == "asinh":
        return np.asarray(np.arcsinh(fraction / SOFTENING) / math.asinh(1 / SOFTENING))
    return np.asarray(fraction)


def _unstretch(grey: NDArray[np.floating], card: PngCard) -> NDArray[np.floating]:
    """Map grey in [0, 1] back to flux."""
    flux = grey.copy()
    # In place: the largest image takes half a gigabyte.
    with np.errstate(over="ignore", invalid="ignore"):
        if card.stretch == "asinh":
            flux *= math.asinh(1 / SOFTENING)
            np.sinh(flux, out=flux)
            flux *= SOFTENING
        flux *= card.high - card.low
        flux += card.low
    return flux
