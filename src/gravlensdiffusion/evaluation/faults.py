"""What counts as a fault in a row, and in what plain words it is told."""

from collections.abc import Sequence

from gravlensdiffusion.evaluation.comparison import MIN_Z, Row
from gravlensdiffusion.evaluation.formats import compared, number, plus_minus
from gravlensdiffusion.evaluation.fulfilment import CERTAIN, ClassPair
from gravlensdiffusion.evaluation.labels import label

PHYSICS = "lens physics"
TWO_SAMPLE = "two-sample test"
MEMORISATION = "memorisation"

FAR = 4.0
"""Spreads of the floor by which a value differs from it to be marked."""
FAR_RATIO = 1.5
"""Multiple of the floor by which a distance without a spread is marked."""
MATTERS = 0.1
"""Excess of a measure of lens physics over its floor [scatter of the reference] that is a fault."""
TELLING = 0.6
"""Area of a two-sample test from which on a network would learn which images are generated."""
KEPT = 0.8
"""Share of the difference between two classes below which they are too alike."""


def stands_out(row: Row) -> bool:
    """Whether a row is worse than images of the reference are among themselves.

    Distances and the areas of the two-sample test are so above their floor only; of a fraction such
    as precision, either direction tells the sets apart.
    """
    if not row.is_valid or row.value is None:
        return False
    if row.is_memorised:
        return True
    if row.z is None:
        return row.ratio is not None and row.ratio > FAR_RATIO
    one_sided = row.ratio is not None or row.group == TWO_SAMPLE
    return row.z > FAR if one_sided else abs(row.z) > FAR


def within_floor(row: Row) -> bool:
    """Whether a row is as good as that of other images of the reference.

    Between this and `stands_out` lie rows of which nothing can be said.
    """
    if stands_out(row) or (row.ratio is not None and row.ratio > FAR_RATIO):
        return False
    return row.group != TWO_SAMPLE or row.z is None or row.z <= MIN_Z


def standing_out(rows: Sequence[Row], group: str) -> list[Row]:
    """Return the rows of a section that stand out."""
    return [row for row in rows if row.group == group and stands_out(row)]


def excess(row: Row) -> float:
    """Return by how much a value lies above its floor."""
    return (row.value or 0.0) - (row.floor or 0.0)


def difference(row: Row, those: str) -> str:
    """Say in plain words in what a statistic differs."""
    name = label(row.name)
    if row.shift is not None and row.offset is not None and abs(row.offset) >= excess(row) / 2:
        return f"the {name} is {compared(row.shift)} in {those}"
    if row.offset is not None and abs(row.offset) >= excess(row) / 2:
        way = "larger" if row.offset > 0 else "smaller"
        return f"the {name} is {way} than in {those} by {number(abs(row.offset))} of its scatter"
    if row.widening is not None and abs(row.widening) >= MATTERS:
        return f"the {name} varies {'more' if row.widening > 0 else 'less'} than in {those}"
    return f"the {name} differs from that of {those} by {number(excess(row))} of its scatter"


def floor(row: Row) -> str:
    """Return the floor of a row and its spread."""
    return plus_minus(row.floor, row.floor_spread)


def floors(row: Row) -> str:
    """Return how far above its floor a row lies."""
    if row.ratio is not None:
        return f"{number(row.ratio)} times the floor"
    return f"{number(row.value)} where the floor is {floor(row)}"


def spaces(rows: Sequence[Row]) -> str:
    """Say what some rows were computed from."""
    return " and ".join(row.space for row in rows)


def too_alike(pairs: Sequence[ClassPair]) -> list[ClassPair]:
    """Return the pairs of classes that certainly differ less than they should, the worst first."""
    found = []
    for pair in pairs:
        lost = (pair.real or 0.0) - pair.generated
        if pair.kept is not None and pair.kept < KEPT and lost > CERTAIN * pair.spread:
            found.append((pair.kept, pair))
    return [pair for _, pair in sorted(found, key=lambda each: each[0])]


def alike(pair: ClassPair, those: str) -> str:
    """Say how much less two classes differ than they should."""
    return (
        f"{' and '.join(pair.names)} are too alike: the encoder tells them apart with an area of "
        f"{number(pair.generated)}, in {those} with {number(pair.real)}, where 0.5 is guessing"
    )


def names(rows: Sequence[Row]) -> str:
    """Return what some rows are called."""
    return ", ".join(label(row.name) for row in rows)
