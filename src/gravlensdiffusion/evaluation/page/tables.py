"""The sections of a report that hold tables and words."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from gravlensdiffusion.evaluation.comparison import Row
from gravlensdiffusion.evaluation.faults import stands_out
from gravlensdiffusion.evaluation.formats import (
    cells_of,
    number,
    placement_cells,
    plus_minus,
    share,
)
from gravlensdiffusion.evaluation.fulfilment import ClassPair, Requested
from gravlensdiffusion.evaluation.labels import GROUPS, label
from gravlensdiffusion.evaluation.page.words import WORDS
from gravlensdiffusion.evaluation.result import Evaluation
from gravlensdiffusion.reports.page.document import Section
from gravlensdiffusion.reports.page.markup import Markup, element, joined
from gravlensdiffusion.reports.page.tables import fact_table, small_table, typeset, word_list

ABOVE, BELOW = "\N{BLACK UP-POINTING TRIANGLE}", "\N{BLACK DOWN-POINTING TRIANGLE}"

COLUMNS = ("value", "floor", "ratio", "z", "corrected", "shift", "p")


MAX_PLACED = 12
"""Real images that are told one by one, at most."""


def placed(evaluation: Evaluation) -> Section | None:
    """Return each of a handful of real images among the generated ones."""
    headings, *grid = placement_cells(evaluation.placements, MAX_PLACED)
    if not grid:
        return None
    text = (
        "Each real image in the order of its set, and in brackets the share of the generated images "
        "with a smaller value. Near 0% or 100%, the generated images hardly reach it."
    )
    table = small_table(headings, [tuple(line) for line in grid])
    return Section("placed", "Real images, one by one", joined(element("p", text), table))


def metrics_table(rows: Sequence[Row]) -> Section | None:
    """Return the table of all rows, if there are any."""
    if not rows:
        return None
    headings = [element("th", "metric", scope="col", role="columnheader")]
    headings += [element("th", each, scope="col", role="columnheader") for each in COLUMNS]
    headings.append(element("th", "equivalent", scope="col", class_="text", role="columnheader"))
    body = []
    for group, members in groupby(rows, key=lambda row: row.group):
        about = f" {GROUPS[group]}" if group in GROUPS else ""
        title = element(
            "th",
            group,
            element("span", about),
            colspan=str(len(headings)),
            scope="rowgroup",
            role="rowheader",
        )
        body.append(element("tr", title, class_="group", role="row"))
        body += [line for row in members for line in table_lines(row)]
    table = element(
        "table",
        element("thead", element("tr", *headings, role="row"), role="rowgroup"),
        element("tbody", *body, role="rowgroup"),
        class_="stacked",
        role="table",
    )
    about = (
        "Rows with a bar and a triangle differ from the reference by more than its images differ "
        "among themselves. Real stands for the reference, whatever it is of."
    )
    return Section("table", "Table", joined(element("p", about), table))


def table_lines(row: Row) -> Iterator[Markup]:
    """Yield one line of the table and, where there is one, the note below it."""
    far = stands_out(row)
    name = element(
        "th",
        label(row.name),
        *([" ", element("span", mark_of(row), class_="mark")] if far else []),
        scope="row",
        role="rowheader",
    )
    kind = "far" if far else "plain"
    span = str(len(COLUMNS) + 1)
    if row.value is None:
        why = element("td", row.note or "not computed", class_="text", colspan=span, role="cell")
        yield element("tr", name, why, class_=kind, role="row")
        return
    cells = cells_of(row)
    value = plus_minus(row.value, row.value_spread) if row.value_spread else cells.value
    numbers = [
        element("td", typeset(text), class_=f"number {column}", data_label=column, role="cell")
        for column, text in zip(COLUMNS, (value, *cells[1:-1]), strict=True)
    ]
    equivalent = element("td", cells.equivalent, class_="text", role="cell")
    kind += " noted" if row.note else ""
    yield element("tr", name, *numbers, equivalent, class_=kind, role="row")
    if row.note:
        blank = element("td", role="cell")
        note = element("td", row.note, class_="text", colspan=span, role="cell")
        yield element("tr", blank, note, class_=f"note {kind.split()[0]}", role="row")


def mark_of(row: Row) -> str:
    """Return what marks a row that stands out: a triangle and a word, for those without colours."""
    if row.is_memorised:
        return f"{ABOVE} memorised"
    below = row.z is not None and row.z < 0
    return f"{BELOW} below floor" if below else f"{ABOVE} above floor"


def conditioning(evaluation: Evaluation) -> Section | None:
    """Return how far the images are what was asked for, if anything was."""
    parts = [*_classes(evaluation.class_pairs), *_parameters(evaluation.requested)]
    return Section("conditioning", "Asked for and measured", joined(*parts)) if parts else None


def _classes(pairs: Sequence[ClassPair]) -> Iterator[Markup]:
    if not pairs:
        return
    yield element("h3", "Classes")
    yield element(
        "p",
        "Area under the ROC curve with which the lens encoder tells two classes apart, on "
        "generated images by the class asked for, and on real images by their true class. Kept: "
        "how much of the difference from 0.5 is there.",
    )
    grid = [
        (
            " / ".join(pair.names),
            number(pair.generated),
            number(pair.real) or "no labels",
            share(pair.kept),
        )
        for pair in pairs
    ]
    yield small_table(("classes", "generated", "real", "kept"), grid)


def _parameters(requested: Sequence[Requested]) -> Iterator[Markup]:
    if not requested:
        return
    yield element("h3", "Parameters")
    yield element(
        "p",
        "What the lens encoder measures on generated images, less what was asked for: mean and "
        "standard deviation. The encoder's own errors, on real images of known truth, are the "
        "least that can be expected.",
    )
    grid = [
        (
            label(each.name),
            f"{each.num:,}",
            plus_minus(each.bias, each.scatter),
            plus_minus(each.encoder_bias, each.encoder_scatter) or "not known",
        )
        for each in requested
    ]
    headings = ("parameter", "images", "generated", "encoder itself")
    yield small_table(headings, grid)


def reading() -> Section:
    """Return what the terms of a report mean."""
    return Section("reading", "How to read this", word_list(WORDS))


def protocol(evaluation: Evaluation) -> Section:
    """Return every fact of how the evaluation was done."""
    text = (
        "All that the numbers depend on. A distance means nothing without the encoder, named by "
        "the digest of its weights, and without the digests of the sets."
    )
    content = joined(element("p", text), fact_table(evaluation.facts))
    return Section("protocol", "Protocol", content)
