"""HDF5 files that are written through Python, so that a full disk is an ordinary error."""

import io
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py


class Sink(io.RawIOBase):
    """A new file that keeps its first error to itself until it is asked.

    HDF5 does not survive a write that fails: it tries again as each of its objects is let go, with a
    message each time, and then crashes as Python ends. So it is told that all went well; what could
    not be written stays in memory, for HDF5 to read back until it closes.

    Args:
        path: The file; replaced where there is one.

    Attributes:
        error: The first error, or None.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+b", buffering=0)
        self._place = 0
        self._unwritten: list[tuple[int, bytes]] = []
        self.error: OSError | None = None

    def readable(self) -> bool:
        """Whether it can be read: yes."""
        return True

    def writable(self) -> bool:
        """Whether it can be written: yes."""
        return True

    def seekable(self) -> bool:
        """Whether it has places: yes."""
        return True

    def check(self) -> None:
        """Raise the first error.

        Raises:
            OSError: If there was one.
        """
        if self.error is not None:
            raise self.error

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place of the file."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size()}
        self._place = base[whence] + offset
        return self._place

    def tell(self) -> int:
        """Return the place in the file."""
        return self._place

    def write(self, data: object) -> int:
        """Write bytes at the place, or keep them in memory after an error."""
        view = memoryview(data).cast("B")  # type: ignore[arg-type]
        done = 0
        if self.error is None:
            try:
                self._file.seek(self._place)
                while done < len(view):
                    done += self._file.write(view[done:]) or 0
            except OSError as error:
                self.error = error
        if done < len(view):
            self._unwritten.append((self._place + done, bytes(view[done:])))
        self._place += len(view)
        return len(view)

    def readinto(self, buffer: object) -> int:
        """Read bytes from the place."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        view[:] = bytes(len(view))
        self._file.seek(self._place)
        self._file.readinto(view)
        start, end = self._place, self._place + len(view)
        for place, data in self._unwritten:
            low, high = max(place, start), min(place + len(data), end)
            if low < high:
                view[low - start : high - start] = data[low - place : high - place]
        num = max(0, min(len(view), self._size() - self._place))
        self._place += num
        return num

    def truncate(self, size: int | None = None) -> int:
        """Make the file as long as HDF5 has it."""
        size = self._place if size is None else size
        try:
            self._file.truncate(size)
        except OSError as error:
            self.error = self.error or error
        return size

    def close(self) -> None:
        """Close the file."""
        try:
            self._file.close()
        except OSError as error:
            self.error = self.error or error
        super().close()

    def _size(self) -> int:
        ends = (place + len(data) for place, data in self._unwritten)
        return max(self._file.seek(0, os.SEEK_END), *ends, 0)


@contextmanager
def new_hdf5(path: Path) -> Iterator[tuple[h5py.File, Sink]]:
    """Yield a new HDF5 file, and where to ask whether its disk is full.

    Raises:
        OSError: If it could not be written.
    """
    with Sink(path) as sink:
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
