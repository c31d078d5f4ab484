"""An evaluation as JSON, and as a table for a terminal."""

import json
import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from gravlensdiffusion.evaluation.comparison import Row
from gravlensdiffusion.evaluation.faults import FAR, stands_out
from gravlensdiffusion.evaluation.formats import (
    cells_of,
    number,
    placement_cells,
    plus_minus,
    share,
)
from gravlensdiffusion.evaluation.labels import group_title, label
from gravlensdiffusion.evaluation.result import Evaluation
from gravlensdiffusion.evaluation.verdict import headline, verdict

SCHEMA_VERSION = 1
"""Version of the layout of ``report.json``."""
WIDTH = 120
"""Columns of the table."""
MIN_TEXT = 24
"""Columns that texts have at least."""
NOTE_INDENT = " " * 6
HEADINGS = (
    "",
    "metric",
    "value",
    "floor",
    "ratio or z",
    "corrected",
    "shift",
    "p",
    "equivalent",
)
MAX_PLACED = 5
"""Real images that are told one by one, at most."""
CLASS_HEADINGS = ("classes", "generated", "real", "kept")
REQUESTED_HEADINGS = ("parameter", "images", "bias ± scatter", "the encoder's own")


def to_dict(evaluation: Evaluation) -> dict[str, Any]:
    """Return an evaluation as what JSON can hold; a number that is not finite becomes None."""
    return {
        "schema_version": SCHEMA_VERSION,
        "facts": _plain(evaluation.facts),
        "notes": list(evaluation.notes),
        "rows": [_plain(asdict(row)) for row in evaluation.rows],
        "class_pairs": [_plain(asdict(pair)) for pair in evaluation.class_pairs],
        "requested": [_plain(asdict(each)) for each in evaluation.requested],
        "closest_pairs": [
            {"space": near.space, "distances": _plain(near.distances)}
            for near in evaluation.neighbours
        ],
        "placements": [_plain(asdict(each)) for each in evaluation.placements],
    }


def write_json(evaluation: Evaluation, path: Path) -> None:
    """Write an evaluation as JSON; the same evaluation gives the same bytes."""
    text = json.dumps(to_dict(evaluation), indent=2, ensure_ascii=False, allow_nan=False)
    # A name of a file need not be text; its odd bytes become question marks.
    path.write_text(text + "\n", encoding="utf-8", errors="replace")


def table(evaluation: Evaluation, width: int = WIDTH) -> str:
    """Return an evaluation as plain text.

    Args:
        evaluation: The evaluation.
        width: Columns to fill at most, where numbers leave room for that.
    """
    parts = [
        _wrapped(headline(evaluation), width),
        _rows(evaluation.rows, width) if evaluation.rows else [],
        _placements(evaluation),
        _class_pairs(evaluation),
        _requested(evaluation),
        ["In short", *_listed(verdict(evaluation), width)],
        ["Notes", *_listed(evaluation.notes, width)] if evaluation.notes else [],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)


def _rows(rows: Sequence[Row], width: int) -> list[str]:
    """Return the lines of the table."""
    grid = [[*HEADINGS]]
    for row in rows:
        cells = cells_of(row)
        mark = "*" if stands_out(row) else ""
        grid.append([mark, label(row.name), cells.value, cells.floor, cells.ratio or cells.z])
        grid[-1] += [cells.corrected, cells.shift, cells.p_value, cells.equivalent]
    numbers = [line for line, row in zip(grid[1:], rows, strict=True) if row.value is not None]
    columns = zip(*(line[:-1] for line in (grid[0], *numbers)), strict=True)
    widths = [max(map(len, column)) for column in columns]
    widths[:2] = [1, max(len(line[1]) for line in grid)]
    room = max(MIN_TEXT, width - sum(widths) - 2 * len(widths) + 1)
    found = list(_aligned(grid[0], widths, room))
    lines = iter(grid[1:])
    for group, members in groupby(rows, key=lambda row: row.group):
        found += ["", group_title(group)]
        for row in members:
            line = next(lines)
            if row.value is None:
                found += _empty(row, widths, width)
                continue
            found += _aligned(line, widths, room)
            found += textwrap.wrap(
                row.note, width, initial_indent=NOTE_INDENT, subsequent_indent=NOTE_INDENT
            )
    if any(line[0] for line in grid):
        found += ["", f"* more than {FAR:g} spreads of the floor away from it, or memorised"]
    return found


def _aligned(line: Sequence[str], widths: Sequence[int], room: int) -> Iterator[str]:
    """Yield a line of the table, its last text wrapped within its own column."""
    *cells, text = line
    texts = [f"{cells[0]:{widths[0]}} {cells[1]:{widths[1]}}"]
    texts += [f"{cell:>{size}}" for cell, size in zip(cells[2:], widths[2:], strict=True)]
    start = "  ".join(texts)
    first, *more = textwrap.wrap(text, room) or [""]
    yield f"{start}  {first}".rstrip()
    for each in more:
        yield " " * (len(start) + 2) + each


def _empty(row: Row, widths: Sequence[int], width: int) -> list[str]:
    """Return the lines of a row without a value: its name, and why."""
    start = f"{'':{widths[0]}} {label(row.name):{widths[1]}}  "
    wrapped = textwrap.wrap(row.note or "not computed", max(MIN_TEXT, width - len(start)))
    return [(start if k == 0 else " " * len(start)) + text for k, text in enumerate(wrapped)]


def _placements(evaluation: Evaluation) -> list[str]:
    headings, *grid = placement_cells(evaluation.placements, MAX_PLACED)
    title = "Each real image, and the per cent of the generated images with a smaller value"
    return _small_table(title, headings, grid)


def _class_pairs(evaluation: Evaluation) -> list[str]:
    grid = [
        [" / ".join(pair.names), number(pair.generated), number(pair.real), share(pair.kept)]
        for pair in evaluation.class_pairs
    ]
    return _small_table("Classes told apart by the encoder (AUC)", CLASS_HEADINGS, grid)


def _requested(evaluation: Evaluation) -> list[str]:
    grid = [
        [
            label(each.name),
            f"{each.num:,}",
            plus_minus(each.bias, each.scatter),
            plus_minus(each.encoder_bias, each.encoder_scatter),
        ]
        for each in evaluation.requested
    ]
    return _small_table("Measured less requested", REQUESTED_HEADINGS, grid)


def _small_table(title: str, headings: Sequence[str], grid: Sequence[Sequence[str]]) -> list[str]:
    if not grid:
        return []
    widths = [max(map(len, column)) for column in zip(headings, *grid, strict=True)]
    lines = [title]
    for line in (headings, *grid):
        first = f"{line[0]:{widths[0]}}"
        others = (f"{cell:>{size}}" for cell, size in zip(line[1:], widths[1:], strict=True))
        lines.append("  " + "  ".join([first, *others]))
    return lines


def _listed(sentences: Sequence[str], width: int) -> list[str]:
    lines: list[str] = []
    for sentence in sentences:
        lines += textwrap.wrap(sentence, width, initial_indent="- ", subsequent_indent="  ")
    return lines


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width)


def _plain(value: Any) -> Any:
    """Return a value as JSON knows it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)
