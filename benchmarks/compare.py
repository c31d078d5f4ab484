r"""Ours, the earlier project's recipe and two other packages: quality for equal training, and cost.

    gravlens simulate --preset deeplense --size 28 --num 30000 --noise-free --flux-unit e-/s \
        --seed 5000 --out data/compare28.h5
    gravlens simulate --preset deeplense --size 28 --num 10000 --seed 3000 \
        --out data/compare28_reference.h5
    python benchmarks/compare.py --recipe recipe.json --our-steps 1,2,4
    python benchmarks/compare.py --quick

Each arm trains for the same time on the same images, draws with each of its samplers, and is scored
against simulated images at equal numbers. Every training, drawing and timing is a piece of its own,
in a process of its own; the same command goes on where it was stopped. docs/benchmarks.md has the
protocol.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

from comparison.drawing import SLOW, sampler_names
from comparison.plots import draw_curves, draw_quality
from comparison.report import full_report
from comparison.sampling import curve_sampler, is_drawn, sample_arm
from comparison.scoring import score_all
from comparison.settings import (
    Options,
    bundled_arms,
    chosen_arms,
    prepared,
    read_piece,
    share_name,
    shares,
    write_piece,
)
from comparison.tables import tables
from comparison.timing import time_all
from comparison.training import kept_shares, train_arm
from running import launch


def main(given: Options) -> None:
    """Make the pieces that are asked for and not there yet, each in its own process."""
    options = prepared(given)
    if options.only:
        run_task(options, options.only)
        return
    for piece in options.pieces.split(","):
        for task in tasks(options, piece):
            in_own_process(options, task)


def tasks(options: Options, piece: str) -> list[str]:
    """Return what is still to be done for a piece."""
    if piece == "train":
        return [f"train:{arm}" for arm in chosen_arms(options) if not is_trained(options, arm)]
    if piece == "sample":
        found = []
        for arm in [*chosen_arms(options), *bundled_arms(options)]:
            names = sampler_names(options, arm)
            wanted = [(name, 1.0) for name in names if options.draw_slow or name != SLOW]
            wanted += [(curve_sampler(arm), share) for share in shares(options, arm)[:-1]]
            kept = [1.0] if arm in bundled_arms(options) else kept_shares(options, arm)
            for name, share in wanted:
                if share in kept and not is_drawn(options, arm, name, share):
                    found.append(f"sample:{arm}:{name}:{share_name(share)}")
        return found
    return [piece]


def is_trained(options: Options, arm: str) -> bool:
    """Whether an arm has trained for its time."""
    found = read_piece(options.out / "train" / f"{arm}.json")
    return found is not None and bool(found["is_done"])


def run_task(options: Options, task: str) -> None:
    """Make one piece in this process."""
    piece, *words = task.split(":")
    if piece == "train":
        train_arm(options, words[0])
    elif piece == "sample":
        sample_arm(options, words[0], words[1], float(words[2]))
    elif piece == "timing":
        time_all(options)
    elif piece == "score":
        score_all(options)
    else:
        write_report(options)


def write_report(options: Options) -> None:
    """Write the results, draw the plots, print the tables."""
    report = full_report(options)
    write_piece(options.results, report)
    for path, draw in ((options.plot, draw_quality), (options.curve_plot, draw_curves)):
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(report, path)
    print(tables(report))
    print(f"wrote {options.results}, {options.plot}, {options.curve_plot}")


def in_own_process(options: Options, task: str) -> None:
    """Make one piece in a process of its own, whose peak of memory is that of the piece.

    Raises:
        SystemExit: If it failed or was stopped.
    """
    command = [sys.executable, str(Path(__file__)), *sys.argv[1:], "--only", task]
    threads = {"OMP_NUM_THREADS": str(options.threads)}
    with subprocess.Popen(command, env=os.environ | threads) as process:
        # A terminal sends its interrupt to both; either way the piece saves and ends first.
        signal.signal(signal.SIGINT, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        code = process.wait()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    if code:
        raise SystemExit(128 - code if code < 0 else code)


if __name__ == "__main__":
    launch(main, Options, __doc__)
