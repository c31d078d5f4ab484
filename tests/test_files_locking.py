"""One process at a time in a folder, whatever becomes of that process."""

import errno
import signal
import subprocess
import sys
from pathlib import Path

import filelock
import pytest

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.files import LOCK, held

HOLD = """
import sys, time
from pathlib import Path
from gravlensdiffusion.files import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_one_is_refused_until_the_first_has_gone(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with held(folder):
        (folder / "work").write_text("")
        with (
            pytest.raises(GravLensError, match="run: another process is working there"),
            held(folder),
        ):
            pass
        assert (folder / "work").exists()
    with held(folder):
        pass


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(GravLensError, match="another process"), held(tmp_path / "run"):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (tmp_path / "run" / LOCK).exists()
    with held(tmp_path / "run"):
        (tmp_path / "run" / "work").write_text("")


def test_a_folder_in_which_nothing_came_to_be_is_removed(tmp_path: Path) -> None:
    with held(tmp_path / "run"):
        assert (tmp_path / "run").is_dir()
    assert not (tmp_path / "run").exists()


def test_a_file_system_without_locks_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def acquire(self: filelock.FileLock, timeout: float) -> None:
        raise OSError(number, "no locks")

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    number = errno.ENOLCK
    with held(tmp_path):
        (tmp_path / "work").write_text("")
    number = errno.EACCES
    with pytest.raises(OSError, match="no locks"), held(tmp_path):
        pass
