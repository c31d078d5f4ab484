"""The three forms of a report: JSON, a table for a terminal, and a page."""

import textwrap
from collections.abc import Sequence
from dataclasses import asdict, fields
from itertools import groupby
from typing import Any

import numpy as np

from gravlensdiffusion.evaluation import pictures
from gravlensdiffusion.evaluation.compare import FAR, Row
from gravlensdiffusion.evaluation.conditioning import ClassPair, Requested
from gravlensdiffusion.evaluation.result import Evaluation, Placement
from gravlensdiffusion.evaluation.statistics import ABOUT
from gravlensdiffusion.evaluation.verdict import verdict
from gravlensdiffusion.reports import document
from gravlensdiffusion.reports.document import WIDTH, Line, Section, Table, table_lines
from gravlensdiffusion.reports.numbers import (
    number,
    percentage,
    plus_minus,
    probability,
    share,
    signed,
)

SCHEMA_VERSION = 1
"""Version of the layout of ``report.json``."""
ABOVE, BELOW = "\N{BLACK UP-POINTING TRIANGLE}", "\N{BLACK DOWN-POINTING TRIANGLE}"
MAX_PLACED, MAX_PLACED_IN_TERMINAL = 12, 5
"""Real images that are told one by one, at most."""
COLUMNS = ("metric", "value", "floor", "ratio", "z", "corrected", "shift", "p", "equivalent")
BRIEF_COLUMNS = ("metric", "value", "floor", "ratio or z", "corrected", "shift", "p", "equivalent")
WORDS = {
    "value": (
        "Generated images compared with real ones. The lens Fréchet distance compares mean and "
        "spread of features in which a small network, trained on simulated lenses, sees lens "
        "physics. A measure of lens physics is the Wasserstein distance between two distributions: "
        "how far values must be moved on average to turn one into the other, in units of the "
        "scatter of the real images. Most values are smaller the better; precision, recall, "
        "density and coverage should be like their floor; an AUC should be 0.5."
    ),
    "floor": (
        "What real images get against other real images, at the same numbers of images, as mean ± "
        "standard deviation over several draws. No generator can be expected to do better, and a "
        "value means nothing without it: few images give large distances whatever they show."
    ),
    "ratio": (
        "Value over floor, for distances. 1: as good as real images at this number of images."
    ),
    "z": (
        "Value less floor, in units of the floor's standard deviation. Rows beyond "
        f"{FAR:g} are marked. The standard deviation comes from a few draws only, so one or "
        "two rows in a hundred are marked by chance."
    ),
    "corrected": (
        "The value extrapolated to infinitely many images, where the floor is 0: what is left is "
        "the difference between the generator and reality. Values of different numbers of images "
        "can be compared by it."
    ),
    "shift": ("How far the mean of a statistic is off, relative to the real mean."),
    "p": (
        "Probability that two sets of real images differ as much as these: for lens physics by the "
        "Kolmogorov-Smirnov test. With many images it is small for differences that do not matter."
    ),
    "equivalent": (
        "The defect that would give the same value if it were planted in real images: flux or noise "
        "off by so much, a blur or a shift of so many pixels, or so many images turned."
    ),
    "fine detail": (
        "What the eye sees in images without noise: a grid of seams between patches, compact dark "
        "and bright points on the arc, power above half the Nyquist frequency, and light below "
        "zero. Seams are told by how much rougher every m-th row or column is than the others, "
        "beside real images: 1 is no grid. Negative flux is a share of pixels. There are no such rows where noise hides all this."
    ),
    "two-sample test": (
        "A classifier is trained to tell generated from real images and tried on images that it "
        "has not seen. The area under its ROC curve (AUC) is 0.5 if it can only guess, and 1 if it "
        "is always right."
    ),
    "memorisation": (
        "Copies of training images would lie nearer to the training set than real images do that "
        "the generator has not seen. Both are compared: by the median distance, whose ratio should "
        "be 1, and by how many generated images lie nearer than the nearest held-out ones."
    ),
}
"""Each term of a report and what it means."""


def to_json(evaluation: Evaluation) -> bytes:
    """Return an evaluation as a JSON file; the same evaluation gives the same bytes."""
    found = {
        "schema_version": SCHEMA_VERSION,
        "facts": evaluation.facts,
        "notes": evaluation.notes,
        "rows": [_row(row) for row in evaluation.rows],
        "class_pairs": [asdict(pair) for pair in evaluation.class_pairs],
        "requested": [asdict(each) for each in evaluation.requested],
        "closest_pairs": [
            {"space": near.space, "distances": near.distances} for near in evaluation.neighbours
        ],
        "placements": [asdict(each) for each in evaluation.placements],
    }
    return document.to_json(found)


def _row(row: Row) -> dict[str, Any]:
    statistic = row.statistic
    named = {"name": statistic.name, "group": statistic.group, "space": statistic.source}
    numbers = {each.name: getattr(row, each.name) for each in fields(row)}
    return named | {name: value for name, value in numbers.items() if name != "statistic"}


def to_text(evaluation: Evaluation) -> str:
    """Return an evaluation as plain text."""
    rows = table_lines(_statistics(evaluation.rows, is_brief=True))
    if any(row.stands_out for row in evaluation.rows):
        rows += ["", f"* more than {FAR:g} spreads of the floor away from it, or memorised"]
    said, notes = (
        [
            line
            for each in sentences
            for line in textwrap.wrap(f"- {each}", WIDTH, subsequent_indent="  ")
        ]
        for sentences in (verdict(evaluation), evaluation.notes)
    )
    parts = [
        textwrap.wrap(evaluation.headline, WIDTH),
        rows,
        table_lines(_placed(evaluation.placements, MAX_PLACED_IN_TERMINAL)),
        table_lines(_classes(evaluation.class_pairs)),
        table_lines(_requested(evaluation.requested)),
        ["In short", *said],
        ["Notes", *notes] if notes else [],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)


def to_html(evaluation: Evaluation) -> bytes:
    """Return an evaluation as a page; the same evaluation gives the same bytes."""
    ours, theirs = (evaluation.set_fact(role, "name") for role in ("generated", "reference"))
    asked = (_classes(evaluation.class_pairs), _requested(evaluation.requested))
    guess, images, *charts = pictures.sections(evaluation)
    sections = (
        guess,
        images,
        Section(
            "placed", "Real images, one by one", "", [_placed(evaluation.placements, MAX_PLACED)]
        ),
        Section(
            "table",
            "Table",
            "Rows with a bar and a triangle differ from the reference by more than its images differ "
            "among themselves. Real stands for the reference, whatever it is of.",
            [_statistics(evaluation.rows)],
        ),
        *charts,
        Section(
            "conditioning",
            "Asked for and measured",
            "",
            [table for table in asked if table.lines],
        ),
    )
    return document.to_html(
        "Evaluation",
        f"{ours} against {theirs}",
        lead=evaluation.headline,
        verdict=verdict(evaluation),
        notes=evaluation.notes,
        sections=sections,
        words=WORDS,
        facts=evaluation.facts,
        about_facts="All that the numbers depend on. A distance means nothing without the encoder, "
        "named by the digest of its weights, and without the digests of the sets.",
    )


def _statistics(rows: Sequence[Row], *, is_brief: bool = False) -> Table:
    """Return the table of all rows; in brief it has fewer columns, and no spread of the values."""
    columns = BRIEF_COLUMNS if is_brief else COLUMNS
    lines = []
    for group, members in groupby(rows, key=lambda row: row.statistic.group):
        lines.append(Line(name=group, note=ABOUT[group], is_heading=True))
        lines += [_line(row, columns) for row in members]
    return Table(headings=columns, lines=lines, ends_in_text=True, is_wide=True)


def _line(row: Row, columns: Sequence[str]) -> Line:
    name = row.statistic.title
    if row.value is None:
        return Line(name=name, note=row.note or "not computed")
    ratio = "" if row.ratio is None else "x" + number(row.ratio)
    z = "" if row.z is None else signed(row.z)
    value = number(row.value, like=row.floor_spread)
    if row.value_spread and columns is COLUMNS:
        value = plus_minus(row.value, row.value_spread)
    cells = {
        "value": value,
        "floor": plus_minus(row.floor, row.floor_spread),
        "ratio": ratio,
        "z": z,
        "ratio or z": ratio or z,
        "corrected": number(row.corrected),
        "shift": "" if row.shift is None else percentage(row.shift),
        "p": probability(row.p_value),
        "equivalent": row.equivalent,
    }
    # A triangle and a word, for those who see no colours.
    mark = ""
    if row.is_memorised and row.is_valid:
        mark = f"{ABOVE} memorised"
    elif row.stands_out:
        mark = f"{BELOW} below floor" if row.z is not None and row.z < 0 else f"{ABOVE} above floor"
    return Line(name=name, cells=[cells[each] for each in columns[1:]], mark=mark, note=row.note)


def _placed(placements: Sequence[Placement], most: int) -> Table:
    """Return each of a handful of real images among the generated ones, the first so many."""
    num = min(most, len(placements[0].values)) if placements else 0
    lines = []
    for each in placements:
        low, _, high = each.quantiles
        cells = [
            f"{number(value)} ({share(below)})" if np.isfinite(value) else ""
            for value, below in zip(each.values[:num], each.below[:num], strict=True)
        ]
        lines.append(Line(name=each.title, cells=[f"{number(low)} to {number(high)}", *cells]))
    return Table(
        headings=["statistic", "generated, 5% to 95%", *(f"real {k + 1}" for k in range(num))],
        lines=lines,
        title="Real images",
        about="Each in the order of its set, and in brackets the share of the generated "
        "images with a smaller value. Near 0% or 100%, the generated images hardly reach it.",
    )


def _classes(pairs: Sequence[ClassPair]) -> Table:
    lines = [
        Line(
            name=" / ".join(pair.names),
            cells=[number(pair.generated), number(pair.real) or "no labels", share(pair.kept)],
        )
        for pair in pairs
    ]
    return Table(
        title="Classes",
        about="Area under the ROC curve with which the lens encoder tells two classes apart, on "
        "generated images by the class asked for, and on real images by their true class. Kept: "
        "how much of the difference from 0.5 is there.",
        headings=("classes", "generated", "real", "kept"),
        lines=lines,
    )


def _requested(requested: Sequence[Requested]) -> Table:
    lines = [
        Line(
            name=each.title,
            cells=[
                f"{each.num:,}",
                plus_minus(each.bias, each.scatter),
                plus_minus(each.encoder_bias, each.encoder_scatter) or "not known",
            ],
        )
        for each in requested
    ]
    return Table(
        title="Parameters",
        about="What the lens encoder measures on generated images, less what was asked for: mean "
        "and standard deviation. The encoder's own errors, on real images of known truth, are the "
        "least that can be expected.",
        headings=("parameter", "images", "generated", "encoder itself"),
        lines=lines,
    )
