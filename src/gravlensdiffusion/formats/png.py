"""Images from grey PNG files; those of `gravlens sample`, which state their stretch, come back as flux."""

import json
import math
import struct
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gravlensdiffusion.errors import BadImageError
from gravlensdiffusion.formats.image import Facts, image_shape
from gravlensdiffusion.sets.flux import FULL_SCALE
from gravlensdiffusion.untrusted import check_unpacked, held_bytes

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY = 0
KEYWORD = "gravlens"
"""Keyword of the PNG text in which a file states what it is."""
STRETCHES = ("linear", "asinh")
SOFTENING = 0.02
"""Where the asinh stretch turns from linear to logarithmic, as a fraction of the range."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PngCard:
    """What a PNG of a lens image says about itself.

    Attributes:
        stretch: ``linear`` or ``asinh``.
        low: Flux shown black.
        high: Flux shown white.
        flux_unit: Unit of the flux.
        pixel_scale_arcsec: Side of a pixel [arcsec], or None.
        class_name: Class of the image, or None.
        label: Label of the image, -1 where there is none.
        image: Index of the image in its set.
        seed: Seed of the set, or None.
        model: Name of the model.
        software: Name and version of the program.
    """

    stretch: str
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

    def to_text(self) -> str:
        """Return the text that goes into the file."""
        return json.dumps(asdict(self))


class PngReader:
    """Reads grey PNG files of up to 16 bits.

    Values are divided by the white of the bit depth. A colour file is read only if it is grey all
    over and opaque, that is, if nothing is lost; that of a set of three channels, which says what
    it is, as these.
    """

    def images(self, path: Path) -> Iterator[tuple[NDArray[np.generic], Facts]]:
        """Yield the image of a file."""
        card, pixels = _read(path)
        if card is None:
            yield pixels, Facts(flux_unit=FULL_SCALE)
            return
        facts = Facts(
            pixel_scale_arcsec=card.pixel_scale_arcsec,
            flux_unit=card.flux_unit,
            class_name=card.class_name,
            class_number=card.label,
        )
        yield pixels, facts

    def pixels(self, path: Path, index: int) -> NDArray[np.generic]:
        """Return the image of a file."""
        return _read(path)[1]


def _read(path: Path) -> tuple[PngCard | None, NDArray[np.floating]]:
    depth = _check_header(path)
    with _open(path) as image:
        # Text after the pixels is only there once they are read.
        card = read_card(image.info)
        if card is not None and image.mode == "RGB":
            pixels = np.moveaxis(np.asarray(image).astype(np.float64), -1, 0)
        else:
            pixels = _grey(image)[None]
        pixels /= 65535 if depth == 16 else 255
    return card, pixels if card is None else unstretch(pixels, card)


def _check_header(path: Path) -> int:
    """Check the declared size before anything is unpacked, and return the bit depth."""
    with path.open("rb") as stream:
        start = stream.read(26)
    if len(start) < 26 or start[:8] != _SIGNATURE or start[12:16] != b"IHDR":
        raise BadImageError("is no PNG file")
    width, height, depth, kind = struct.unpack(">IIBB", start[16:26])
    image_shape((height, width))
    check_unpacked(4 * height * width, held_bytes(path))
    if depth == 16 and kind != _GREY:
        raise BadImageError("is a 16-bit PNG with colour or transparency; save it as 16-bit grey")
    return int(depth)


@contextmanager
def _open(path: Path) -> Iterator[Image.Image]:
    try:
        # What Pillow has to remark on a damaged file is no news beside what is raised here.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(path, formats=["PNG"])
        with image:
            if getattr(image, "n_frames", 1) > 1:
                raise BadImageError("is an animated PNG")
            image.load()
            yield image
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError) as error:
        raise BadImageError(f"is a damaged PNG file ({error!s:.100})") from error


def _grey(image: Image.Image) -> NDArray[np.float64]:
    """Return grey levels, shape ``(H, W)``."""
    if image.mode in ("L", "I;16", "I;16B", "I"):
        return np.asarray(image).astype(np.float64)
    if image.mode == "1":
        return np.asarray(image.convert("L")).astype(np.float64)
    colours = np.asarray(image.convert("RGBA"))
    red, green, blue, alpha = np.moveaxis(colours, -1, 0)
    if (red != green).any() or (red != blue).any():
        raise BadImageError("is a colour PNG; save one channel as a grey image")
    if (alpha != 255).any():
        raise BadImageError("is partly transparent; save it as an opaque grey image")
    return np.asarray(red, np.float64)


def read_card(info: Mapping[Any, Any]) -> PngCard | None:
    """Return what a PNG states in its text, or None where it states nothing sensible."""
    text = info.get(KEYWORD)
    if not isinstance(text, str):
        return None
    try:
        card = PngCard(**json.loads(text))
        is_range = math.isfinite(card.low) and math.isfinite(card.high) and card.low < card.high
    # A number of a thousand digits is no float.
    except (ValueError, TypeError, RecursionError, OverflowError):
        return None
    scale = card.pixel_scale_arcsec
    is_scale = scale is None or (isinstance(scale, float) and math.isfinite(scale) and scale > 0)
    is_text = isinstance(card.flux_unit, str) and isinstance(card.class_name, str | None)
    is_good = is_range and is_scale and is_text and isinstance(card.label, int)
    return card if is_good and card.stretch in STRETCHES else None


def stretch(flux: NDArray[np.floating], card: PngCard) -> NDArray[np.floating]:
    """Map flux to grey in [0, 1]; what lies outside the range is clipped."""
    fraction = np.clip((flux - card.low) / (card.high - card.low), 0, 1)
    if card.stretch == "asinh":
        return np.asarray(np.arcsinh(fraction / SOFTENING) / math.asinh(1 / SOFTENING))
    return np.asarray(fraction)


def unstretch(grey: NDArray[np.floating], card: PngCard) -> NDArray[np.floating]:
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
