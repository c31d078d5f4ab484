"""Tables for a terminal."""

import textwrap
from collections.abc import Iterator, Sequence

from gravlensdiffusion.reports.document import Line, Table

WIDTH = 120
"""Columns of a terminal to fill, at most."""
MIN_TEXT = 24
"""Columns that texts have at least."""
NOTE_INDENT = " " * 6


def table_lines(table: Table, width: int = WIDTH) -> list[str]:
    """Return the lines of a table, those that stand out with a star before them.

    Args:
        table: The table; without lines there are none.
        width: Columns to fill at most, where numbers leave room for that.
    """
    lines = [line for group in table.groups for line in group.lines]
    if not lines:
        return []
    numbers = [line.cells for line in lines if line.cells]
    grid = [table.headings[1:], *numbers]
    widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
    first = max(len(name) for name in (table.headings[0], *(line.name for line in lines)))
    if table.ends_in_text:
        widths[-1] = max(MIN_TEXT, width - first - sum(widths[:-1]) - 2 * len(widths) - 2)
    title = f"{table.title}: {table.about}" if table.about else table.title
    found = textwrap.wrap(title, width)
    heading = Line(name=table.headings[0], cells=table.headings[1:])
    found += _aligned(heading, first, widths, ends_in_text=table.ends_in_text)
    for group in table.groups:
        if group.title:
            found += ["", f"{group.title}: {group.about}" if group.about else group.title]
        for line in group.lines:
            if not line.cells:
                found += _unknown(line, first, width)
                continue
            found += _aligned(line, first, widths, ends_in_text=table.ends_in_text)
            found += textwrap.wrap(
                line.note, width, initial_indent=NOTE_INDENT, subsequent_indent=NOTE_INDENT
            )
    return found


def _aligned(line: Line, first: int, widths: Sequence[int], *, ends_in_text: bool) -> Iterator[str]:
    """Yield a line of a table, its last text wrapped within its own column."""
    numbers = line.cells[:-1] if ends_in_text else line.cells
    text = textwrap.wrap(line.cells[-1], widths[-1]) if ends_in_text else []
    cells = [f"{cell:>{size}}" for cell, size in zip(numbers, widths, strict=not ends_in_text)]
    start = "  ".join([f"{'*' if line.mark else '':1} {line.name:{first}}", *cells])
    yield f"{start}  {text[0] if text else ''}".rstrip()
    for each in text[1:]:
        yield " " * (len(start) + 2) + each


def _unknown(line: Line, first: int, width: int) -> Iterator[str]:
    """Yield the lines of what has no numbers: its name, and why."""
    start = f"  {line.name:{first}}  "
    for k, text in enumerate(textwrap.wrap(line.note, max(MIN_TEXT, width - len(start)))):
        yield (start if k == 0 else " " * len(start)) + text
