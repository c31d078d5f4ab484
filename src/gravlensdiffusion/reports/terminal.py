"""Tables for a terminal."""

import textwrap
from collections.abc import Iterator, Sequence

from gravlensdiffusion.reports.document import Line, Table

WIDTH = 120
"""Columns of a terminal to fill, at most, where numbers leave room for that."""
MIN_TEXT = 24
"""Columns of a terminal that texts have at least."""


def table_lines(table: Table) -> list[str]:
    """Return the lines of a table for a terminal, those that stand out with a star before them."""
    if not table.lines:
        return []
    grid = [table.headings[1:], *(line.cells for line in table.lines if line.cells)]
    widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
    names = [line.name for line in table.lines if not line.is_heading]
    first = max(map(len, (table.headings[0], *names)))
    if table.ends_in_text:
        widths[-1] = max(MIN_TEXT, WIDTH - first - sum(widths[:-1]) - 2 * len(widths) - 2)
    found = textwrap.wrap(_with_note(table.title, table.about), WIDTH)
    heading = Line(name=table.headings[0], cells=table.headings[1:])
    for line in (heading, *table.lines):
        if line.is_heading:
            found += ["", _with_note(line.name, line.note)]
        elif not line.cells:
            start = f"  {line.name:{first}}  "
            found += _indented(line.note, max(WIDTH, len(start) + MIN_TEXT), start, len(start))
        else:
            found += _aligned(line, first, widths, ends_in_text=table.ends_in_text)
            found += _indented(line.note, WIDTH, " " * 6, 6)
    return found


def _with_note(title: str, note: str) -> str:
    return f"{title}: {note}" if note else title


def _indented(text: str, width: int, start: str, indent: int) -> list[str]:
    return textwrap.wrap(text, width, initial_indent=start, subsequent_indent=" " * indent)


def _aligned(line: Line, first: int, widths: Sequence[int], *, ends_in_text: bool) -> Iterator[str]:
    """Yield a line of a table, its last text wrapped within its own column."""
    numbers = line.cells[:-1] if ends_in_text else line.cells
    text = textwrap.wrap(line.cells[-1], widths[-1]) if ends_in_text else []
    cells = [f"{cell:>{size}}" for cell, size in zip(numbers, widths, strict=not ends_in_text)]
    start = "  ".join([f"{'*' if line.mark else '':1} {line.name:{first}}", *cells])
    yield f"{start}  {text[0] if text else ''}".rstrip()
    for each in text[1:]:
        yield " " * (len(start) + 2) + each
