"""Simulation on a real Dask cluster of this machine."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gravlensdiffusion.cli.main import main
from gravlensdiffusion.cli.simulate import _dask_cluster
from gravlensdiffusion.errors import GravLensError

NUM = 1536
"""Images: three rounds of the chunks that two workers hold at a time."""
WORDS = ("simulate", "--num", NUM, "--size", 28, "--seed", 3)
LIMIT_S = 240
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def start(folder: Path, name: str, *words: object) -> subprocess.Popen[bytes]:
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, *map(str, words)], stdout=log, stderr=log, env=ENVIRONMENT
        )


def wait_for(what: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not what():
        assert process.poll() is None, "it ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def running_cluster(
    folder: Path, *worker: str
) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """Start a scheduler and two workers, each a process; yield the address, and the workers."""
    about = folder / "scheduler.json"
    options = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", about)
    scheduler = start(folder, "scheduler", "-m", "distributed.cli.dask_scheduler", *options)
    running = [scheduler]
    try:
        wait_for(about.exists, scheduler)
        for k in range(2):
            words = ("--scheduler-file", about, "--nthreads", "1", "--no-nanny", "--no-dashboard")
            running.append(start(folder, f"worker{k}", *worker, *words))
        log = folder / "scheduler.log"
        wait_for(lambda: log.read_text().count("Register worker") == 2, scheduler)
        yield json.loads(about.read_text())["address"], running[1:]
    finally:
        for process in running:
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    with running_cluster(tmp_path, "-m", "distributed.cli.dask_worker") as found:
        yield found


@pytest.mark.faults
def test_a_worker_that_is_killed_changes_nothing(
    cluster: tuple[str, list[subprocess.Popen[bytes]]], tmp_path: Path
) -> None:
    address, workers = cluster
    (tmp_path / "sets").mkdir()
    out = tmp_path / "sets" / "far.h5"
    words = (*WORDS, "--out", out, "--dask", address)
    command = start(tmp_path, "simulate", "-m", "gravlensdiffusion", *words)
    # The file under its temporary name comes with the first round: two are still to be made.
    wait_for(lambda: any(path.stat().st_size for path in out.parent.iterdir()), command)
    workers[0].send_signal(signal.SIGKILL)
    workers[0].wait()
    assert command.poll() is None
    assert command.wait(timeout=LIMIT_S) == 0, (tmp_path / "simulate.log").read_text()
    assert "Remove worker" in (tmp_path / "scheduler.log").read_text()
    assert main([str(word) for word in (*WORDS, "--out", tmp_path / "near.h5", "--jobs", 1)]) == 0
    assert out.read_bytes() == (tmp_path / "near.h5").read_bytes()


@pytest.mark.faults
def test_work_that_kills_its_workers_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENVIRONMENT, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "0")
    script = (
        "import os, sys; from joblib import Parallel, delayed; "
        "from gravlensdiffusion.cli.simulate import _dask_cluster\n"
        "with _dask_cluster(sys.argv[1]): Parallel(n_jobs=-1)([delayed(os._exit)(1)])"
    )
    with running_cluster(tmp_path, "-m", "distributed.cli.dask_worker") as (address, _):
        assert start(tmp_path, "work", "-c", script, address).wait(timeout=LIMIT_S) == 1
    said = (tmp_path / "work.log").read_text().splitlines()
    assert f"GravLensError: {address}: a worker cannot do the work: " in said[-1]
    assert "died while running it" in said[-1]


@pytest.mark.faults
def test_workers_without_the_package_are_told_of(tmp_path: Path) -> None:
    worker = (
        "import sys; sys.modules['gravlensdiffusion'] = None; "
        "from distributed.cli.dask_worker import main; main()"
    )
    out = tmp_path / "sets" / "x.h5"
    with running_cluster(tmp_path, "-c", worker) as (address, _):
        words = ("-m", "gravlensdiffusion", *WORDS, "--out", out, "--dask", address)
        command = start(tmp_path, "simulate", *words)
        assert command.wait(timeout=LIMIT_S) == 2
    said = (tmp_path / "simulate.log").read_text().splitlines()
    told = [line for line in said if line.startswith("gravlens: error: ")]
    assert len(told) == 1, said
    assert f"{address}: a worker cannot import this package: " in told[0]
    assert not out.exists()


def test_a_scheduler_that_does_not_answer_is_named(tmp_path: Path) -> None:
    script = (
        "import sys; from gravlensdiffusion.cli import simulate, main; simulate.PATIENCE_S = 1; "
        "sys.exit(main.main(sys.argv[1:]))"
    )
    words = (*WORDS, "--out", tmp_path / "x.h5", "--dask", "tcp://127.0.0.1:9")
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env=ENVIRONMENT,
        timeout=LIMIT_S,
    )
    assert done.returncode == 2
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_what_to_install_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(GravLensError, match=r"pip install distributed"):
        _dask_cluster("tcp://127.0.0.1:9").__enter__()


def test_jobs_and_dask_contradict_each_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--out", tmp_path / "x.h5", "--jobs", 2, "--dask", "tcp://127.0.0.1:9")
    assert main(["simulate", *map(str, words)]) == 2
    assert "leave one out" in capsys.readouterr().err
