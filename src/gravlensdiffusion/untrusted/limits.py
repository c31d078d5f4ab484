"""How much a file may ask for: what it declares is held against what it holds."""

import os
from contextlib import suppress
from pathlib import Path

from gravlensdiffusion.errors import BadImageError

MAX_UNPACKING = 100
"""Bytes that one byte of a compressed file may stand for; images compress by far less."""
SMALL_BYTES = 2**26
"""What any file may unpack to, however small it is."""

MAX_PIECES = 1000
"""Pieces between the holes of a file that are counted; one with more is taken as whole."""


def check_unpacked(declared: int, held: int) -> None:
    """Refuse data that would unpack to far more than the file holds.

    Args:
        declared: What the data would take in memory [bytes].
        held: What they take in the file [bytes].

    Raises:
        BadImageError: If they do.
    """
    if declared > SMALL_BYTES + MAX_UNPACKING * held:
        raise BadImageError(
            f"declares {declared} bytes of data, of which it holds {held}: more than the limit of "
            f"{MAX_UNPACKING} times as much"
        )


def held_bytes(path: Path) -> int:
    """Return the size of a file without its holes, where the system tells [bytes].

    The number of blocks would not do: some file systems count those of a new file seconds later.
    """
    size = path.stat().st_size
    if not hasattr(os, "SEEK_DATA"):
        return size
    held = start = 0
    with path.open("rb", buffering=0) as stream, suppress(OSError):  # no more data
        for _ in range(MAX_PIECES):
            start = os.lseek(stream.fileno(), start, os.SEEK_DATA)
            end = os.lseek(stream.fileno(), start, os.SEEK_HOLE)
            held, start = held + end - start, end
        return size
    return held
