"""The first sentence of a report: the worst fault, and what the images are not good for."""

from typing import NamedTuple

from gravlensdiffusion.evaluation.faults import (
    FAR_RATIO,
    KEPT,
    MATTERS,
    PHYSICS,
    TELLING,
    TWO_SAMPLE,
    alike,
    difference,
    excess,
    floor,
    floors,
    names,
    spaces,
    standing_out,
    stands_out,
    too_alike,
    within_floor,
)
from gravlensdiffusion.evaluation.formats import number
from gravlensdiffusion.evaluation.labels import label
from gravlensdiffusion.evaluation.plan import FEW_IMAGES, HANDFUL
from gravlensdiffusion.evaluation.result import Evaluation, noun, sizes


class Use(NamedTuple):
    """What images may be wanted for, and the rows that speak against it.

    Attributes:
        purpose: The use, to stand after "good for".
        rows: Names of the rows of lens physics.
    """

    purpose: str
    rows: tuple[str, ...]


USES = (
    Use("measuring flux", ("total_flux", "maximum")),
    Use("what depends on the sky and its noise", ("sky_level", "sky_rms", "sky_whiteness")),
    Use("measuring Einstein radii", ("einstein_radius", "radial_profile")),
    Use("measuring positions", ("centroid_x", "centroid_y")),
    Use(
        "measuring shapes and shear",
        ("ellipticity", "ellipticity_1", "ellipticity_2", "quadrupole_plus", "quadrupole_cross"),
    ),
    Use("the fine structure of arcs", ("asymmetry", "gini", "m20", "power_spectrum")),
)


def summary(evaluation: Evaluation) -> list[str]:
    """Return the worst fault, and what the images are good for and not good for."""
    rows, those = evaluation.rows, noun(evaluation)
    n, m = sizes(evaluation)
    if not any(row.value is not None for row in rows) or min(n, m) < HANDFUL:
        return []
    worst, small = _worst(evaluation), _largest(evaluation)
    if worst is None and small is None:
        return [_nothing_found(evaluation)]
    text = f"Worst fault: {worst}." if worst else f"Only small differences were found: {small}."
    bad, good = _uses(evaluation)
    if bad:
        text += f" Not good for: {'; '.join(bad)}."
    if good:
        text += f" No such fault was found for: {'; '.join(good)}."
    if min(n, m) < FEW_IMAGES:
        images = those if m <= n else "images"
        text += f" With {min(n, m):,} {images} smaller faults would not show."
    return [text]


def _worst(evaluation: Evaluation) -> str | None:
    """Return the worst fault in plain words; None where none matters."""
    rows, those = evaluation.rows, noun(evaluation)
    if copied := [row for row in rows if row.is_memorised]:
        return f"images are copies of training images, seen in {spaces(copied)}"
    if any(excess(row) >= MATTERS for row in standing_out(rows, PHYSICS)):
        return _largest(evaluation)
    told = max(standing_out(rows, TWO_SAMPLE), key=lambda row: row.value or 0.0, default=None)
    if told is not None:
        return (
            f"a classifier tells the images from {those} with an area of {number(told.value)} from "
            f"{told.space}, where 0.5 is guessing; no measure of lens physics is off by a tenth of "
            "its scatter"
        )
    if close := too_alike(evaluation.class_pairs):
        return alike(close[0], those)
    for row in rows:
        # Of a share such as coverage only less than the floor is a fault.
        short = row.ratio is None and (row.floor or 0.0) - (row.value or 0.0) >= MATTERS
        far = row.ratio is not None and row.ratio > FAR_RATIO
        if row.group != PHYSICS and stands_out(row) and (far or short):
            return f"the {label(row.name)} is {number(row.value)} where {those} have {floor(row)}"
    return None


def _largest(evaluation: Evaluation) -> str | None:
    """Return the largest certain difference in lens physics in plain words, or None."""
    far = max(standing_out(evaluation.rows, PHYSICS), key=excess, default=None)
    return None if far is None else f"{difference(far, noun(evaluation))} ({floors(far)})"


def _nothing_found(evaluation: Evaluation) -> str:
    """Say that no row stands out, and how much that means."""
    rows, those = evaluation.rows, noun(evaluation)
    n, m = sizes(evaluation)
    if min(n, m) < FEW_IMAGES:
        return (
            f"No fault was found, but with {min(n, m):,} images on a side only gross faults would "
            f"show: this does not say that the images are like {those}."
        )
    loose = [
        row for row in rows if row.is_valid and row.value is not None and not within_floor(row)
    ]
    if loose:
        return (
            f"No fault was found for certain, but {names(loose)} {'lie' if len(loose) > 1 else 'lies'} "
            "farther from the floor than usual: more images or draws would tell."
        )
    tested = [
        row for row in rows if row.group == TWO_SAMPLE and row.is_valid and row.value is not None
    ]
    untested = {"encoder features", "pixels"} - {row.space.partition(",")[0] for row in tested}
    if untested:
        return (
            f"No fault was found. No classifier could be tried on {' or '.join(sorted(untested))}, so "
            "that this is no proof."
        )
    return f"Nothing that was measured on {n:,} images tells them from {those}."


def _uses(evaluation: Evaluation) -> tuple[list[str], list[str]]:
    """Return what the images are not good for, and that of which no fault was found."""
    if any(row.is_memorised for row in evaluation.rows):
        return ["what takes them for new images"], []
    bad, good = [], []
    by_name = {row.name: row for row in evaluation.rows if row.value is not None}
    for use in USES:
        found = [by_name[name] for name in use.rows if name in by_name]
        if any(stands_out(row) and excess(row) >= MATTERS for row in found):
            bad.append(use.purpose)
        elif found:
            good.append(use.purpose)
    if too_alike(evaluation.class_pairs):
        bad.append("telling the classes apart")
    elif (kept := [pair.kept for pair in evaluation.class_pairs if pair.kept is not None]) and (
        min(kept) >= KEPT
    ):
        good.append("telling the classes apart")
    told = standing_out(evaluation.rows, TWO_SAMPLE)
    if any((row.value or 0.0) >= TELLING for row in told):
        bad.append("training networks in which one class has more of them than another")
    return bad, good
