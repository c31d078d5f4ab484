"""How a command chooses its threads."""

import os
import subprocess
import sys

import pytest

from gravlensdiffusion.parallel import NUMBERS, _num_free_cores

SHOWN = """
import os, sys
from gravlensdiffusion.parallel import use_threads
use_threads(None if sys.argv[1] == "None" else int(sys.argv[1]))
print(*(os.environ.get(n) for n in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "KMP_BLOCKTIME")))
"""


def settled(num: int | None, **more: str) -> list[str]:
    bare = {k: v for k, v in os.environ.items() if k not in NUMBERS}
    command = [sys.executable, "-c", SHOWN, str(num)]
    done = subprocess.run(command, env=bare | more, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_what_is_asked_goes_before_the_environment_and_that_before_a_guess() -> None:
    assert settled(3, OMP_NUM_THREADS="2") == ["3", "PASSIVE", "0"]
    assert settled(None, OMP_NUM_THREADS="2", OMP_WAIT_POLICY="ACTIVE") == ["2", "ACTIVE", "0"]


def test_the_library_changes_nothing() -> None:
    code = "import os; before = dict(os.environ); import gravlensdiffusion.generation.generator; "
    code += "import gravlensdiffusion.cli.main; assert before == dict(os.environ)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("busy", "quota", "expected"),
    [
        ((), 4, None),
        ((0, 1, 2), 4, 1),
        ((0, 1, 2, 3), 4, 1),
        ((0,), 2, 2),
        ((), 2, 2),
        ((3,), 4, 3),
    ],
)
def test_busy_cores_are_left_to_others(
    monkeypatch: pytest.MonkeyPatch, busy: tuple[int, ...], quota: int, expected: int | None
) -> None:
    # A fifth core belongs to others.
    shares = [100.0 * (core in busy) for core in range(5)]
    monkeypatch.setattr("psutil.cpu_percent", lambda *_, **__: shares)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)))
    monkeypatch.setattr("joblib.cpu_count", lambda **_: quota)
    assert _num_free_cores() == expected


def test_where_cores_are_not_told_all_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> list[float]:
        raise FileNotFoundError

    monkeypatch.setattr("psutil.cpu_percent", fail)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)))
    monkeypatch.setattr("joblib.cpu_count", lambda **_: 4)
    assert _num_free_cores() is None
