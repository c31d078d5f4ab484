"""How sets and classes are told apart: by colour, and by line for those who see none."""

from typing import NamedTuple

Line = str | tuple[int, tuple[float, ...]]


class Series(NamedTuple):
    """How a set of images is drawn.

    Attributes:
        colour: Of its lines.
        line: Dashes of its lines, as matplotlib writes them.
        fill: Opacity of areas.
    """

    colour: str
    line: Line
    fill: float


# Vermilion and blue are told apart with every kind of colour blindness (Okabe and Ito 2008).
GENERATED = Series("#d55e00", "-", 0.0)
REAL = Series("#0072b2", (0, (4.0, 1.6)), 0.18)

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
LINES: tuple[Line, ...] = ("-", (0, (4.0, 1.6)), (0, (1.2, 1.2)), (0, (5.0, 1.4, 1.2, 1.4)))
"""Colours of Okabe and Ito, and dashes, that classes take in turn."""


def class_series(place: int) -> Series:
    """Return how a class is drawn, by its place among the classes."""
    # The dashes change with each class, too, and the two numbers of styles share no factor of four.
    line = LINES[(place + place // 12) % len(LINES)]
    return Series(COLOURS[place % len(COLOURS)], line, 0.0)
