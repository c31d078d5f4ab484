"""Pipes, which may never end: a command that is given one in the place of a file refuses it at once; of models, `tests/hostile` says so."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from gravlensdiffusion.cli.main import main


@pytest.fixture(autouse=True)
def no_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def give_up(*_: object) -> None:
        pytest.fail("waits for a pipe to end")

    monkeypatch.chdir(tmp_path)
    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, 30)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    ("pipe", "words"),
    [
        ("preset.json", ["simulate", "--preset", "preset.json", "--num", "1", "--out", "a.h5"]),
        (
            "table.csv",
            ["sample", "--model", "lens28", "--conditions", "table.csv", "--out", "drawn"],
        ),
        ("images.npy", ["inspect", "images.npy"]),
        ("lenses.h5", ["inspect", "lenses.h5"]),
    ],
)
def test_a_pipe_is_refused(pipe: str, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(pipe)
    assert main(words) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert "regular file" in told
    assert Path(pipe).name in told
