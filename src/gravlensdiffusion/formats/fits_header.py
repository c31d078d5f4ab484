"""FITS headers, read and written: pixel scale, zero point, unit, and text of any letters, though they know ASCII only.

A text that a header cannot hold as it stands is percent-encoded as in a web address: in UTF-8, each byte
that is no ASCII letter, digit or common mark as ``%`` and two digits. The card `PERCENT` names the cards
of which that is so: in any other a ``%`` means itself.

The header of an image that is written is that of a cutout of the sky, so that DS9 shows it with north up and
east to the left, and measures angles: y of an image points north, and x west. The images have no position, and
right ascension and declination of 0 stand for it. The coordinates A are x and y themselves.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np
from astropy import units
from astropy.io import fits
from numpy.typing import NDArray

from gravlensdiffusion.errors import BadImageError
from gravlensdiffusion.formats.image import Facts
from gravlensdiffusion.formats.units import ZERO_POINT, as_fits_unit, flux_unit_of
from gravlensdiffusion.sets.records import LensRecord, SetHeader

ARCSEC_PER_DEGREE = 3600.0
SCALE_CARDS = ("PIXSCALE", "PIXSCAL", "PIXSCAL1", "PIXELSCL")
"""Cards that give the pixel scale in arcsec, read where the header has no coordinates."""
ZERO_POINT_CARDS = ("MAGZERO", "MAGZEROP", "MAGZPT", "ZEROPNT", "PHOTZP", "ZPAB", "ZP_STACK")
"""Cards that give the magnitude of one unit of flux."""
MAX_ZERO_POINT = 100.0
"""Largest number that is taken for a zero point [mag]."""
_MAX_SQUARE_ERROR = 0.01
_MAX_UNNAMED_STEP = 0.1
"""Largest step taken for degrees where the header names neither axis type nor unit [degree]."""
BAD_BITS = {"JWST": 1 | 512}
"""DO_NOT_USE and NON_SCIENCE, which the pipeline of JWST leaves out when it combines images; its other bits tell
what was corrected."""
FLUX_UNIT = "FLUXUNIT"
"""Card of our own with the flux unit, as many of ours are none of FITS."""
PARAMETER = "PAR"
"""Word before the name of a parameter of an image."""
PERCENT = "PERCENT"
_SAFE = "!\"#$'()*+,-./:;<=>?@[]^_`{|}~"
_MAX_COMMENTED = 40
"""Letters of a text that leave room for a comment on their line."""
_NAME = re.compile(r"[A-Za-z]\w{,30}", re.ASCII)
"""Names of parameters that a header can hold."""
_UNIT = re.compile(r"[\w/^*+. -]+", re.ASCII)
_MAX_NAME_AND_UNIT = 35
"""Letters of both that leave room for any number on their line."""
_Card = tuple[str, str | int | float, str]


def facts_of(header: fits.Header, primary: fits.Header) -> Facts:
    """Return what the header of an image says, or the primary one for it."""
    scale = _pixel_scale(header)
    if scale is None and header is not primary:
        scale = _pixel_scale(primary)
    zero_point = _zero_point(header, primary)
    cards = ((each, name) for name in (FLUX_UNIT, "BUNIT") for each in (header, primary))
    stated = next(filter(None, (read_text(*card) for card in cards)), None)
    label = header.get("LABEL")
    return Facts(
        pixel_scale_arcsec=scale,
        flux_unit=flux_unit_of(stated, zero_point),
        class_name=read_text(header, "CLASS"),
        class_number=label if isinstance(label, int) else None,
        parameters={} if zero_point is None else {ZERO_POINT: zero_point},
        parameter_units={} if zero_point is None else {ZERO_POINT: "mag"},
        has_mask=True,
    )


def read_text(header: fits.Header, name: str) -> str | None:
    """Return the text of a card, or None where it has none."""
    value = header.get(name)
    if not isinstance(value, str):
        return None
    if name in str(header.get(PERCENT, "")).split():
        return unquote(value, errors="replace") or None
    return value.strip() or None


def _pixel_scale(header: fits.Header) -> float | None:
    """Return the side of a pixel [arcsec] that a header states, or None.

    A CD matrix comes before CDELT with or without a PC matrix, as files that carry both have
    CDELT at its default of 1; a plain card in arcsec comes last.
    """
    degrees = _units_in_degrees(header)
    matrix = _coordinate_matrix(header)
    if matrix is not None and degrees is not None and _is_angular(header, matrix):
        matrix = matrix * np.array(degrees)[:, None]
        return side_of_pixel(matrix * ARCSEC_PER_DEGREE)
    for name in SCALE_CARDS:
        value = header.get(name)
        if isinstance(value, (int, float)) and math.isfinite(value) and value > 0:
            return float(value)
    return None


def side_of_pixel(matrix: NDArray[np.float64]) -> float:
    """Return the side of a pixel [arcsec] from the matrix ``(2, 2)`` to angles [arcsec]; it must be square."""
    area = abs(np.linalg.det(matrix))
    if not np.isfinite(matrix).all() or area == 0:
        raise BadImageError("has a coordinate matrix that is not a scale")
    across, along = np.hypot(matrix[0], matrix[1])
    if abs(across / along - 1) > _MAX_SQUARE_ERROR:
        raise BadImageError(f"has pixels of {across:.4g} x {along:.4g} arcsec, not square")
    # Ten digits: the rest is the rounding of the conversion.
    return float(f"{math.sqrt(area):.10g}")


def _coordinate_matrix(header: fits.Header) -> NDArray[np.float64] | None:
    """Return the matrix from pixels to coordinates, shape ``(2, 2)``, or None."""
    if any(f"CD{i}_{j}" in header for i in (1, 2) for j in (1, 2)):
        return _matrix(header, "CD", 0.0)
    if "CDELT1" not in header and "CDELT2" not in header:
        return None
    steps = [_number(header, f"CDELT{i}", 1.0) for i in (1, 2)]
    angle = math.radians(_number(header, "CROTA2", 0.0))
    if any(f"PC{i}_{j}" in header for i in (1, 2) for j in (1, 2)):
        turn = _matrix(header, "PC", 1.0)
    else:
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return np.array(steps)[:, None] * turn


def _is_angular(header: fits.Header, matrix: NDArray[np.float64]) -> bool:
    """Return whether the axes are angles: by name, by unit, or by steps too small for pixels."""
    kind = read_text(header, "CTYPE1") or ""
    is_celestial = kind.startswith(("RA", "DEC")) or kind[1:4] in ("LON", "LAT")
    is_small = float(np.abs(matrix).max()) <= _MAX_UNNAMED_STEP
    return is_celestial or read_text(header, "CUNIT1") is not None or is_small


def _matrix(header: fits.Header, name: str, diagonal: float) -> NDArray[np.float64]:
    return np.array(
        [
            [_number(header, f"{name}{i}_{j}", diagonal if i == j else 0.0) for j in (1, 2)]
            for i in (1, 2)
        ]
    )


def _number(header: fits.Header, name: str, default: float) -> float:
    value = header.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadImageError(f"has a header where {name} is not a number")
    return float(value)


def _units_in_degrees(header: fits.Header) -> list[float] | None:
    """Return the unit of both axes [degree], or None where they are no angles."""
    factors = []
    for i in (1, 2):
        name = read_text(header, f"CUNIT{i}") or "deg"
        try:
            factors.append(float(units.Unit(name).to(units.deg)))
        except (ValueError, TypeError, units.UnitConversionError):
            return None
    return factors


def bad_bits(header: fits.Header) -> int | None:
    """Return the bits of data quality by which a pixel is not to be used; None where any does."""
    return BAD_BITS.get(str(header.get("TELESCOP", "")).strip().upper())


def _zero_point(*headers: fits.Header) -> float | None:
    """Return the magnitude of one unit of flux that the first of the headers states, or None."""
    for name in ZERO_POINT_CARDS:
        for header in headers:
            value = header.get(name)
            if isinstance(value, (int, float)) and 0 < value <= MAX_ZERO_POINT:
                return float(value)
    return None


def write_fits(
    path: Path,
    record: LensRecord,
    header: SetHeader,
    numbers: Mapping[str, tuple[int | None, str]],
    texts: Iterable[tuple[str, str | None, str]],
) -> None:
    """Write an image as a FITS file, with numbers and comments by keyword, and texts likewise; None is left out."""
    image = record.image[0] if len(record.image) == 1 else record.image
    hdu = fits.PrimaryHDU(image)
    cards: list[_Card] = []
    if header.pixel_scale_arcsec is not None:
        cards += _coordinates(header.pixel_scale_arcsec, image.shape[-2], image.shape[-1])
    unit = as_fits_unit(header.flux_unit)
    cards += [(name, value, told) for name, (value, told) in numbers.items() if value is not None]
    cards += _text_cards(
        [
            ("BUNIT", unit, "unit of the pixels"),
            (FLUX_UNIT, header.flux_unit, "what gravlens calls the unit"),
            *texts,
        ]
    )
    cards += _parameters(record.parameters, header.parameter_units)
    hdu.header.extend(cards)
    hdu.writeto(path)


def _text_cards(texts: Iterable[tuple[str, str | None, str]]) -> list[_Card]:
    """Return cards of keyword, any text but None, and comment, and `PERCENT` where it is needed."""
    cards: list[_Card] = []
    encoded = []
    for name, text, comment in texts:
        if text is None:
            continue
        value = text
        # A header drops blanks at the end, and the reader those at the start.
        if not (text.isascii() and text.isprintable() and text == text.strip()):
            value = quote(text, safe=_SAFE, errors="surrogateescape")
            encoded.append(name)
        cards.append((name, value, comment if len(value) <= _MAX_COMMENTED else ""))
    if encoded:
        cards.append((PERCENT, " ".join(encoded), "cards in percent-encoded UTF-8"))
    return cards


def _coordinates(scale: float, height: int, width: int) -> Iterator[_Card]:
    """Yield the cards of a tangential projection, and of offsets from the middle."""
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


def _parameters(values: Mapping[str, float], units: Mapping[str, str]) -> Iterator[_Card]:
    """Yield a card for each parameter that is known and that a header can hold."""
    for name, value in values.items():
        if math.isfinite(value) and _NAME.fullmatch(name):
            unit = units.get(name, "")
            fits_in = _UNIT.fullmatch(unit) and len(name + unit) <= _MAX_NAME_AND_UNIT
            yield f"HIERARCH {PARAMETER} {name}", float(value), f"[{unit}]" if fits_in else ""
