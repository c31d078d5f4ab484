"""The folder beside the output in which an unfinished balance waits to go on."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.files import LOCK, held, whole_file
from gravlensdiffusion.store.shards import Shards

REQUEST = "request.json"
"""What was asked for; an unfinished balance has it."""
WHOLE = "whole.h5"
"""The balanced set before it had its name, in folders of before."""


@dataclass(frozen=True, slots=True)
class Unfinished(Shards):
    """The batches of a balance, in ``OUT.partial``."""

    stem: str = "part-0"

    @staticmethod
    @contextmanager
    def held(out: Path, *, writes: bool = True) -> Iterator[Path]:
        """Hold ``OUT.partial`` for this process, and remove it where nothing stays in it.

        Args:
            out: The output.
            writes: Whether the folder is made where there is none.

        Raises:
            GravLensError: If another process works there, or the folder is somebody else's.
        """
        folder = out.with_name(f"{out.name}.partial")
        if folder.exists() and not (folder / REQUEST).is_file():
            is_empty = folder.is_dir() and all(p.name.startswith(".") for p in folder.iterdir())
            if not is_empty:
                raise GravLensError(f"{folder}: is no unfinished balance; move it away")
        with held(folder) if writes or (folder / LOCK).is_file() else nullcontext():
            yield folder

    def other_request(self, request: Mapping[str, Any], *, overwrite: bool) -> str:
        """Say that the folder holds the work of another request; an empty text where it does not.

        Args:
            request: All that the balanced set depends on, by the names of messages.
            overwrite: Whether such work may be thrown away.

        Raises:
            GravLensError: If it holds such work, which may not, or what it holds cannot be known.
        """
        path = self.folder / REQUEST
        if not path.is_file():
            return ""
        try:
            old = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            old = None
        if not isinstance(old, dict):
            raise GravLensError(f"{path}: damaged; move {self.folder} away")
        # As it comes back from the file; what it does not name was not told apart before.
        wanted = json.loads(json.dumps(request))
        keys = [key for key, value in old.items() if wanted.get(key) != value]
        # The images are other ones too, where anything else is.
        keys = [key for key in keys if key != "images"] or keys
        if not keys:
            return ""
        what = f"{self.folder}: holds an unfinished balance of another {', '.join(keys)}"
        if not overwrite:
            raise GravLensError(
                f"{what}; give what it was given, or `overwrite` to start anew, or choose another `out`"
            )
        return what

    def begin(self, request: Mapping[str, Any], *, overwrite: bool) -> str:
        """Prepare the folder, which must be held, and say what the user should know of earlier work."""
        what = self.other_request(request, overwrite=overwrite)
        if what:
            self.clear()
        self.clean()
        if (self.folder / REQUEST).exists():
            return f"going on with what lies in {self.folder}"
        with whole_file(self.folder / REQUEST, overwrite=False) as temporary:
            temporary.write_text(json.dumps(request, indent=2), encoding="utf-8")
        return f"{what}: starting anew" if what else ""

    def has(self, index: int) -> bool:
        """Whether a batch is there to be used; a damaged file is as good as none, and removed."""
        path = self.path(index)
        if not path.exists():
            return False
        try:
            # A batch of before says nothing of itself; the folder does.
            if not self.differences(index, {}):
                return True
        except GravLensError:
            pass
        path.unlink()
        return False

    def clear(self) -> None:
        """Remove what a balance has written, and nothing else; what tells whose it is, at the end."""
        Shards.clear(self)
        for name in (WHOLE, REQUEST):
            (self.folder / name).unlink(missing_ok=True)
