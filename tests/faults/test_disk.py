"""A disk that fills up: one line, nothing half-written, and the same command goes on later."""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gravlensdiffusion.model import checkpoint
from gravlensdiffusion.model.checkpoint import load_model
from gravlensdiffusion.model.folders import checkpoints
from gravlensdiffusion.training.diffusion import train
from tests.faults.child import Fate
from tests.faults.commands import BALANCE, SAMPLE, SIMULATE, TRAIN, Command, results
from tests.faults.conftest import Prepare
from tests.faults.harness import Killing
from tests.sources import rings, tiny

ADVICE = "make room there and run the same command again"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return an empty disk of 3 MiB."""
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("only root can mount a disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this machine mounts no disk of its own")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def check_error(said: str, reason: str) -> None:
    """Find one line of error at the end, after what else there may be to see."""
    assert "Traceback" not in said
    assert said.count("gravlens: error: ") == 1
    last = said.splitlines()[-1]
    assert last.startswith("gravlens: error: ")
    assert reason in last
    assert ADVICE in last


def fill(disk: Path, left: int) -> Path:
    """Fill a disk but for some bytes, and return what fills it."""
    ballast = disk / "ballast"
    free = shutil.disk_usage(disk).free
    ballast.write_bytes(bytes(max(0, free - left)))
    return ballast


@pytest.mark.parametrize(
    ("room", "saved"),
    [pytest.param(0, [], marks=pytest.mark.faults), (1.5, ["0000000032"])],
)
def test_training_on_a_full_disk_goes_on_when_there_is_room(
    training: Killing, small_disk: Path, room: float, saved: list[str]
) -> None:
    """With room for some checkpoints."""
    size = sum(len(v) for k, v in training.expected.items() if k.startswith(TRAIN.done))
    shutil.copytree(training.folder / "start", small_disk, dirs_exist_ok=True)
    ballast = fill(small_disk, int(room * (size + 60_000)))
    assert training.run(small_disk) == 2
    check_error(training.said(), "No space left on device")
    found = checkpoints(small_disk / "run")
    assert [each.folder.name for each in found] == saved
    for each in found:
        load_model(each.folder)
    ballast.unlink()
    assert training.run(small_disk) == 0, training.said()
    assert results(small_disk) == training.expected


@pytest.mark.faults
@pytest.mark.parametrize("command", [TRAIN, SIMULATE, SAMPLE, BALANCE], ids=lambda c: c.name)
def test_a_file_that_may_not_grow_is_one_line(command: Command, prepare: Prepare) -> None:
    killing = prepare(command)
    work = killing.fresh()
    # Enough for the smaller files, not for the largest.
    largest = max(len(data) for name, data in killing.expected.items())
    assert killing.run(work, Fate(file_limit=int(0.6 * largest))) == 2
    check_error(killing.said(), "File too large")
    assert not [path for path in work.rglob(".*") if path.name != ".lock"]
    assert killing.run(work) == 0, killing.said()
    assert results(work) == killing.expected


@pytest.mark.parametrize(
    "number", [5, *(pytest.param(k, marks=pytest.mark.faults) for k in (6, 7, 8))]
)
def test_the_last_checkpoint_stays_whole_whichever_file_of_the_next_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    num = 0
    plain = checkpoint._write_bytes

    def write(path: Path, content: bytes | memoryview) -> None:
        nonlocal num
        num += 1
        if num >= number:
            path.write_bytes(content[:100])
            raise OSError(errno.ENOSPC, "No space left on device")
        plain(path, content)

    train(tiny(), rings(), tmp_path / "whole", device="cpu")
    monkeypatch.setattr(checkpoint, "_write_bytes", write)
    with pytest.raises(Exception, match=f"0000000064: cannot be written: No space.*{ADVICE}"):
        train(tiny(), rings(), tmp_path / "run", device="cpu")
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["0000000032"]
    load_model(tmp_path / "run")
    monkeypatch.undo()
    train(tiny(), rings(), tmp_path / "run", device="cpu")
    assert results(tmp_path / "run") == results(tmp_path / "whole")
