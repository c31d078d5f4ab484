"""How much a file may ask for, and that files are tried out in another process; what ends that one ends nothing else."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gravlensdiffusion.errors import BadImageError, GravLensError
from gravlensdiffusion.store.hdf5_file import try_out
from gravlensdiffusion.store.reader import LensStore
from gravlensdiffusion.store.writer import write_store
from gravlensdiffusion.untrusted import probe
from gravlensdiffusion.untrusted.probe import (
    MAX_UNPACKING,
    SMALL_BYTES,
    check_unpacked,
    held_bytes,
    probe_file,
    probe_files,
    trust_file,
)
from tests.sets.files import HEADER, lens_records


@pytest.fixture(autouse=True)
def _no_child_is_left() -> Iterator[None]:
    probe.release()
    yield
    probe.release()


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a child in place that crashes and hangs as files are called."""
    monkeypatch.setattr(probe, "CHILD", "tests.untrusted.failing_child")
    monkeypatch.setattr(probe, "FILE_S", 0.5)
    # A core file of the crash would lie in the current folder.
    resource = pytest.importorskip("resource")
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def files(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).write_bytes(b"x")
    return [folder / name for name in names]


@pytest.mark.usefixtures("failing")
def test_a_crash_and_a_hang_are_told_and_the_others_are_still_tried(tmp_path: Path) -> None:
    paths = files(tmp_path, "a", "crash1", "bad1", "hang", "b", "crash2", "bad2")
    found = probe_files(paths, try_out)
    assert {path.name for path in found} == {"crash1", "bad1", "hang", "crash2", "bad2"}
    assert "ends the process that reads it" in found[paths[1]]
    assert "nothing came of it" in found[paths[3]]
    assert found[paths[2]] == found[paths[6]] == "wrong"


@pytest.mark.usefixtures("failing")
def test_several_threads_are_told_of_their_own_files_and_end_no_child_of_another(
    tmp_path: Path,
) -> None:
    paths = files(tmp_path, *(f"{word}{k}" for k in range(8) for word in ("bad", "good", "fine")))
    with ThreadPoolExecutor(8) as threads:
        found = threads.map(lambda path: probe_files([path], try_out), paths)
        wrong = {path: told for each in found for path, told in each.items()}
    assert wrong == {path: "wrong" for path in paths if path.name.startswith("bad")}


@pytest.mark.usefixtures("failing")
def test_a_store_that_crashes_the_library_is_refused_in_one_line(tmp_path: Path) -> None:
    path = files(tmp_path, "crash\n.h5")[0]
    with pytest.raises(GravLensError, match=r"crash\\n.h5: is not readable: it ends") as caught:
        LensStore(path)
    assert str(caught.value).isprintable()


@pytest.mark.usefixtures("failing")
def test_a_file_is_tried_again_only_when_it_has_changed(tmp_path: Path) -> None:
    path = files(tmp_path, "bad")[0]
    assert probe_file(path, try_out) == "wrong"
    good = path.rename(tmp_path / "good")  # the same file, whose verdict is kept
    changed = good.stat().st_ctime_ns
    good.write_bytes(b"xx")
    assert good.stat().st_ctime_ns >= changed
    assert probe_file(good, try_out) is None


def test_what_this_process_wrote_is_not_tried_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = write_store(tmp_path / "own.h5", lens_records(), HEADER)
    other = tmp_path / "other.h5"
    other.write_bytes(own.read_bytes())
    monkeypatch.setattr(probe, "CHILD", "no.such.module")
    assert len(LensStore(own)) == 7
    with pytest.raises(GravLensError, match="does not start"):
        LensStore(other)
    trust_file(other, write_store)
    with pytest.raises(GravLensError, match="does not start"):
        LensStore(other)
    trust_file(other, try_out)
    assert len(LensStore(other)) == 7


def test_an_empty_file_or_none_is_left_to_the_caller(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert probe_files([tmp_path / "empty", tmp_path / "none", tmp_path], try_out) == {}


def test_no_module_of_the_current_folder_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.h5"
    write_store(tmp_path / "own.h5", lens_records(), HEADER)
    path.write_bytes((tmp_path / "own.h5").read_bytes())
    (tmp_path / "h5py.py").write_text("raise SystemExit")
    (tmp_path / "json.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    assert probe_file(path, try_out) is None


def test_the_child_imports_no_torch() -> None:
    code = "import sys, gravlensdiffusion.store.hdf5_file, gravlensdiffusion.formats.fits; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_small_file_may_unpack_to_a_little_whatever_it_holds() -> None:
    check_unpacked(SMALL_BYTES, 0)
    with pytest.raises(BadImageError, match=r"declares .* more than the limit"):
        check_unpacked(SMALL_BYTES + 1, 0)


def test_a_large_one_to_a_hundred_times_its_size() -> None:
    check_unpacked(SMALL_BYTES + MAX_UNPACKING * 10**9, 10**9)
    with pytest.raises(BadImageError):
        check_unpacked(SMALL_BYTES + MAX_UNPACKING * 10**9 + 1, 10**9)


def test_a_file_just_written_holds_all_of_itself(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with path.open("wb") as stream:
        stream.write(b"x" * 10**6)
        stream.flush()
        assert held_bytes(path) == 10**6
    path.write_bytes(b"")
    assert held_bytes(path) == 0


def test_a_hole_is_not_held(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with path.open("wb") as stream:
        stream.write(b"x" * 10**5)
        stream.seek(10**9)
        stream.write(b"x" * 10**5)
    if path.stat().st_blocks * 512 > 10**8:
        pytest.skip("this file system keeps no holes")
    assert 2 * 10**5 <= held_bytes(path) < 10**6
