"""Commands that are killed outright, at a few moments; `make faults` takes hundreds."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.faults.child import Fate
from tests.faults.commands import (
    BALANCE,
    DISTILL,
    SAMPLE,
    SHARDS,
    SIMULATE,
    TRAIN,
    Command,
    results,
)
from tests.faults.conftest import Prepare
from tests.faults.harness import KILLED, Killing

SEED = 7


@pytest.mark.faults
def test_training_is_killed_at_random_moments(training: Killing) -> None:
    before = training.num_killed
    training.chain(training.random_moments(SEED, 4))
    assert training.num_killed > before


def test_training_is_killed_halfway_through_files_of_its_checkpoints(training: Killing) -> None:
    before = training.num_killed
    # A run writes three checkpoints of four files each; no process gets further than the next one.
    training.chain([Fate(torn_file=1), Fate(torn_file=8), Fate(torn_file=3)])
    assert training.num_killed == before + 3
    assert training.num_torn >= 3


@pytest.mark.faults
def test_training_is_killed_between_two_changes_of_its_files(training: Killing) -> None:
    random = np.random.default_rng(SEED)
    steps = random.integers(1, training.num_file_steps, 3)
    training.chain([Fate(file_step=int(step)) for step in sorted(steps)])


@pytest.mark.faults
@pytest.mark.parametrize(
    "command", [DISTILL, SIMULATE, SAMPLE, SHARDS, BALANCE], ids=lambda c: c.name
)
def test_another_command_is_killed(command: Command, prepare: Prepare) -> None:
    killing = prepare(command)
    before = killing.num_killed
    killing.chain(killing.random_moments(SEED, 2))
    steps = np.random.default_rng(SEED).integers(1, killing.num_file_steps, 2)
    killing.chain([Fate(file_step=int(step)) for step in sorted(steps)])
    killing.chain([Fate(file_step=killing.num_file_steps)])
    assert killing.num_killed > before


def checkpoint_is_written(work: Path) -> bool:
    return any((work / "run" / "checkpoints").glob(".*.partial"))


def log_has_begun(work: Path) -> bool:
    log = work / "run" / "metrics.jsonl"
    return log.exists() and log.stat().st_size > 0


@pytest.mark.faults
@pytest.mark.parametrize("moment", [checkpoint_is_written, log_has_begun], ids=lambda m: m.__name__)
def test_a_process_of_its_own_is_killed(training: Killing, moment: Callable[[Path], bool]) -> None:
    work = training.fresh(moment.__name__)
    command = [sys.executable, "-m", "gravlensdiffusion", *TRAIN.words]
    with subprocess.Popen(command, cwd=work, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not moment(work):
            time.sleep(0.0002)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == KILLED
    assert training.run(work) == 0, training.said()
    assert results(work) == training.expected
