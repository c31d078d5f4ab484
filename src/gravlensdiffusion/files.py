"""Files: whole or not there at all, held by one process at a time, and watched for changes."""

import errno
import os
import platform
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile

from gravlensdiffusion.errors import GravLensError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Errors of a disk, or of a share of it, that is full."""


@contextmanager
def whole_file(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` when the block ends well.

    The temporary name begins with a dot and has the suffix of ``path``. What processes of this
    machine that were killed have left for the same ``path`` is removed.

    Args:
        path: The final name. Missing parent folders are made.
        overwrite: Whether an existing file may be replaced.

    Raises:
        GravLensError: If ``path`` exists and may not be replaced, or cannot be written.
    """
    refuse_existing(path, overwrite=overwrite)
    temporary = temporary_name(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_leftovers(path)
        yield temporary
        refuse_existing(path, overwrite=overwrite)
        temporary.replace(path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_atomically(path: Path, text: str) -> None:
    """Write a text file, in the place of another of that name; see `whole_file`."""
    with whole_file(path, overwrite=True) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def whole_folder(
    folder: Path, check: Callable[[], object], replaced: Iterable[str] = ()
) -> Iterator[Path]:
    """Yield a temporary folder whose entries move to ``folder`` when the block ends well.

    A folder that does not exist appears with all of them at once. In one that does, each gets its
    name by itself, within a moment.

    Args:
        folder: Where the entries are to go.
        check: Refuses what stands in the way there; called again before anything is moved.
        replaced: Names of entries there that what is written replaces: those that it has no
            successor for are removed, once it is all there.

    Raises:
        GravLensError: If something is in the way, or cannot be written.
    """
    check()
    is_new = not folder.exists()
    temporary = temporary_name(folder if is_new else folder / "all")
    try:
        temporary.parent.mkdir(parents=True, exist_ok=True)
        _clear_leftovers(folder if is_new else folder / "all")
        temporary.mkdir()
        yield temporary
        check()
        if is_new and not folder.exists():
            temporary.rename(folder)
        else:
            entries = sorted(temporary.iterdir())
            for entry in entries:
                target = folder / entry.name
                _replace(entry, target, temporary / f"old-{entry.name}")
            for name in set(replaced) - {entry.name for entry in entries}:
                if (folder / name).exists():
                    (folder / name).rename(temporary / name)
    except OSError as error:
        raise unwritable(folder, error) from error
    except GravLensError as error:
        if isinstance(error.__cause__, OSError):
            # It would name the temporary folder.
            raise unwritable(folder, error.__cause__) from error
        if str(temporary) not in str(error):
            raise
        raise GravLensError(str(error).replace(str(temporary), str(folder))) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _replace(entry: Path, target: Path, old: Path) -> None:
    """Move an entry to its name; a folder of that name makes way first, and comes back if that fails."""
    try:
        if target.is_dir():
            target.rename(old)
        entry.replace(target)
    except BaseException:
        if old.exists() and not target.exists():
            old.rename(target)
        raise


def temporary_name(path: Path) -> Path:
    """Return the name under which this process writes what is to become ``path``."""
    return path.with_name(f".{path.stem}.{_host()}.{os.getpid()}.partial{path.suffix}")


def _clear_leftovers(path: Path) -> None:
    """Remove what was to become ``path`` in processes of this machine that live no more."""
    import psutil  # which `gravlens --help` spares

    name = (
        f"{re.escape(f'.{path.stem}.{_host()}.')}(\\d{{1,9}}){re.escape(f'.partial{path.suffix}')}"
    )
    for left in path.parent.iterdir() if path.parent.is_dir() else ():
        found = re.fullmatch(name, left.name)
        if found is None or psutil.pid_exists(int(found[1])):
            continue
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        else:
            left.unlink(missing_ok=True)


def unwritable(path: Path, error: OSError) -> GravLensError:
    """Return what is said of a path that could not be written, and what to do about it."""
    advice = "; make room there and run the same command again" if error.errno in FULL else ""
    return GravLensError(f"{path}: cannot be written: {error.strerror or error}{advice}")


def check_writable(path: Path) -> None:
    """Refuse a path that nothing can be written to, before work is spent on what belongs there.

    Args:
        path: A file or a folder; neither it nor its parents need exist.

    Raises:
        GravLensError: If its folder, or the one that is to hold that, takes no files.
    """
    try:
        folder = path if path.is_dir() else path.parent
        while not folder.exists():
            folder = folder.parent
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise unwritable(path, error) from error


def told_apart(paths: Iterable[str | os.PathLike[str]]) -> list[str]:
    """Return what to call files or folders in one message: their names, with as much before them as tells them apart.

    Args:
        paths: The paths; one that comes twice has one name.
    """
    parts = [Path(os.path.abspath(path)).parts for path in paths]  # noqa: PTH100 - links keep their names
    names = []
    for own in parts:
        others = [other for other in parts if other != own]
        num = next((n for n in range(1, len(own)) if all(own[-n:] != o[-n:] for o in others)), 0)
        names.append(str(Path(*own[-num:])))
    return names


def check_regular(path: Path) -> None:
    """Refuse what is neither a file nor a folder: a pipe or a device may never end."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise GravLensError(f"{path}: is no regular file")


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Refuse a path that exists; with `overwrite`, a folder alone."""
    if path.is_dir():
        raise GravLensError(f"{path}: is a folder, cannot be written as a file")
    if not overwrite and (path.exists() or path.is_symlink()):
        raise GravLensError(f"{path}: exists already; choose another name or use `overwrite`")


def check_apart(out: Path, read: Iterable[str | os.PathLike[str]]) -> None:
    """Refuse to write over files and folders that are read, into such a folder, or over one around them.

    Raises:
        GravLensError: If ``out`` is such a place.
    """
    target = out.resolve()
    for path in map(Path, read):
        own = path.resolve()
        if target == own or target in own.parents or own in target.parents:
            raise GravLensError(f"{out}: is part of what is read, or holds it; name another")


def _host() -> str:
    """Return a name for this machine that is part of a file's name."""
    return re.sub(r"[^A-Za-z0-9-]", "-", platform.node()) or "local"


def check_picture(path: Path, *, overwrite: bool) -> None:
    """Refuse a path that a picture cannot be written to.

    Raises:
        GravLensError: If it exists, or its suffix is not ``.png``.
    """
    if path.suffix.lower() != ".png":
        raise GravLensError(f"{path}: the picture is a PNG, so its name must end in .png")
    refuse_existing(path, overwrite=overwrite)


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
    from filelock import FileLock, Timeout  # a tenth of a second, which `gravlens --help` spares

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise GravLensError(
            f"{folder}: another process is working there; wait for it, or choose another `out`"
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


def identity(path: Path) -> tuple[int, int, int]:
    """Return what changes with a file: size, time of the last change and inode; zeros for no file."""
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_size, found.st_mtime_ns, found.st_ino)


class FileWatch:
    """Files as they were when the watch began; of more than 1000 as many, evenly spread, as each look takes its time."""

    def __init__(self, files: Sequence[Path]) -> None:
        num = min(len(files), 1000)
        shown = [files[k * (len(files) - 1) // max(1, num - 1)] for k in range(num)]
        self._seen = {path: identity(path) for path in shown}

    def changed(self) -> Path | None:
        """Return a file that has changed or gone, or None."""
        for path, seen in self._seen.items():
            if identity(path) != seen:
                return path
        return None
