"""An image to a FITS file: where its pixels lie, their unit, and where it comes from.

The header is that of a cutout of the sky, so that DS9 shows it with north up and east to the left, and measures
angles: y of an image points north, and x west. The images have no position, and right ascension and
declination of 0 stand for it. The coordinates A are x and y themselves.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from astropy.io import fits

from gravlensdiffusion.formats.fits_header import (
    ARCSEC_PER_DEGREE,
    FLUX_UNIT,
    PARAMETER,
    text_cards,
)
from gravlensdiffusion.formats.units import as_fits_unit
from gravlensdiffusion.sets.records import LensRecord, SetHeader

Value = str | int | float
_NAME = re.compile(r"[A-Za-z]\w{,30}", re.ASCII)
"""Names of parameters that a header can hold."""
_UNIT = re.compile(r"[\w/^*+. -]+", re.ASCII)
_MAX_NAME_AND_UNIT = 35
"""Letters of both that leave room for any number on their line."""


def write_fits(
    path: Path,
    record: LensRecord,
    header: SetHeader,
    numbers: Mapping[str, tuple[int | None, str]],
    texts: Iterable[tuple[str, str | None, str]],
) -> None:
    """Write an image as a FITS file.

    Args:
        path: The file.
        record: The image, of shape ``(C, H, W)``, and its parameters.
        header: Pixel scale and flux unit.
        numbers: What else is said of it: number and comment by keyword; None is left out.
        texts: Likewise: keyword, text and comment.
    """
    image = record.image[0] if len(record.image) == 1 else record.image
    hdu = fits.PrimaryHDU(image)
    cards: list[tuple[str, Value, str]] = []
    if header.pixel_scale_arcsec is not None:
        cards += _coordinates(header.pixel_scale_arcsec, image.shape[-2], image.shape[-1])
    unit = as_fits_unit(header.flux_unit)
    cards += [(name, value, told) for name, (value, told) in numbers.items() if value is not None]
    cards += text_cards(
        [
            ("BUNIT", unit, "unit of the pixels"),
            (FLUX_UNIT, header.flux_unit, "what gravlens calls the unit"),
            *texts,
        ]
    )
    cards += _parameters(record.parameters, header.parameter_units)
    hdu.header.extend(cards)
    hdu.writeto(path)


def _coordinates(scale: float, height: int, width: int) -> Iterator[tuple[str, Value, str]]:
    """Yield the cards of a tangential projection, and of offsets from the middle.

    Args:
        scale: Side of a pixel [arcsec].
        height: Number of rows.
        width: Number of columns.
    """
    step = scale / ARCSEC_PER_DEGREE
    axes = ((1, width, "RA---TAN", -step, "x"), (2, height, "DEC--TAN", step, "y"))
    yield "WCSAXES", 2, "no position on the sky: 0, 0 stands for it"
    yield "RADESYS", "ICRS", ""
    for axis, side, kind, towards, _ in axes:
        yield f"CTYPE{axis}", kind, "y points north, x west"
        yield f"CUNIT{axis}", "deg", ""
        yield f"CRPIX{axis}", (side + 1) / 2, "middle of the image [pixel]"
        yield f"CRVAL{axis}", 0.0, "[deg]"
        yield f"CDELT{axis}", towards, "pixel scale [deg]"
    yield "WCSAXESA", 2, ""
    yield "WCSNAMEA", "OFFSET", "from the middle, as in the parameters"
    for axis, side, _, _, name in axes:
        yield f"CTYPE{axis}A", name, ""
        yield f"CUNIT{axis}A", "arcsec", ""
        yield f"CRPIX{axis}A", (side + 1) / 2, ""
        yield f"CRVAL{axis}A", 0.0, ""
        yield f"CDELT{axis}A", scale, ""
    yield "PIXSCALE", scale, "pixel scale [arcsec]"


def _parameters(
    values: Mapping[str, float], units: Mapping[str, str]
) -> Iterator[tuple[str, Value, str]]:
    """Yield a card for each parameter that is known and that a header can hold."""
    for name, value in values.items():
        if math.isfinite(value) and _NAME.fullmatch(name):
            unit = units.get(name, "")
            fits_in = _UNIT.fullmatch(unit) and len(name + unit) <= _MAX_NAME_AND_UNIT
            yield f"HIERARCH {PARAMETER} {name}", float(value), f"[{unit}]" if fits_in else ""
