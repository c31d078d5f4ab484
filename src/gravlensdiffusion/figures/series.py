"""How two sets are told apart in a figure: by colour, and by line for those who see none."""

from typing import NamedTuple


class Series(NamedTuple):
    """How a set of images is drawn.

    Attributes:
        colour: Of its lines.
        line: Dashes of its lines, as matplotlib writes them.
        fill: Opacity of areas.
    """

    colour: str
    line: str | tuple[int, tuple[float, ...]]
    fill: float


# Vermilion and blue are told apart with every kind of colour blindness (Okabe and Ito 2008).
GENERATED = Series("#d55e00", "-", 0.0)
REAL = Series("#0072b2", (0, (4.0, 1.6)), 0.18)
