"""Noticing that files have changed."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

MOST = 1000
"""Files that are looked at, evenly spread where there are more: a look at each takes its time on a
file server."""


def identity(path: Path) -> tuple[int, int, int]:
    """Return what changes with a file: size, time of the last change and inode; zeros for no file."""
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_size, found.st_mtime_ns, found.st_ino)


class FileWatch:
    """Files as they were when the watch began.

    Args:
        files: The files.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        places = np.linspace(0, len(files) - 1, min(len(files), MOST)).astype(int)
        self._seen = {files[k]: identity(files[k]) for k in places}

    def changed(self) -> Path | None:
        """Return a file that has changed or gone, or None."""
        for path, seen in self._seen.items():
            if identity(path) != seen:
                return path
        return None
