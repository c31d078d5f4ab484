"""One hostile file, and short ways to describe many."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MARKER = "marker"
"""Name of the file that code inside a hostile file would write, in the folder `MARKER_FOLDER`."""
MARKER_FOLDER = "GRAVLENS_TEST_MARKER_FOLDER"


@dataclass(frozen=True)
class Crafted:
    """A file made with a purpose; the attributes are those of `corpus.Case`."""

    kind: str
    title: str
    way: str
    build: Callable[[Path], Path]


Content = bytes | Callable[[], bytes]
"""What stands in a file, or a function that makes it where that takes long."""


def crafted(kind: str, way: str, name: str, files: dict[str, Content]) -> list[Crafted]:
    """Return one case for each title and content."""
    return [Crafted(kind, title, way, _writer(name, content)) for title, content in files.items()]


def _writer(name: str, content: Content) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        (folder / name).write_bytes(content() if callable(content) else content)
        return folder / name

    return build


class Runs:
    """A pickle of it writes the marker file when it is loaded without care."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch ${MARKER_FOLDER}/{MARKER}",)


def sparse(path: Path, start: bytes, size: int) -> Path:
    """Write a file whose size is mostly a hole."""
    with path.open("wb") as stream:
        stream.write(start)
        stream.truncate(size)
    return path
