"""Sets in shards: files made one by one, so that a command that was broken off makes the rest."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from gravlensdiffusion.codec import parse_record
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.naming import is_beside, is_document
from gravlensdiffusion.sets.records import LensRecord, SetHeader
from gravlensdiffusion.store.reader import LensStore, validate_store
from gravlensdiffusion.store.writer import write_store

Identity = Mapping[str, Any]
"""All that the images of a shard depend on, by the names of messages."""


@dataclass(frozen=True, slots=True)
class Shards:
    """The files ``lenses-00000.h5``, ``lenses-00001.h5``, ... of a set.

    Each appears under its name once it is whole, and states what its images depend on.

    Attributes:
        pieces: Numbers of the images in each.
        stem: What stands before the number in their names.
    """

    folder: Path
    pieces: Sequence[range]
    stem: str = "lenses-"

    @classmethod
    def of_size(cls, folder: Path, num: int, size: int) -> Self:
        """Return the shards of a set of ``num`` images; the last one may have fewer than ``size``."""
        if size < 1:
            raise GravLensError(f"`shard_size` must be at least 1, got {size}")
        return cls(folder, [range(num)[low : low + size] for low in range(0, num, size)])

    def __len__(self) -> int:
        return len(self.pieces)

    def path(self, index: int) -> Path:
        """Return the file of a shard."""
        return self.folder / f"{self.stem}{index:05d}.h5"

    def check_folder(self, *, overwrite: bool) -> None:
        """Refuse a folder in which anything else would become part of the set.

        Args:
            overwrite: Whether there may be more shards than the set has.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise GravLensError(f"{self.folder}: is a file, must be a folder for the shards")
        for path in sorted(self.folder.glob("[!.]*")):
            is_shard = self._is_name(path.name) and path.is_file() and not path.is_symlink()
            if not is_shard and not is_document(path.name) and not is_beside(path.name):
                raise GravLensError(
                    f"{self.folder}: holds {path.name}; choose a folder for the shards alone"
                )
        surplus = self._surplus()
        if surplus and not overwrite:
            raise GravLensError(
                f"{surplus[0]}: more shards than asked for ({len(self)}); choose another folder "
                "or use `overwrite`"
            )

    def clean(self) -> None:
        """Remove shards that are left over: too many, or broken off while they were written."""
        for path in (*self._surplus(), *self.folder.glob(f".{self.stem}*.partial.h5")):
            path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove all shards."""
        replace(self, pieces=()).clean()

    def missing(
        self,
        which: Iterable[int],
        identity: Callable[[range], Identity],
        *,
        overwrite: bool,
        removes: bool = True,
    ) -> list[int]:
        """Return the shards that are still to be made.

        Args:
            which: Numbers of the shards to look at.
            identity: Says what images depend on, by their numbers.
            overwrite: Whether shards that are damaged or of another request make way.
            removes: Whether these are removed at once.

        Raises:
            GravLensError: If one is damaged or of another request, and must not make way.
        """
        found = []
        for index in which:
            path = self.path(index)
            wrong = self._wrong(index, identity(self.pieces[index])) if path.exists() else ""
            if wrong and not overwrite:
                raise GravLensError(f"{path}: {wrong}; choose another folder or use `overwrite`")
            if wrong and removes:
                path.unlink()
            if wrong or not path.exists():
                found.append(index)
        return found

    def write(
        self, index: int, records: Iterable[LensRecord], header: SetHeader, identity: Identity
    ) -> None:
        """Write a shard."""
        stated = replace(header, request=json.dumps(self._stated(index, identity)))
        write_store(self.path(index), records, stated, num=len(self.pieces[index]))

    def records(self) -> Iterator[LensRecord]:
        """Yield the images of the shards that are there, in order."""
        for path in map(self.path, range(len(self))):
            if path.exists():
                with LensStore(path) as store:
                    yield from store.records()

    def summary(self, num_made: int) -> str:
        """Say in a few words which shards were made, and which were there."""
        there = len(self) - num_made
        return f"{num_made} of {len(self)} shards" + (", the others were there" if there else "")

    def differences(self, index: int, identity: Identity) -> list[str] | None:
        """Name what a shard that is there was made for another of; None where it does not say."""
        path = self.path(index)
        validate_store(path)
        with LensStore(path) as store:
            text, num = store.header.request, len(store)
        found = parse_record(text or "")
        if found is None or num != found.get("number of images"):
            return None
        # As it comes back from the file.
        wanted = json.loads(json.dumps(self._stated(index, identity)))
        return [key for key in {**wanted, **found} if wanted.get(key) != found.get(key)]

    def _wrong(self, index: int, identity: Identity) -> str:
        """Say what is wrong with a shard that is there, if anything."""
        try:
            keys = self.differences(index, identity)
        except GravLensError as error:
            return str(error).removeprefix(f"{self.path(index)}: ")
        if keys is None:
            return "does not say what it was asked to be"
        return f"made for another {', '.join(keys)}" if keys else ""

    def _stated(self, index: int, identity: Identity) -> dict[str, Any]:
        images = self.pieces[index]
        return {**identity, "first image": images.start, "number of images": len(images)}

    def _is_name(self, name: str) -> bool:
        """Whether a file is called as a shard is."""
        return re.fullmatch(rf"{re.escape(self.stem)}\d{{5,}}\.h5", name) is not None

    def _surplus(self) -> list[Path]:
        wanted = {self.path(index).name for index in range(len(self))}
        found = sorted(self.folder.glob("*"))
        return [p for p in found if self._is_name(p.name) and p.name not in wanted]
