"""HDF5 files that are written through Python, so that a full disk is an ordinary error."""

import io
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import h5py

if TYPE_CHECKING:
    from typing_extensions import Buffer


class _Sink(io.FileIO):
    """A new file that keeps its first error to itself until it is asked.

    HDF5 does not survive a write that fails: it tries again as each of its objects is let go, with a
    message each time, and then crashes as Python ends. So it is told that all went well; what could
    not be written stays in memory, for HDF5 to read back until it closes.

    Attributes:
        error: The first error, or None.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")
        self._unwritten: list[tuple[int, bytes]] = []
        self.error: OSError | None = None

    def check(self) -> None:
        """Raise the first error."""
        if self.error is not None:
            raise self.error

    def write(self, data: "Buffer") -> int:
        """Write bytes at the place, or keep them in memory after an error."""
        view = memoryview(data).cast("B")
        place, done = self.tell(), 0
        if self.error is None:
            try:
                while done < len(view):
                    done += super().write(view[done:])
            except OSError as error:
                self.error = error
        if done < len(view):
            self._unwritten.append((place + done, bytes(view[done:])))
        return self.seek(place + len(view)) - place

    def readinto(self, buffer: "Buffer") -> int:
        """Read bytes from the place; where nothing was written they are zero."""
        view = memoryview(buffer).cast("B")
        view[:] = bytes(len(view))
        start, end = self.tell(), self.tell() + len(view)
        super().readinto(view)
        for place, data in self._unwritten:
            low, high = max(place, start), min(place + len(data), end)
            if low < high:
                view[low - start : high - start] = data[low - place : high - place]
        return self.seek(end) - start

    def truncate(self, size: int | None = None) -> int:
        """Make the file as long as HDF5 has it."""
        size = self.tell() if size is None else size
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
        return size

    def close(self) -> None:
        """Close the file."""
        try:
            super().close()
        except OSError as error:
            self.error = self.error or error


@contextmanager
def new_hdf5(path: Path) -> Iterator[tuple[h5py.File, _Sink]]:
    """Yield a new HDF5 file, and where to ask whether its disk is full.

    Raises:
        OSError: If it could not be written.
    """
    with _Sink(path) as sink:
        file = h5py.File(sink, "w")
        try:
            yield file, sink
        finally:
            with undisturbed():
                file.close()
        sink.check()
    sink.check()


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait for the end of the block.

    They would end what Python does for HDF5 in the middle of a write, which HDF5 does not survive.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[int] = []
    previous = [
        (each, signal.signal(each, lambda received, _: waiting.append(received)))
        for each in (signal.SIGINT, signal.SIGTERM)
    ]
    try:
        yield
    finally:
        for each, handler in previous:
            signal.signal(each, handler)
        for received in waiting:
            signal.raise_signal(received)
