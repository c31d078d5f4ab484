"""Classes of image files from a CSV table beside them: a row `file,label` for each."""

import csv
from pathlib import Path

from gravlensdiffusion.errors import BadImageError, listed

MAX_TABLE_BYTES = 2**26
FILE_COLUMNS = ("file", "filename", "file_name", "path", "image", "image_name", "name")
LABEL_COLUMNS = ("label", "labels", "class", "class_name", "target", "y")
"""What the columns are called, in any case; the first that is there counts."""


def _read_label_table(path: Path) -> dict[str, str]:
    """Return the class of each file that a table names; rows without one are left out."""
    if path.stat().st_size > MAX_TABLE_BYTES:
        raise BadImageError(f"is a table of over {MAX_TABLE_BYTES} bytes")
    classes: dict[str, str] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = csv.reader(stream)
            head = [name.strip().lower() for name in next(rows, [])]
            file, label = _column(head, FILE_COLUMNS), _column(head, LABEL_COLUMNS)
            for row in rows:
                if len(row) <= max(file, label) or not row[label].strip():
                    continue
                name, value = row[file].strip(), row[label].strip()
                if classes.setdefault(name, value) != value:
                    raise BadImageError(f"gives {name:.100} two classes")
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadImageError(f"is a damaged table ({error!s:.100})") from error
    return classes


def _column(head: list[str], names: tuple[str, ...]) -> int:
    for name in names:
        if name in head:
            return head.index(name)
    raise BadImageError(
        f"is no image, and no table of classes, of which the first line is 'file,label'; its "
        f"columns are {listed(head) or 'none'}"
    )


def with_classes(
    files: list[tuple[Path, str | None]], table: Path
) -> tuple[list[tuple[Path, str | None]], list[str]]:
    """Return files with the classes of a table beside them, and what the user should know of it.

    A row names a file by its path from the table, its name, or its name without the suffix.

    Args:
        files: Image files, each with the class of its folder or None; the table's counts.
        table: The table.

    Raises:
        BadImageError: If it is no such table, names none of the files, or does not tell two apart.
    """
    classes = _read_label_table(table)
    found: dict[str, Path] = {}
    labelled: list[tuple[Path, str | None]] = []
    for path, _ in files:
        own = (path.relative_to(table.parent).as_posix(), path.name, path.stem)
        name = next((each for each in own if each in classes), None)
        if name is not None and found.setdefault(name, path) != path:
            raise BadImageError(f"names two files {name:.100}: {found[name]} and {path}")
        labelled.append((path, None if name is None else classes[name]))
    if not found:
        raise BadImageError("names none of the images beside it")
    notes = [f"classes of {len(found)} files from {table.name}"]
    missing = [name for name in classes if name not in found]
    if missing:
        notes.append(f"files that {table.name} names and that are not here: {listed(missing)}")
    without = [path.name for path, label in labelled if label is None]
    if without:
        notes.append(f"files that {table.name} gives no class: {listed(without)}")
    return labelled, notes
