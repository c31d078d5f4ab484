"""Kill every command at hundreds of moments, and write down what came of it: `make faults`."""

import argparse
import json
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np

from tests.faults.child import Fate, run
from tests.faults.commands import BALANCE, DISTILL, SAMPLE, SHARDS, SIMULATE, TRAIN, Command
from tests.faults.harness import CONTEXT, Killing

OUT = Path(__file__).parents[2] / "docs" / "benchmarks" / "faults"
NUM_CHECKPOINT_FILES = 12
"""Files of checkpoints in an unbroken training: three checkpoints of four files."""


@dataclass(frozen=True, kw_only=True)
class Goal:
    """How often a command is killed.

    Attributes:
        command: The command.
        num_random: Kills at random moments.
        num_steps: Kills between two changes of its files, at most one for each.
        in_a_row: Kills of one piece of work before it may end.
    """

    command: Command
    num_random: int
    num_steps: int = 1000
    in_a_row: int = 5


GOALS = (
    Goal(command=TRAIN, num_random=100, num_steps=30),
    Goal(command=SIMULATE, num_random=100),
    Goal(command=BALANCE, num_random=60, num_steps=30),
    Goal(command=SAMPLE, num_random=40, num_steps=30),
    Goal(command=SHARDS, num_random=40, num_steps=30),
    Goal(command=DISTILL, num_random=25, num_steps=10),
)


def main() -> int:
    """Run all, write the figures, and return 1 where something went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT, help="name of the files, without suffix")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gravlens-faults-") as folder:
        with ThreadPoolExecutor(2) as two:
            kills = list(two.map(lambda goal: kill(goal, Path(folder), options.seed), GOALS))
        signals = [stop(*each, Path(folder)) for each in (("lens28", 28, 5), ("lens64", 64, 2))]
    report = {
        "machine": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "kills": kills,
        "signals": signals,
    }
    options.out.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n")
    options.out.with_suffix(".md").write_text("\n".join(table(report)) + "\n")
    print(f"wrote {options.out}.json and {options.out}.md")
    return int(any(each["failures"] for each in kills))


def kill(goal: Goal, base: Path, seed: int) -> dict[str, object]:
    """Kill one command as often as is asked for, and return the figures."""
    started = time.monotonic()
    killing = Killing(goal.command, base / goal.command.name)
    failures: list[str] = []
    ended = 0

    def chain(kills: list[Fate] | list[float]) -> None:
        nonlocal ended
        try:
            killing.chain(kills)
            ended += 1
        except AssertionError as error:
            failures.append(f"{kills}: {error}")

    for k in count():
        # A kill that comes too late counts for nothing, so that there may be more of them.
        if killing.num_killed >= goal.num_random or k > goal.num_random:
            break
        chain(killing.random_moments(seed + k, goal.in_a_row))
    num_random, torn_at_random = killing.num_killed, killing.num_torn
    steps = np.random.default_rng(seed).permutation(killing.num_file_steps) + 1
    steps = steps[: goal.num_steps]
    for first in range(0, len(steps), goal.in_a_row):
        some = sorted(steps[first : first + goal.in_a_row].tolist())
        chain([Fate(file_step=step) for step in some])
    num_steps = killing.num_killed - num_random
    if goal.command is TRAIN:
        # After the first kill there is no more than the first checkpoint, or none.
        for number in range(1, NUM_CHECKPOINT_FILES + 1, 3):
            chain([Fate(torn_file=number + k) for k in (2, 1, 0)])
    found: dict[str, object] = {
        "command": goal.command.line,
        "killed_at_random": num_random,
        "of_these_while_writing_a_checkpoint": torn_at_random,
        "killed_between_file_changes": num_steps,
        "killed_halfway_through_a_checkpoint_file": killing.num_killed - num_random - num_steps,
        "ended_with_the_same_bits": ended,
        "failures": failures,
        "seconds": round(time.monotonic() - started),
    }
    print(json.dumps(found), flush=True)
    return found


def stop(preset: str, size: int, num: int, base: Path) -> dict[str, object]:
    """Send SIGTERM to trainings at random moments; return how soon they had saved and gone."""
    work, log = base / preset, base / "log"
    work.mkdir()
    simulate = f"simulate --num 130 --size {size} --noise-free --flux-unit e-/s --jobs 1 --out a.h5"
    train = f"train --data a.h5 --preset {preset} --out run --device cpu --epochs 1000"
    metrics = work / "run" / "metrics.jsonl"
    process = CONTEXT.Process(target=run, args=(simulate.split(), work, log, Fate()))
    process.start()
    process.join()
    seconds, saved = [], 0
    random = np.random.default_rng(0)
    for _ in range(num):
        before = _last(work)
        process = CONTEXT.Process(target=run, args=(train.split(), work, log, Fate()))
        process.start()
        size_before = _size(metrics)
        while process.is_alive() and _size(metrics) <= size_before:
            time.sleep(0.05)
        time.sleep(random.uniform(1, 4))
        started = time.monotonic()
        assert process.pid is not None
        process.terminate()
        process.join()
        seconds.append(time.monotonic() - started)
        saved += process.exitcode == 128 + signal.SIGTERM and _last(work) > before
    found: dict[str, object] = {
        "command": f"gravlens {train}",
        "size": size,
        "num": num,
        "saved": saved,
        "slowest_s": round(max(seconds), 1),
    }
    print(json.dumps(found), flush=True)
    return found


def table(report: dict[str, object]) -> Iterator[str]:
    """Yield the figures as MyST tables."""
    kills, signals = report["kills"], report["signals"]
    assert isinstance(kills, list)
    assert isinstance(signals, list)
    yield "| command | killed at random moments | between two changes of its files | halfway through a file of a checkpoint | ended and compared | other bits or no end |"
    yield "|---|---:|---:|---:|---:|---:|"
    for each in kills:
        yield (
            f"| `{each['command']}` | {each['killed_at_random']} | "
            f"{each['killed_between_file_changes']} | "
            f"{each['killed_halfway_through_a_checkpoint_file'] or ''} | "
            f"{each['ended_with_the_same_bits']} | {len(each['failures'])} |"
        )
    total = sum(each[name] for each in kills for name in each if name.startswith("killed_"))
    yield ""
    torn = sum(each["of_these_while_writing_a_checkpoint"] for each in kills)
    yield f"{total} kills in all; {torn} of the random ones fell into the writing of a checkpoint."
    if not signals:
        return
    yield ""
    yield "| command, of images of | SIGTERM sent | saved and ended | slowest |"
    yield "|---|---:|---:|---:|"
    for each in signals:
        yield (
            f"| `{each['command']}`, {each['size']} pixels | {each['num']} | {each['saved']} | "
            f"{each['slowest_s']} s |"
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _last(work: Path) -> int:
    return max((int(path.name) for path in work.glob("run/checkpoints/[0-9]*")), default=0)


if __name__ == "__main__":
    sys.exit(main())
