"""Parts of a set that several processes draw: hidden files that the main process puts together."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gravlensdiffusion.parallel import Processes

if TYPE_CHECKING:
    from gravlensdiffusion.sets.records import LensRecord, SetHeader


@dataclass(frozen=True, slots=True)
class Parts:
    """What each process but the main one adds to a set.

    Attributes:
        folder: Where the set is to be written, and the parts until then.
        processes: The processes.
    """

    folder: Path
    processes: Processes

    def path(self, index: int) -> Path:
        """Return the file of a process."""
        return self.folder / f".lenses.part-{index:05d}.h5"

    def close(self) -> None:
        """Remove all parts, those of a call that was broken off too."""
        for path in self.folder.glob(".lenses.part-*.h5"):
            path.unlink(missing_ok=True)

    def write(self, records: Iterable["LensRecord"], header: "SetHeader", num: int) -> None:
        """Write the part of this process, and tell the others.

        Args:
            records: Its images.
            header: What is common to all images of the set.
            num: How many images there are; there may be none.

        Raises:
            OtherFailed: If it cannot be written, or another process has failed.
        """
        from gravlensdiffusion.store.reader import write_store

        def work() -> None:
            if num:
                path = self.path(self.processes.index)
                write_store(path, records, header, num=num, overwrite=True)

        self.processes.together(work)

    def records(self) -> Iterator["LensRecord"]:
        """Yield the images of the other processes in order, once they have all been drawn.

        Raises:
            GravLensError: If another process has failed.
        """
        from gravlensdiffusion.store.reader import LensStore

        self.processes.together(lambda: None)
        for index in range(1, self.processes.num):
            if self.path(index).exists():
                with LensStore(self.path(index)) as store:
                    yield from map(store.record, range(len(store)))
