"""A disk that is full while HDF5 writes."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from gravlensdiffusion.store.hdf5_file import _Sink, new_hdf5

ROOT = Path(__file__).parents[2]
WRITE = """
import sys
from pathlib import Path
from gravlensdiffusion.store.writer import write_store
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.records import LensRecord
from tests.sources import rings

source = rings(2000)
records = (LensRecord(image=x, label=int(y)) for x, y in zip(source.images, source.labels))
try:
    write_store(Path(sys.argv[1]), records, source.header)
except GravLensError as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize("limit", [0, 3000, 100_000, 2_100_000])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, limit: int) -> None:
    out = tmp_path / "lenses.h5"
    command = [sys.executable, "-c", WRITE, str(out)]

    def limit_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    # No bytecode either: it would be files as well.
    result = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=limit_files,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr == f"{out}: cannot be written: File too large{ADVICE}\n"
    assert not list(tmp_path.iterdir())


ADVICE = "; make room there and run the same command again"


@pytest.mark.parametrize("room", [0, 100, 2000, 5000, 20_000])
def test_hdf5_closes_in_peace_whenever_the_disk_fills(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    plain = _Sink.write

    def write(self: _Sink, data: object) -> int:
        if self.tell() + len(memoryview(data).cast("B")) > room:  # type: ignore[arg-type]
            self.error = self.error or OSError(28, "No space left on device")
        return plain(self, data)

    monkeypatch.setattr(_Sink, "write", write)

    def fill(path: Path) -> None:
        with new_hdf5(path) as (file, _):
            for k in range(30):
                file.create_dataset(f"group{k}/x", data=np.full(200, k), chunks=(10,))
            for k in range(30):
                assert (file[f"group{k}/x"][:] == k).all()

    with pytest.raises(OSError, match="No space left"):
        fill(tmp_path / "a.h5")


def test_what_is_written_is_read_by_hdf5_itself(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(50, 7))
    with new_hdf5(tmp_path / "a.h5") as (file, sink):
        file["x"] = values
        sink.check()
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["x"][:], values)
