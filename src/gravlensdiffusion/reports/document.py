"""A report as a document: what it holds, and how it becomes HTML, JSON and text.

The page is one file that needs nothing else: no scripts, no network. How it looks is in `templates`.
"""

import base64
import json
import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.files import whole_file
from gravlensdiffusion.reports.charts import GENERATED, REAL
from gravlensdiffusion.reports.mosaics import grid_picture, picture_png, spared
from gravlensdiffusion.reports.numbers import typeset

WIDTH = 120
"""Columns of a terminal to fill, at most, where numbers leave room for that."""
MIN_TEXT = 24
"""Columns of a terminal that texts have at least."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A line of a table."""

    name: str  # what it is of
    cells: Sequence[str] = ()  # its texts, one for each further column; none where nothing is known
    mark: str = ""  # why it stands out, in a word or two
    note: str = ""  # what stands below it, or in place of its cells
    # Whether it is the heading of the lines that follow, its note beside it.
    is_heading: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table, whose first column is text and whose others are numbers."""

    headings: Sequence[str]  # of all columns
    lines: Sequence[Line]  # its lines
    title: str = ""  # what stands above it, or empty
    about: str = ""  # what it shows, or empty
    ends_in_text: bool = False  # whether the last column is text, too
    # Whether it takes the width of the page, and on a narrow one a card per line.
    is_wide: bool = False
    kind: ClassVar[str] = "table"


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A picture and its words."""

    png: bytes  # the file
    alt: str  # what it shows, for those who do not see it
    heading: str = ""  # what stands above it, or empty
    caption: str = ""  # what stands below it, or empty
    hint: str = ""  # shown where a mouse rests on it, or empty
    is_photo: bool = False  # whether it shows images, and not a chart
    kind: ClassVar[str] = "figure"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height [pixel], which keep the page from jumping while it loads."""
        width, height = (int.from_bytes(self.png[k : k + 4], "big") for k in (16, 20))
        return width, height

    @property
    def data(self) -> str:
        """The file as text."""
        return base64.b64encode(self.png).decode("ascii")

    @classmethod
    def photo(
        cls,
        images: NDArray[np.floating],
        alt: str,
        *,
        heading: str = "",
        caption: str = "",
        hint: str = "",
        **how: Any,
    ) -> Self:
        """Return images side by side as a figure, small ones enlarged until they have 100 pixels.

        The arguments are those of `grid_picture`, and the words of the figure.
        """
        png = picture_png(grid_picture(images, min_side=100, **how))
        return cls(png=png, alt=alt, heading=heading, caption=caption, hint=hint, is_photo=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Beside:
    """Figures, or a figure and tables, side by side."""

    # What stands beside each other; a sequence stands below each other.
    blocks: Sequence["Figure | Sequence[Table]"]
    # `columns` for two, `small` for many charts, `pairs` for many images.
    layout: Literal["columns", "small", "pairs"] = "columns"
    title: str = ""  # what stands above them, or empty
    has_key: bool = False  # whether it is said how the two sets are drawn
    kind: ClassVar[str] = "beside"


@dataclass(frozen=True, slots=True)
class Guess:
    """Figures of several kinds, of which the reader says the kind before it is told."""

    kinds: Sequence[str]  # what they may be
    figures: Sequence[tuple[Figure, str]]  # each figure and its kind; the figure says nothing of it
    kind: ClassVar[str] = "guess"


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page, which is left out where none of its blocks holds anything."""

    anchor: str  # what links to it name
    heading: str  # its heading
    text: str  # what it shows, or empty
    blocks: Sequence[Table | Beside | Guess]  # what it holds


def to_html(
    kind: str,
    title: str,
    *,
    lead: str,
    verdict: Sequence[str],
    notes: Sequence[str],
    sections: Sequence[Section],
    words: Mapping[str, str] | None = None,
    facts: Mapping[str, Any] | None = None,
    about_facts: str = "",
) -> bytes:
    """Return a report as a page; the same report gives the same bytes.

    Args:
        kind: What it is, for the title of its window.
        title: Its heading.
        lead: What was done, in one sentence.
        verdict: What was found, one sentence each.
        notes: What a reader should know, one sentence each.
        sections: What follows.
        words: Terms and what they mean, in a section of their own.
        facts: All that the numbers depend on, likewise; nested ones by names joined by dots.
        about_facts: What stands above them.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    # Names in a report come from the files of strangers: all is escaped.
    environment = Environment(
        loader=PackageLoader("gravlensdiffusion.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["typeset"] = typeset
    # Nothing is loaded and nothing runs, whatever the names of files and classes contain.
    page = environment.get_template("report.html").render(
        kind=kind,
        title=title,
        lead=lead,
        verdict=verdict,
        notes=notes,
        sections=[section for section in sections if any(map(_holds, section.blocks))],
        words=words,
        facts=list(_flattened(facts or {})),
        about_facts=about_facts,
        generated=GENERATED,
        real=REAL,
    )
    return _encoded(page + "\n")


def _holds(block: Table | Beside | Guess) -> bool:
    """Return whether a block holds anything."""
    if isinstance(block, Table):
        return len(block.lines) > 0
    return len(block.blocks if isinstance(block, Beside) else block.figures) > 0


def _flattened(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield names and texts of facts."""
    for key, value in facts.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _fact(value)


def _fact(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(_fact, value)) or "none"
    return str(value)


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


def to_json(facts: Mapping[str, Any]) -> bytes:
    """Return the bytes of a JSON file; the same facts give the same bytes."""
    text = json.dumps(_plain(facts), indent=2, ensure_ascii=False, allow_nan=False)
    return _encoded(text + "\n")


def _encoded(text: str) -> bytes:
    """Return a text as the bytes of a file."""
    # A name of a file need not be text; its odd bytes become question marks.
    return text.encode("utf-8", errors="replace")


def _plain(value: Any) -> Any:
    """Return a value as JSON knows it; a number that is not finite becomes None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def write_page(
    path: Path, draw: Callable[[], bytes], tell: Callable[[str], object], *, overwrite: bool
) -> bool:
    """Write the page of a report, and return whether it is there.

    Args:
        path: The file.
        draw: Returns the page; what it cannot draw costs the page alone.
        tell: Where to say that it could not be drawn.
        overwrite: Whether an older page is removed, which was drawn of other numbers.

    Raises:
        GravLensError: If it exists or cannot be written.
    """
    if overwrite:
        path.unlink(missing_ok=True)
    with spared(path.name, tell), whole_file(path, overwrite=False) as page:
        page.write_bytes(draw())
    return path.exists()
