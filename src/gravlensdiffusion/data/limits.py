"""How much a file may ask for: what it declares is held against what it holds."""

from pathlib import Path

from gravlensdiffusion.data.source import BadImageError

MAX_UNPACKING = 100
"""Bytes that one byte of a compressed file may stand for; images compress by far less."""
SMALL_BYTES = 2**26
"""What any file may unpack to, however small it is."""


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
    """Return the size of a file without its holes, where the system tells [bytes]."""
    status = path.stat()
    # Some network file systems tell of no blocks at all.
    blocks = getattr(status, "st_blocks", 0)
    return min(status.st_size, 512 * blocks) if blocks else status.st_size
