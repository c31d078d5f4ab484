"""What a comparison is asked to do, and where its pieces lie."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from running import read_numbers

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.files import write_atomically

TRAINED = ("reference", "diffusers", "ddpm-pytorch", "ours")
"""Arms that are trained."""
PEERS = ("diffusers", "ddpm-pytorch")
"""Arms that are other packages."""
PIECES = ("train", "sample", "timing", "score", "report")
"""Pieces, in the order in which they are made."""
SIZE = 28
"""Height and width of the images [pixel]."""


@dataclass(frozen=True)
class Options:
    """What to compare."""

    data: Path = Path("data/compare28.h5")
    """Training images of 28 pixels in e-/s, with noise-free twins."""
    reference: Path = Path("data/compare28_reference.h5")
    """Simulated images, each scaled to [0, 1]; at least twice `num`."""
    out: Path = Path("runs/compare")
    """Folder of the pieces."""
    pieces: str = ",".join(PIECES)
    """Pieces, separated by commas: train, sample, timing, score, report."""
    arms: str = ",".join(TRAINED)
    """Arms, separated by commas. ours@0.33 is another training of ours, planned for and ended after
    that share of the time."""
    recipe: str = "cutouts28"
    """Recipe of ours: a preset, or a .json file."""
    our_steps: str = ""
    """Numbers of steps of ours beside its own, separated by commas."""
    bundled: tuple[str, ...] = ()
    """Models that are only sampled: a bundled model, a run or a checkpoint, with its steps behind a
    colon, such as lens28 or lens28:1,4."""
    minutes: float = 20.0
    """Training time of each arm, on the clock that `clock` names [min]."""
    clock: str = "processor"
    """processor: processor seconds divided by threads, for a machine that does other work beside;
    wall: seconds, for an idle one."""
    fractions: str = "1/6,1/3,1/2,1"
    """Shares of the training time after which the weights are kept."""
    num: int = 1000
    """Images of each sampler of few steps."""
    num_slow: int = 64
    """Images of each sampler of 1000 steps; all samplers are compared at this number, too."""
    draw_slow: bool = True
    """Whether images are drawn in 1000 steps; if not, those steps are only timed."""
    num_curve: int = 200
    """Images of each set of weights that was kept before the end."""
    published: Path | None = None
    """Images that the earlier project published, which are only scored."""
    threads: int = 2
    """Threads of torch."""
    seed: int = 0
    """Seed of weights, order and noise."""
    rounds: int = 5
    """Rounds of the timing; medians count."""
    results: Path = Path("docs/benchmarks/compare.json")
    """Where the report writes its numbers."""
    plot: Path = Path("docs/images/compare.png")
    """Where the report draws quality against time per image."""
    curve_plot: Path = Path("docs/images/compare_training.png")
    """Where the report draws quality against training time."""
    quick: bool = False
    """Make everything tiny, to see that it runs; the numbers mean nothing."""
    only: str = ""
    """One task, as the command calls itself with: PIECE:ARM[:SAMPLER[:SHARE]]."""


def prepared(options: Options) -> Options:
    """Return options with what `quick` changes, checked.

    Raises:
        GravLensError: If a value is not allowed.
    """
    if options.quick:
        options = replace(
            options,
            out=options.out.with_name(options.out.name + "_quick"),
            minutes=0.1,
            fractions="1/2,1",
            num=4,
            num_slow=2,
            num_curve=3,
            rounds=1,
        )
        out = options.out
        options = replace(
            options,
            results=out / "compare.json",
            plot=out / "compare.png",
            curve_plot=out / "compare_training.png",
        )
    for piece in options.pieces.split(","):
        if piece not in PIECES:
            raise GravLensError(f"unknown piece '{piece}'; choose from {', '.join(PIECES)}")
    for arm in chosen_arms(options):
        if base_name(arm) not in TRAINED or (share_of_time(arm) != 1 and base_name(arm) != "ours"):
            raise GravLensError(f"unknown arm '{arm}'; choose from {', '.join(TRAINED)}, ours@0.33")
    if options.clock not in ("processor", "wall"):
        raise GravLensError(f"--clock must be processor or wall, got '{options.clock}'")
    return options


def most_steps(options: Options) -> int:
    """Return the number of steps that no sampler exceeds."""
    return 5 if options.quick else 1000


def chosen_arms(options: Options) -> list[str]:
    """Return the arms that are asked for."""
    return [arm for arm in options.arms.split(",") if arm]


def base_name(arm: str) -> str:
    """Return what an arm is, without its share of the time."""
    return arm.partition("@")[0]


def share_of_time(arm: str) -> float:
    """Return the share of the training time that an arm is planned for."""
    return float(arm.partition("@")[2] or 1)


def shares(options: Options, arm: str) -> list[float]:
    """Return the shares of an arm's own time after which its weights are kept, the last one 1."""
    found = [1.0]
    if arm in TRAINED:
        found += read_numbers(options.fractions, "--fractions", lambda text: float(Fraction(text)))
    return sorted({round(share, 4) for share in found if 0 < share <= 1})


def share_name(share: float) -> str:
    """Return a share as a name of a folder: 0.1667."""
    return f"{share:.4g}"


def budget(options: Options, arm: str) -> float:
    """Return the training time of an arm [s]."""
    return 60 * options.minutes * share_of_time(arm)


def bundled_arms(options: Options) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return model and numbers of steps of the arms that are only sampled, by name."""
    found = {}
    for word in options.bundled:
        model, _, numbers = word.partition(":")
        steps = tuple(read_numbers(numbers, f"the steps of {model}", int))
        found[f"bundled-{Path(model).name}"] = (model, steps)
    return found


def read_piece(path: Path) -> dict[str, Any] | None:
    """Return a piece that was made before, or None."""
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def write_piece(path: Path, numbers: Mapping[str, Any]) -> None:
    """Keep a piece."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(numbers, indent=2) + "\n")
