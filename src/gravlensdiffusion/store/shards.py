"""Sets in shards: files made one by one, so that a command that was broken off makes the rest."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.formats.companions import is_document
from gravlensdiffusion.sets.records import LensRecord, SetHeader
from gravlensdiffusion.store.layout import SHARD_NAME, is_beside
from gravlensdiffusion.store.reader import LensStore, validate_store, write_store

_PARTIAL = ".lenses-*.partial.h5"
"""What `write_store` calls a shard until it is whole."""


@dataclass(frozen=True, slots=True)
class Shards:
    """The files ``lenses-00000.h5``, ``lenses-00001.h5``, ... of a set.

    Each appears under its name once it is whole, and states what it was asked to be.

    Attributes:
        folder: Where they are.
        num: Number of images of the set.
        size: Number of images in a shard; the last one may have fewer.
    """

    folder: Path
    num: int
    size: int

    def __post_init__(self) -> None:
        if self.size < 1:
            raise GravLensError(f"--shard-size must be at least 1, got {self.size}")

    def __len__(self) -> int:
        return (self.num + self.size - 1) // self.size

    def path(self, index: int) -> Path:
        """Return the file of a shard."""
        return self.folder / f"lenses-{index:05d}.h5"

    def images(self, index: int) -> range:
        """Return the numbers of the images in a shard."""
        return range(self.num)[index * self.size : (index + 1) * self.size]

    def check_folder(self, *, overwrite: bool) -> None:
        """Refuse a folder in which anything else would become part of the set.

        Args:
            overwrite: Whether there may be more shards than the set has.

        Raises:
            GravLensError: If there is something.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise GravLensError(f"{self.folder}: is a file, must be a folder for the shards")
        for path in self._visible():
            is_shard = SHARD_NAME.fullmatch(path.name) and path.is_file() and not path.is_symlink()
            if not is_shard and not is_document(path.name) and not is_beside(path.name):
                raise GravLensError(
                    f"{self.folder}: holds {path.name}; choose a folder for the shards alone"
                )
        surplus = self._surplus()
        if surplus and not overwrite:
            raise GravLensError(
                f"{surplus[0]}: more shards than asked for ({len(self)}); choose another folder "
                "or use --overwrite"
            )

    def clean(self) -> None:
        """Remove shards that are left over: too many, or broken off while they were written."""
        for path in (*self._surplus(), *self.folder.glob(_PARTIAL)):
            path.unlink(missing_ok=True)

    def has(
        self, index: int, request: Mapping[str, Any], *, overwrite: bool, removes: bool = True
    ) -> bool:
        """Whether a shard is there, whole and as asked for.

        Args:
            index: Which one.
            request: All that its images depend on, by the names of messages.
            overwrite: Whether one that is not so makes way.
            removes: Whether it is removed at once.

        Raises:
            GravLensError: If it is damaged or of another request, and must not make way.
        """
        path = self.path(index)
        if not path.exists():
            return False
        wrong = self._wrong(index, request)
        if wrong and not overwrite:
            raise GravLensError(f"{path}: {wrong}; choose another folder or use --overwrite")
        if wrong and removes:
            path.unlink()
        return not wrong

    def write(
        self,
        index: int,
        records: Iterable[LensRecord],
        header: SetHeader,
        request: Mapping[str, Any],
    ) -> None:
        """Write a shard.

        Args:
            index: Which one.
            records: Its images.
            header: What is common to the images of the set.
            request: See `has`.

        Raises:
            GravLensError: If it cannot be written, or a file has come to stand there.
        """
        stated = replace(header, request=json.dumps(self._stated(index, request)))
        write_store(self.path(index), records, stated, num=len(self.images(index)))

    def _stated(self, index: int, request: Mapping[str, Any]) -> dict[str, Any]:
        images = self.images(index)
        return {**request, "first image": images.start, "number of images": len(images)}

    def _wrong(self, index: int, request: Mapping[str, Any]) -> str:
        """Say what is wrong with a shard, if anything."""
        path = self.path(index)
        try:
            validate_store(path)
            with LensStore(path) as store:
                text, num = store.header.request, len(store)
        except GravLensError as error:
            return str(error).removeprefix(f"{path}: ")
        try:
            found = json.loads(text or "")
        except ValueError:
            found = None
        if not isinstance(found, dict) or num != found.get("number of images"):
            return "does not say what it was asked to be"
        # As it comes back from the file.
        wanted = json.loads(json.dumps(self._stated(index, request)))
        keys = [key for key in {**wanted, **found} if wanted.get(key) != found.get(key)]
        return f"made for another {', '.join(keys)}" if keys else ""

    def _surplus(self) -> list[Path]:
        wanted = {self.path(index).name for index in range(len(self))}
        return [
            path
            for path in self._visible()
            if SHARD_NAME.fullmatch(path.name) and path.name not in wanted
        ]

    def _visible(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return sorted(path for path in self.folder.iterdir() if not path.name.startswith("."))
