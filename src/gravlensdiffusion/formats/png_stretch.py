"""The stretch from flux to the grey of a PNG, stated inside the file, and its inverse."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
