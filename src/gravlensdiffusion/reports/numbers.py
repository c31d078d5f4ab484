"""Numbers as people read them, with the digits that they are good for."""

import math
import re

SMALL, LARGE = 1e-3, 1e5
"""Between these, numbers are written without an exponent."""
MAX_DIGITS = 4

EXPONENT = re.compile(r"(?<=[\d)])e(-?\d+)")
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
FACTOR = re.compile(r"\bx(?=\d)")
NEGATIVE = re.compile(r"-(?=\d)")


def number(value: float | None, digits: int = 3, like: float | None = None) -> str:
    """Return a number with some significant digits.

    Args:
        value: The number; nothing is written for None.
        digits: Significant digits, at least.
        like: A spread: decimals that it is good for are written, too.
    """
    if value is None or not math.isfinite(value):
        return ""
    if value != 0 and not SMALL <= abs(value) < LARGE:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    decimals = _decimals(value, digits)
    if like is not None and math.isfinite(like) and like > 0:
        decimals = max(decimals, min(_decimals(like, 2), _decimals(value, MAX_DIGITS)))
    return f"{value:.{decimals}f}"


def plus_minus(value: float | None, spread: float | None) -> str:
    """Return a number and its spread with the same decimals."""
    if value is None or spread is None:
        return number(value)
    largest = max(abs(value), spread)
    if spread <= 0 or not math.isfinite(largest):
        return f"{number(value)} ± {number(spread, 2)}"
    if not SMALL <= largest < LARGE:
        exponent = math.floor(math.log10(largest))
        unit = 10.0**exponent
        return f"({plus_minus(value / unit, spread / unit)})e{exponent}"
    decimals = max(0, min(_decimals(spread, 2), max(_decimals(value, MAX_DIGITS), 3)))
    return f"{value:.{decimals}f} ± {spread:.{decimals}f}"


def share(value: float | None) -> str:
    """Return a share in per cent."""
    return "" if value is None else f"{100 * value:.0f}%"


def exact_share(value: float) -> str:
    """Return a share in per cent; only what is all or nothing is written as 100% or 0%."""
    text = f"{100 * value:.1f}"
    if text == "100.0" and value < 1:
        return ">99.9%"
    if text == "0.0" and value > 0:
        return "<0.1%"
    return f"{text.removesuffix('.0')}%"


def signed(value: float) -> str:
    """Return a number with its sign, one decimal where that matters."""
    return f"{value:+.1f}" if abs(value) < 99.95 else f"{value:+.3g}".replace("e+0", "e")


def percentage(share: float) -> str:
    """Return a relative difference in per cent, with its sign."""
    # Adding zero makes a negative zero positive.
    return f"{round(100 * share, 1) + 0.0:+.1f}%" if abs(share) < 0.995 else f"{100 * share:+.3g}%"


def compared(share: float) -> str:
    """Return a relative difference in words: ``9.1% higher than``."""
    if share >= 1:
        return f"{number(1 + share)} times as high as"
    way = "higher" if share > 0 else "lower"
    return f"{percentage(abs(share)).removeprefix('+').replace('.0%', '%')} {way} than"


def probability(value: float | None) -> str:
    """Return a p-value."""
    if value is None or not math.isfinite(value):
        return ""
    return "<0.001" if value < SMALL else number(value, 2)


def typeset(text: str) -> str:
    """Return a number with the signs and powers that print uses."""
    text = FACTOR.sub("\N{MULTIPLICATION SIGN}", EXPONENT.sub(_power, text))
    return NEGATIVE.sub("\N{MINUS SIGN}", text)


def _power(found: re.Match[str]) -> str:
    return f"\N{THIN SPACE}\N{MULTIPLICATION SIGN}\N{THIN SPACE}10{found[1].translate(RAISED)}"


def _decimals(value: float, digits: int) -> int:
    """Return the decimals that show so many significant digits."""
    if value == 0:
        return 0
    # The logarithm of what is written: 0.9996 with three digits is 1.00.
    return max(0, digits - 1 - int(f"{abs(value):.{digits - 1}e}".split("e")[1]))
