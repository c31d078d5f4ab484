"""The folder beside the output in which an unfinished balance waits to go on."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from gravlensdiffusion.balance.drawing import Batch
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.files import LOCK, held, refuse_existing
from gravlensdiffusion.sets.records import LensRecord, SetHeader
from gravlensdiffusion.store.reader import LensStore, write_store

REQUEST = "request.json"
WHOLE = "whole.h5"
SUFFIXES = (".h5", ".hdf5")


def check_out(out: Path, *, overwrite: bool) -> None:
    """Refuse a path that cannot become the balanced set, before anything is drawn.

    Raises:
        GravLensError: If the suffix is no HDF5 suffix, or something is there already.
    """
    if out.suffix not in SUFFIXES:
        raise GravLensError(f"{out}: the file's name must end in {' or '.join(SUFFIXES)}")
    if out.exists():
        _clear_finished(work_folder(out))
    refuse_existing(out, overwrite=overwrite)


def _clear_finished(folder: Path) -> None:
    """Remove what is left of a balance that was killed when its file had just got its name."""
    if folder.is_dir() and {path.name for path in folder.iterdir()} <= {REQUEST, LOCK}:
        with suppress(GravLensError), held(folder):
            (folder / REQUEST).unlink(missing_ok=True)


def work_folder(out: Path) -> Path:
    """Return the folder beside an output in which it is made."""
    return out.with_name(f"{out.name}.partial")


@contextmanager
def held_work(out: Path, *, writes: bool = True) -> Iterator[None]:
    """Hold ``OUT.partial`` for this process, and remove it where nothing stays in it.

    Args:
        out: The output.
        writes: Whether the folder is made where there is none.

    Raises:
        GravLensError: If another process works there, or the folder is somebody else's.
    """
    folder = work_folder(out)
    if folder.exists() and not (folder / REQUEST).is_file():
        is_empty = folder.is_dir() and all(path.name.startswith(".") for path in folder.iterdir())
        if not is_empty:
            raise GravLensError(f"{folder}: is no unfinished balance; move it away")
    with held(folder) if writes or (folder / LOCK).is_file() else nullcontext():
        yield


def other_request(folder: Path, request: Mapping[str, Any], *, overwrite: bool) -> str:
    """Say that a folder holds the work of another request; an empty text where it does not.

    Args:
        folder: ``OUT.partial``.
        request: All that the balanced set depends on.
        overwrite: Whether such work may be thrown away.

    Raises:
        GravLensError: If it holds such work, which may not, or what it holds cannot be known.
    """
    path = folder / REQUEST
    if not path.is_file():
        return ""
    try:
        old = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        old = None
    if not isinstance(old, dict):
        raise GravLensError(f"{path}: damaged; move {folder} away")
    # As it comes back from the file.
    wanted = json.loads(json.dumps(request))
    keys = [key for key in {**wanted, **old} if wanted.get(key) != old.get(key)]
    if not keys:
        return ""
    what = f"{folder}: holds an unfinished balance of another {', '.join(keys)}"
    if not overwrite:
        raise GravLensError(
            f"{what}; give what it was given, or --overwrite to start anew, or choose another --out"
        )
    return what


class WorkFolder:
    """``OUT.partial``: what was asked for, and the batches that are drawn.

    Every file in it appears under its name only once it is whole. Whoever works in it holds it; see
    `held_work`.

    Args:
        out: The output.
        request: All that the balanced set depends on.
        overwrite: Whether the work of another request may be thrown away.
        tell: Where to say so, and that earlier work is gone on with.

    Raises:
        GravLensError: If the folder holds the work of another request.
    """

    def __init__(
        self,
        out: Path,
        request: Mapping[str, Any],
        *,
        overwrite: bool,
        tell: Callable[[str], object],
    ) -> None:
        self.out = out
        self.folder = work_folder(out)
        what = other_request(self.folder, request, overwrite=overwrite)
        if what:
            tell(f"{what}: starting anew")
            self.clear()
        for left in self.folder.glob(".*.partial*"):
            left.unlink(missing_ok=True)
        path = self.folder / REQUEST
        if path.exists():
            tell(f"going on with what lies in {self.folder}")
        else:
            temporary = path.with_name(f".{REQUEST}.partial")
            temporary.write_text(json.dumps(request, indent=2), encoding="utf-8")
            temporary.replace(path)

    @property
    def whole(self) -> Path:
        """The balanced set, when it is whole but has not got its name."""
        return self.folder / WHOLE

    def part(self, number: int) -> Path:
        """The file of a batch."""
        return self.folder / f"part-{number:06d}.h5"

    def has(self, number: int, batch: Batch) -> bool:
        """Whether a batch is there to be used; a damaged file is as good as none."""
        path = self.part(number)
        if not path.exists():
            return False
        try:
            with LensStore(path) as store:
                store.read(slice(None))
                return store.labels.tolist() == [batch.label] * batch.num
        except GravLensError:
            return False

    def keep(
        self, number: int, batch: Batch, records: Iterable[LensRecord], header: SetHeader
    ) -> None:
        """Write a batch."""
        write_store(self.part(number), records, header, num=batch.num, overwrite=True)

    def finish(self, *, overwrite: bool) -> None:
        """Give the balanced set its name and remove what it was made of.

        Raises:
            GravLensError: If another file has come to stand there.
        """
        for part in self.folder.glob("part-*.h5"):
            part.unlink()
        refuse_existing(self.out, overwrite=overwrite)
        self.whole.replace(self.out)
        self.clear()

    def clear(self) -> None:
        """Remove what a balance has written, and nothing else."""
        own = [*self.folder.glob(".*.partial*"), *self.folder.glob("part-*.h5"), self.whole]
        for path in (*own, self.folder / REQUEST):
            path.unlink(missing_ok=True)
