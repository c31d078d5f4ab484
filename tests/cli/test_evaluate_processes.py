"""``gravlens evaluate`` whose measuring several processes share."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from gravlensdiffusion.evaluation.preparation import BLOCK
from gravlensdiffusion.simulation.generate import set_header
from gravlensdiffusion.store.writer import write_store
from tests.cli.counting import __file__ as counting
from tests.conftest import Run
from tests.evaluation.sets import CONFIG, SEED, records
from tests.launching import torchrun

NUM = BLOCK + 7
FLAGS = ("--protocol", "none", "--skip-pixel-test", "--seeds", "1")


def evaluation(*words: object, out: Path) -> tuple[object, ...]:
    return ("evaluate", *words, *FLAGS, "--out", out)


@pytest.mark.faults
def test_two_processes_report_what_one_reports(run_gravlens: Run, tmp_path: Path) -> None:
    header = set_header(CONFIG, SEED)
    for name, start in (("generated", 0), ("reference", NUM)):
        write_store(tmp_path / f"{name}.h5", records(NUM, start), header, num=NUM)
    words = (tmp_path / "generated.h5", tmp_path / "reference.h5")
    alone = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache-one")}
    done = run_gravlens(*evaluation(*words, out=tmp_path / "one"), env=alone)
    assert done.returncode == 0, done.stderr
    shared = torchrun(
        2,
        counting,
        tmp_path,
        *evaluation(*words, out=tmp_path / "two"),
        XDG_CACHE_HOME=str(tmp_path / "cache-two"),
    )
    assert shared.returncode == 0, shared.stderr
    assert shared.stdout.replace(str(tmp_path / "two"), str(tmp_path / "one")) == done.stdout
    assert shared.stderr.count("measuring 507 images of generated.h5") == 1
    one, two = (json.loads((tmp_path / n / "report.json").read_text()) for n in ("one", "two"))
    assert two == one
    # The second process had the second block of each set, and nothing else to do.
    assert (tmp_path / "measured-1.txt").read_text() == "7 7"
    assert (tmp_path / "measured-0.txt").read_text().startswith(f"{BLOCK} {BLOCK} ")


@pytest.mark.faults
def test_what_is_wrong_is_told_once(tmp_path: Path) -> None:
    for name, size in (("small", 28), ("large", 40)):
        np.savez(tmp_path / f"{name}.npz", images=np.random.default_rng(0).random((9, size, size)))
    words = evaluation(tmp_path / "small.npz", tmp_path / "large.npz", out=tmp_path / "out")
    done = torchrun(2, "-m", "--", "gravlensdiffusion", *words)
    assert done.returncode == 1
    told = [line for line in done.stderr.splitlines() if line.startswith("gravlens: error")]
    assert len(told) == 1
    assert "--size 28" in told[0]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["simulate", "inspect", "distill", "classify predict"])
def test_other_commands_run_in_one_process(
    command: str, gravlens: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "0")):
        monkeypatch.setenv(name, value)
    done = gravlens(*command.split())
    assert done.returncode == 2
    assert done.stderr == (
        f"gravlens: error: 'gravlens {command}' runs in one process; start it without a launcher\n"
    )
