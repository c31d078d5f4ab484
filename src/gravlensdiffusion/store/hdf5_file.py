"""HDF5 files: written through Python, so that a full disk is an ordinary error, and tried out before they are read.

What tries one out runs in a process that may end; see `untrusted.probe`.
"""

import io
import math
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

from gravlensdiffusion.config.bounds import UNLABELLED
from gravlensdiffusion.errors import BadImageError, GravLensError
from gravlensdiffusion.store.schema import NOISE_FREE, read_layout
from gravlensdiffusion.untrusted.probe import SMALL_BYTES, check_unpacked, readable

if TYPE_CHECKING:
    from typing_extensions import Buffer

NUM_SAMPLES = 64
"""Images without compression that are read, from the first to the last, evenly spread."""
_BLOCK_BYTES = 2**22
FILTERS = {
    h5py.h5z.FILTER_DEFLATE: "deflate",
    h5py.h5z.FILTER_SHUFFLE: "shuffle",
    h5py.h5z.FILTER_FLETCHER32: "fletcher32",
    h5py.h5z.FILTER_LZF: "lzf",
}
"""Compression that is read; any other may load a plugin, or is rare and seldom tested."""


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


def try_out(path: Path) -> None:
    """Do all that opening a lens set does; see `untrusted.probe`."""
    with readable("HDF5 file"), h5py.File(path, "r") as file:
        layout = read_layout(file)
        # The data sets that are ever read.
        parameters = [f"parameters/{name}" for name in layout.header.parameter_units]
        names = ["images", "labels", *parameters]
        names += ["subhaloes"] * bool(layout.num_subhaloes) + [NOISE_FREE] * layout.has_noise_free
        for name in names:
            check_storage(file[name])
        _check_labels(file["labels"][:].astype(np.int16), layout.header.class_names, path)
        for name in parameters:
            file[name][:]
        if layout.num_subhaloes:
            _check_subhalo_rows(file["subhaloes"][:], layout.num_images, path)
        for name in ("images", NOISE_FREE):
            if name in names:
                read_pixels(file[name])


def _check_labels(labels: np.ndarray, class_names: tuple[str, ...], path: Path) -> None:
    """Refuse labels that name no class."""
    wrong = (labels < UNLABELLED) | (labels >= len(class_names))
    if wrong.any():
        k = int(np.argmax(wrong))
        raise GravLensError(
            f"{path}: /labels: image {k} has label {labels[k]}, allowed are "
            f"{UNLABELLED} (unlabelled) to {len(class_names) - 1}"
        )


def _check_subhalo_rows(rows: np.ndarray, num: int, path: Path) -> None:
    """Refuse rows that belong to no image, or that are out of order."""
    images = rows["image"]
    if images.size and (images.min() < 0 or images.max() >= num):
        raise GravLensError(f"{path}: /subhaloes: column image must lie in 0 to {num - 1}")
    if np.any(np.diff(images) < 0):
        raise GravLensError(f"{path}: /subhaloes: column image must not decrease")


def check_storage(dataset: h5py.Dataset) -> None:
    """Refuse a data set whose parts do not lie in the file as they should.

    Raises:
        GravLensError: If its compression is none of `FILTERS`, a chunk lies outside of the file or
            is larger than it can be, or far less is stored than its shape declares.
    """
    where = _where(dataset)
    pipeline = dataset.id.get_create_plist()
    filters = [pipeline.get_filter(k)[0] for k in range(pipeline.get_nfilters())]
    if not set(filters) <= set(FILTERS) or len(set(filters)) < len(filters):
        raise GravLensError(
            f"{where}: has another compression than {', '.join(FILTERS.values())}, each once"
        )
    declared = math.prod(dataset.shape) * _item_bytes(dataset)
    size = Path(dataset.file.filename).stat().st_size
    held = min(_check_chunks(dataset, where, size) if dataset.chunks else declared, size)
    if dataset.chunks is None and dataset.id.get_storage_size() not in (0, declared):
        raise GravLensError(f"{where}: holds another number of bytes than its shape declares")
    try:
        check_unpacked(declared, held)
    except BadImageError as error:
        raise GravLensError(f"{where}: {error}") from None


def _where(dataset: h5py.Dataset) -> str:
    return f"{dataset.file.filename}: {dataset.name}"


def _item_bytes(dataset: h5py.Dataset) -> int:
    """Return the bytes of a value in the file: of a text of any length, those of where it lies."""
    return 16 if dataset.dtype.hasobject else int(dataset.dtype.itemsize)


def _check_chunks(dataset: h5py.Dataset, where: str, size: int) -> int:
    """Return the bytes of all chunks."""
    whole = math.prod(dataset.chunks) * _item_bytes(dataset)
    if whole > 2 * max(SMALL_BYTES, 4 * math.prod(dataset.shape[1:])):
        raise GravLensError(f"{where}: has chunks of {whole} bytes, more than can be read")
    # Compression can make a chunk a little larger, never much.
    most = whole + whole // 8 + 4096 if dataset.id.get_create_plist().get_nfilters() else whole
    total = 0

    def add(chunk: h5py.h5d.StoreInfo) -> None:
        nonlocal total
        start, length = chunk.byte_offset, chunk.size
        if start is None or length > most or start + length > size:
            raise GravLensError(f"{where}: has a chunk that does not lie in the file")
        total += length

    dataset.id.chunk_iter(add)
    return total


def read_pixels(images: h5py.Dataset) -> None:
    """Read all images where they are compressed, and `NUM_SAMPLES` of them otherwise."""
    num = len(images)
    block = max(1, _BLOCK_BYTES // (4 * math.prod(images.shape[1:])))
    starts = set(range(0, num, block))
    if not images.id.get_create_plist().get_nfilters():
        block, starts = 1, {*range(0, num, max(1, num // NUM_SAMPLES)), num - 1}
    try:
        for low in sorted(starts):
            images[low : low + block]
    except (OSError, RuntimeError, ValueError) as error:
        raise GravLensError(f"{_where(images)}: damaged: {error!s:.100}") from error
