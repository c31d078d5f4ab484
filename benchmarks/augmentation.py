r"""Do generated images help a classifier? Scarce and unbalanced classes, with every remedy.

    python benchmarks/augmentation.py --docs docs
    python benchmarks/augmentation.py --seeds 0 --quick --out runs/rehearsal

Three dark-matter classes at 28 pixels. A classifier is trained on few real images (simulations stand
for them), with and without help, and judged on 9,000 fresh simulations: the protocol is in
docs/study.md. Every generator, drawing and classifier is a piece of its own, kept in the folder of
the runs, so that the same command goes on where it was stopped; two processes with different seeds
may share the folder.
"""

import sys
from collections.abc import Iterator
from typing import Any

import torch
from augmenting.classifiers import judge, run_arm, run_bound, scan
from augmenting.generators import DRAWING
from augmenting.images import MAX_SEEDS, Pictures, Pool, simulate
from augmenting.report import report
from augmenting.settings import (
    ARMS,
    REGIMES,
    Arm,
    Options,
    Regime,
    chosen,
    guidances_of,
    read_piece,
    seeds_of,
    write_piece,
)
from running import launch

from gravlensdiffusion.errors import GravLensError

BOUND = "bound"


def main(options: Options) -> None:
    """Make the pieces that are asked for and not there yet, print the tables."""
    seeds = seeds_of(options)
    if not all(0 <= seed < MAX_SEEDS for seed in seeds):
        raise GravLensError(f"--seeds must lie from 0 to {MAX_SEEDS - 1}, got {options.seeds}")
    regimes = chosen(options.regimes, REGIMES, "--regimes")
    arms = chosen(options.arms, ARMS, "--arms")
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    simulate(options)
    pool, test = Pool(options.out / "pool.h5"), Pool(options.out / "test.h5").everything()
    if read_piece(options, BOUND) is None:
        write_piece(options, BOUND, run_bound(options, pool, test))
    for seed, regime, arm in plan(seeds, regimes, arms):
        name = f"{regime.name}-{arm.name}-{seed}"
        if read_piece(options, name) is None:
            told(options, name, run_arm(options, pool, test, regime, arm, seed))
        judged(options, pool, test, regime, arm.extra, seed)
    for guidance in guidances_of(options):
        name = f"scan-{guidance:g}"
        if read_piece(options, name) is None:
            write_piece(options, name, scan(options, guidance))
    print(report(options, MAX_SEEDS))


def plan(
    seeds: list[int], regimes: list[Regime], arms: list[Arm]
) -> Iterator[tuple[int, Regime, Arm]]:
    """Yield what is to be trained: what needs no new generator first."""
    for is_honest in (False, True):
        for seed in seeds:
            for regime in regimes:
                for arm in arms:
                    fits = not arm.only_rare or len(set(regime.real)) > 1
                    if fits and (arm.extra == "honest") == is_honest:
                        yield seed, regime, arm


def judged(
    options: Options, pool: Pool, test: Pictures, regime: Regime, kind: str, seed: int
) -> None:
    """Look at the generated images themselves, once for each set of them."""
    name = f"judged-{kind}-{regime.name}-{seed}"
    if kind in DRAWING and read_piece(options, name) is None:
        write_piece(options, name, judge(options, pool, test, kind, regime, seed))


def told(options: Options, name: str, piece: dict[str, Any]) -> None:
    """Keep a piece and say in one line how it came out."""
    write_piece(options, name, piece)
    scores = piece["as_trained"]
    recall = ", ".join(f"{value:.2f}" for value in piece["even"]["recall"])
    print(
        f"{name}: area {scores['auc']:.3f}, recall {recall}, {piece['processor_s']:.0f} s",
        file=sys.stderr,
    )


if __name__ == "__main__":
    launch(main, Options, __doc__)
