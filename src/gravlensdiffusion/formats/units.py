"""Units of flux as files spell them, and the zero points that fluxes are brought to one by."""

import re
import warnings
from collections import Counter
from dataclasses import replace

from gravlensdiffusion.formats.image import Facts
from gravlensdiffusion.sets.flux import FULL_SCALE, PEAK, UNKNOWN

BACKGROUND_RMS = "background_rms"
"""Parameter that states the noise of the sky in a pixel, in the unit of the images."""
EXPOSURE_TIME = "exposure_time"
"""Parameter with the exposure time of an image [s]."""
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


def flux_unit_of(stated: str | None, zero_point: float | None) -> str:
    """Return the unit of fluxes, where it or the zero point is stated [mag]."""
    if stated is not None:
        return _as_flux_unit(stated)
    return UNKNOWN if zero_point is None else f"1 at {zero_point:g} mag"


def _as_flux_unit(text: str) -> str:
    """Return the one spelling of what a detector counts, alone or per second; any other unit as it is.

    ``electron/s``, ``ELECTRONS/SEC`` and ``electron s-1`` are ``e-/s``.
    """
    # Units are those of astropy, which is slow to load.
    from astropy import units

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
    from astropy import units

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
        flux_unit=flux_unit_of(None, zero_point) if unit == flux_unit_of(None, own) else unit,
        parameters={**facts.parameters, ZERO_POINT: zero_point} | noise,
    )


def _has_scale(facts: Facts) -> bool:
    """Return whether a zero point gives fluxes their scale, as it does for what a detector counts."""
    own = facts.parameters.get(ZERO_POINT)
    counted = tuple(_COUNTED.values())
    is_counted = facts.flux_unit.removesuffix("/s") in counted
    return own is not None and (is_counted or facts.flux_unit == flux_unit_of(None, own))
