"""Sets that several threads read at once."""

import gc
import io
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.sets.records import LensRecord
from gravlensdiffusion.store.writer import write_store
from gravlensdiffusion.untrusted.npy import read_header
from tests.sets.files import lens_images


def _others(path: Path, images: NDArray[np.float32]) -> None:
    with h5py.File(path, "w") as file:
        file["images"] = images


WRITERS: dict[str, Callable[[Path, NDArray[np.float32]], object]] = {
    "npz": lambda path, images: np.savez(path, images=images),
    "h5": _others,
    "shards": lambda path, images: write_store(
        path.with_suffix(".h5"), [LensRecord(image=image[None]) for image in images]
    ),
}


@pytest.fixture
def _eager_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("gravlensdiffusion.store.reader._MAX_OPEN_FILES", 2)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_eager_threads")
@pytest.mark.parametrize("kind", WRITERS)
def test_each_thread_reads_its_own_images(tmp_path: Path, kind: str) -> None:
    images = lens_images(24)
    for k in range(4):
        suffix = ".npz" if kind == "npz" else ".h5"
        WRITERS[kind](tmp_path / f"{k}{suffix}", images[6 * k : 6 * k + 6])
    source = open_set(tmp_path)
    order = np.random.default_rng(0).integers(0, 24, 2000).tolist()
    with ThreadPoolExecutor(8) as threads:
        read = list(threads.map(lambda k: source.read([k])[0, 0], order))
    np.testing.assert_array_equal(read, images[order])


class _Cycle:
    """Is collected only when Python looks for cycles, and then lets another thread run."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        sum(range(200))


@pytest.mark.usefixtures("_eager_threads")
def test_headers_are_read_by_several_threads() -> None:
    stream = io.BytesIO()
    np.save(stream, np.zeros((6, 28, 28), np.float32))

    def read(_: int) -> tuple[int, ...]:
        _Cycle()
        return read_header(io.BytesIO(stream.getvalue())).shape

    before = gc.get_threshold()
    gc.set_threshold(20)
    try:
        with ThreadPoolExecutor(8) as threads:
            assert set(threads.map(read, range(3000))) == {(6, 28, 28)}
    finally:
        gc.set_threshold(*before)
