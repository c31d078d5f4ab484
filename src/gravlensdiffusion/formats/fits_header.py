"""What FITS headers say, and how they spell it: pixel scale, zero point, unit of flux, and text of any letters.

A text that a header cannot hold as it stands is percent-encoded as in a web address: in UTF-8, each byte
that is no ASCII letter, digit or common mark as ``%`` and two digits. The card `PERCENT` names the cards
of which that is so: in any other a ``%`` means itself.
"""

import math
import re
import warnings
from collections import Counter
from dataclasses import replace
from urllib.parse import unquote

import numpy as np
from astropy import units
from astropy.io import fits
from numpy.typing import NDArray

from gravlensdiffusion.errors import BadImageError
from gravlensdiffusion.formats.image import BACKGROUND_RMS, Facts
from gravlensdiffusion.sets.flux import FULL_SCALE, PEAK, UNKNOWN

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
FLUX_UNIT = "FLUXUNIT"
"""Card of our own with the flux unit, as many of ours are none of FITS."""
PERCENT = "PERCENT"
ZERO_POINT = "zero_point"
"""Parameter with the magnitude of one unit of flux [mag]."""
_SPELLINGS = (
    (r"(?<![a-z])e(-|lec(tron)?s?)?(?![\w(])", "electron"),
    (r"\b(counts?|cts?)\b", "count"),
    (r"\bcps\b", "count/s"),
    (r"\b(dns?)\b", "DN"),
    (r"\bsec(onds?)?\b", "s"),
)
"""Spellings of detectors that astropy does not know, for words in small letters."""
_MAX_LENGTH = 40
"""Letters of a unit that is looked into."""
_COUNTED = {"electron": "e-", "ct": "count", "adu": "adu", "DN": "DN", "ph": "photon"}
"""What detectors count, as astropy calls it and as sets do."""


def facts_of(header: fits.Header, primary: fits.Header) -> Facts:
    """Return what the header of an image says, or the primary one for it."""
    scale = _pixel_scale(header)
    if scale is None and header is not primary:
        scale = _pixel_scale(primary)
    zero_point = _zero_point(header, primary)
    cards = ((each, name) for name in (FLUX_UNIT, "BUNIT") for each in (header, primary))
    stated = next(filter(None, (_read_text(*card) for card in cards)), None)
    label = header.get("LABEL")
    return Facts(
        pixel_scale_arcsec=scale,
        flux_unit=_flux_unit_of(stated, zero_point),
        class_name=_read_text(header, "CLASS"),
        class_number=label if type(label) is int else None,
        parameters={} if zero_point is None else {ZERO_POINT: zero_point},
        parameter_units={} if zero_point is None else {ZERO_POINT: "mag"},
        has_mask=True,
    )


def _read_text(header: fits.Header, name: str) -> str | None:
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
        if _is_number(value) and math.isfinite(value) and value > 0:
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
    kind = _read_text(header, "CTYPE1") or ""
    is_celestial = kind.startswith(("RA", "DEC")) or kind[1:4] in ("LON", "LAT")
    is_small = float(np.abs(matrix).max()) <= _MAX_UNNAMED_STEP
    return is_celestial or _read_text(header, "CUNIT1") is not None or is_small


def _matrix(header: fits.Header, name: str, diagonal: float) -> NDArray[np.float64]:
    return np.array(
        [
            [_number(header, f"{name}{i}_{j}", diagonal if i == j else 0.0) for j in (1, 2)]
            for i in (1, 2)
        ]
    )


def _number(header: fits.Header, name: str, default: float) -> float:
    value = header.get(name, default)
    if not _is_number(value):
        raise BadImageError(f"has a header where {name} is not a number")
    return float(value)


def _is_number(value: object) -> bool:
    return type(value) in (int, float)  # T and F of a header are none


def _units_in_degrees(header: fits.Header) -> list[float] | None:
    """Return the unit of both axes [degree], or None where they are no angles."""
    factors = []
    for i in (1, 2):
        name = _read_text(header, f"CUNIT{i}") or "deg"
        try:
            factors.append(float(units.Unit(name).to(units.deg)))
        except (ValueError, TypeError, units.UnitConversionError):
            return None
    return factors


def _zero_point(*headers: fits.Header) -> float | None:
    """Return the magnitude of one unit of flux that the first of the headers states, or None."""
    for name in ZERO_POINT_CARDS:
        for header in headers:
            value = header.get(name)
            if _is_number(value) and 0 < value <= MAX_ZERO_POINT:
                return float(value)
    return None


def _flux_unit_of(stated: str | None, zero_point: float | None) -> str:
    """Return the unit of fluxes, where it or the zero point is stated [mag]."""
    if stated is not None:
        return _as_flux_unit(stated)
    return UNKNOWN if zero_point is None else f"1 at {zero_point:g} mag"


def _as_flux_unit(text: str) -> str:
    """Return the one spelling of what a detector counts, alone or per second; any other unit as it is.

    ``electron/s``, ``ELECTRONS/SEC`` and ``electron s-1`` are ``e-/s``.
    """
    if len(text) > _MAX_LENGTH:
        return text
    spelled = text.strip().lower()
    for pattern, word in _SPELLINGS:
        spelled = re.sub(pattern, word, spelled)
    try:
        unit = units.Unit(spelled)
    except (ValueError, TypeError, ArithmeticError):
        return text
    for name, shown in _COUNTED.items():
        for per, shown_per in ((units.dimensionless_unscaled, ""), (units.s**-1, "/s")):
            if unit == units.Unit(name) * per:
                return f"{shown}{shown_per}"
    return text


def as_fits_unit(flux_unit: str) -> str | None:
    """Return a flux unit as FITS headers spell it: empty for pure numbers, None for no unit of theirs."""
    if flux_unit in (PEAK, FULL_SCALE):
        return ""
    counted, per, rest = flux_unit.partition("/s")
    names = {shown: name for name, shown in _COUNTED.items()}
    if counted in names and not rest:
        return names[counted] + per
    if len(flux_unit) > _MAX_LENGTH:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return str(units.Unit(flux_unit).to_string("fits"))
        except (ValueError, TypeError, ArithmeticError):
            return None


def to_one_zero_point(every: list[Facts]) -> list[Facts]:
    """Return the facts of images whose fluxes are brought to one zero point.

    A flux f at a zero point of z mag is f x 10^(0.4 (Z - z)) at one of Z mag. Z is the most common one.
    Images in physical units are left alone, and so are those that state no zero point.
    """
    counts = Counter(facts.parameters[ZERO_POINT] for facts in every if _has_scale(facts))
    if len(counts) < 2:
        return every
    common = counts.most_common(1)[0][0]
    return [_brought(facts, common) if _has_scale(facts) else facts for facts in every]


def _brought(facts: Facts, zero_point: float) -> Facts:
    own = facts.parameters[ZERO_POINT]
    unit, factor = facts.flux_unit, 10 ** (0.4 * (zero_point - own))
    noise = {k: factor * v for k, v in facts.parameters.items() if k == BACKGROUND_RMS}
    return replace(
        facts,
        factor=factor,
        flux_unit=_flux_unit_of(None, zero_point) if unit == _flux_unit_of(None, own) else unit,
        parameters={**facts.parameters, ZERO_POINT: zero_point} | noise,
    )


def _has_scale(facts: Facts) -> bool:
    """Return whether a zero point gives fluxes their scale, as it does for what a detector counts."""
    own = facts.parameters.get(ZERO_POINT)
    counted = tuple(_COUNTED.values())
    is_counted = facts.flux_unit.removesuffix("/s") in counted
    return own is not None and (is_counted or facts.flux_unit == _flux_unit_of(None, own))
