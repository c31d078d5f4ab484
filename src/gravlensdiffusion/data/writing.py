"""Files that appear under their final name only once they are whole."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gravlensdiffusion.errors import GravLensError


@contextmanager
def whole_file(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` when the block ends well.

    The temporary name begins with a dot and has the suffix of ``path``.

    Args:
        path: The final name. Missing parent folders are made.
        overwrite: Whether an existing file may be replaced.

    Raises:
        GravLensError: If ``path`` exists and may not be replaced, or cannot be written.
    """
    refuse_existing(path, overwrite=overwrite)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        refuse_existing(path, overwrite=overwrite)
        temporary.replace(path)
    except OSError as error:
        raise GravLensError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Refuse a path that exists.

    Args:
        path: Where something is to be written.
        overwrite: Whether an existing file (never a folder) is allowed.

    Raises:
        GravLensError: If it may not be written.
    """
    if path.is_dir():
        raise GravLensError(f"{path}: is a folder, cannot be written as a file")
    if not overwrite and (path.exists() or path.is_symlink()):
        raise GravLensError(f"{path}: exists already; choose another name or use --overwrite")


def check_picture(path: Path, *, overwrite: bool) -> None:
    """Refuse a path that a picture cannot be written to.

    Args:
        path: Where the picture is to go.
        overwrite: Whether an existing file is allowed.

    Raises:
        GravLensError: If it exists, or its suffix is not ``.png``.
    """
    if path.suffix.lower() != ".png":
        raise GravLensError(f"{path}: the picture is a PNG, so its name must end in .png")
    refuse_existing(path, overwrite=overwrite)
