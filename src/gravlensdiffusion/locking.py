"""One process at a time in a folder."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from gravlensdiffusion.errors import GravLensError

LOCK = ".lock"
"""The file by which a folder is held; it says nothing and may stay when nobody works there."""

_NO_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS})


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a folder for this process while the block runs.

    The system lets go of the lock when the process ends, however it ends, so a process that was
    killed leaves nothing locked. A file system that knows no locks is no fault, and holds nothing.

    Args:
        folder: Made where there is none, and removed where nothing was put into it.

    Raises:
        GravLensError: If another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise GravLensError(
            f"{folder}: another process is working there; wait for it, or choose another --out"
        ) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    try:
        yield
    finally:
        if folder.is_dir() and all(path.name == LOCK for path in folder.iterdir()):
            shutil.rmtree(folder, ignore_errors=True)
        lock.release()
