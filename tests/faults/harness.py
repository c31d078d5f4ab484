"""Killing commands, running them again, and looking at what is left."""

import multiprocessing
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.faults import child
from tests.faults.child import Fate
from tests.faults.commands import Command, results

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.faults.child"])
QUIET = Fate()
"""Nothing happens."""
KILLED = -9
EXISTS = "exists already"


@dataclass
class Killing:
    """One command, killed again and again in a folder.

    Args:
        command: The command.
        folder: Where to work; new.

    Attributes:
        seconds: How long the unbroken command takes [s].
        num_file_steps: How many changes it makes in its folder.
        num_torn_files: How many files of checkpoints it writes.
        num_killed: How many processes were killed before they were done.
        num_torn: How many of these had begun to write a checkpoint.
    """

    command: Command
    folder: Path
    seconds: float = 0.0
    num_file_steps: int = 0
    num_killed: int = 0
    num_torn: int = 0
    expected: dict[str, bytes | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self._start = self.folder / "start"
        self._start.mkdir()
        self.command.set_up(self._start)
        whole = self.fresh("whole")
        counted = self.folder / "steps.txt"
        assert self.run(whole) == 0, self.said()
        self.expected = results(whole)
        again = self.fresh("again")
        started = time.monotonic()
        assert self.run(again, Fate(num_steps_file=counted)) == 0, self.said()
        self.seconds = time.monotonic() - started
        self.num_file_steps = int(counted.read_text())
        assert results(again) == self.expected

    def fresh(self, name: str = "work") -> Path:
        """Return a folder in which nothing but what the command needs is found."""
        folder = self.folder / name
        if folder.exists():
            shutil.rmtree(folder)
        shutil.copytree(self._start, folder)
        return folder

    def run(self, work: Path, fate: Fate = QUIET, kill_after: float | None = None) -> int:
        """Run the command; return its exit code, which is -9 where it was killed.

        Args:
            work: The folder in which it runs.
            fate: What it meets.
            kill_after: Time until it is killed from outside, or None [s].
        """
        self._log.unlink(missing_ok=True)
        process = CONTEXT.Process(
            target=child.run, args=(self.command.words, work, self._log, fate)
        )
        process.start()
        process.join(kill_after)
        if kill_after is not None:
            process.kill()
        process.join()
        code = process.exitcode
        process.close()
        assert code is not None
        return code

    def said(self) -> str:
        """Return what the last run has said."""
        return self._log.read_text()

    def chain(self, kills: Iterable[Fate | float], name: str = "work") -> None:
        """Kill the command again and again in one folder, then let it end, and compare.

        Args:
            kills: Where or when [s] to kill it, in turn.
            name: The folder's name.
        """
        work = self.fresh(name)
        for kill in kills:
            fate, after = (kill, None) if isinstance(kill, Fate) else (QUIET, float(kill))
            if self.run(work, fate, after) != KILLED:
                break
            self.num_killed += 1
            self.num_torn += bool(list(work.glob("run/checkpoints/.*.partial")))
        code = self.run(work)
        # Killed after its result had got its name: there is nothing left to do.
        if not (code == 2 and EXISTS in self.said() and (work / self.command.done).exists()):
            assert code == 0, self.said()
        found = results(work)
        assert sorted(found.keys() ^ self.expected.keys()) == []
        assert [name for name in found if found[name] != self.expected[name]] == []

    def random_moments(self, seed: int, num: int) -> list[float]:
        """Return moments spread evenly over the time that the command takes, the first first [s]."""
        return sorted(np.random.default_rng(seed).uniform(0, self.seconds, num).tolist())

    @property
    def _log(self) -> Path:
        return self.folder / "said.txt"
