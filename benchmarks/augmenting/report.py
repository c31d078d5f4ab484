"""The study as tables, as JSON, and as a figure."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from augmenting.generators import DRAWING
from augmenting.settings import ARMS, CLASSES, RARE, REGIMES, Arm, Options, Regime, read_piece
from gravlensdiffusion.files import write_atomically
from gravlensdiffusion.training.run import environment

BASE = "turned"
"""The arm that others are compared with."""
LARGEST = max(REGIMES.values(), key=lambda regime: regime.target).name
"""The scarce set that most images are drawn for."""
CAPTION = "Area under the ROC curve of each arm: every seed, and their mean"
COLOURS = {
    "": "0.35",
    "honest": "#d55e00",
    "transfer": "#e69f00",
    "guided": "#cc79a7",
    "fresh": "#0072b2",
}
"""Colours by what is added, told apart with every kind of colour blindness (Okabe and Ito 2008)."""

Piece = dict[str, Any]
Pieces = dict[tuple[str, str], dict[int, Piece]]
"""Pieces by scarce set and arm, then by seed."""


def report(options: Options, max_seeds: int) -> str:
    """Return the tables of all pieces there are; write them where it is asked for.

    Args:
        options: Where the pieces lie, and where the documentation.
        max_seeds: Seeds that there can be.
    """
    pieces: Pieces = {}
    for regime in REGIMES.values():
        for arm in ARMS.values():
            read = {
                k: read_piece(options, f"{regime.name}-{arm.name}-{k}") for k in range(max_seeds)
            }
            found = {seed: piece for seed, piece in read.items() if piece is not None}
            if found:
                pieces[regime.name, arm.name] = found
    judged = [
        piece
        for kind in DRAWING
        for regime in REGIMES
        for seed in range(max_seeds)
        if (piece := read_piece(options, f"judged-{kind}-{regime}-{seed}")) is not None
    ]
    scans = [
        piece
        for path in sorted((options.out / "pieces").glob("scan-*.json"))
        if (piece := read_piece(options, path.stem)) is not None
    ]
    bound = read_piece(options, "bound")
    parts = [bound_line(bound)] if bound else []
    parts += [
        arms_table(regime, pieces)
        for regime in REGIMES.values()
        if any(name == regime.name for name, _ in pieces)
    ]
    parts += [judged_table(judged)] if judged else []
    parts += [scans_table(scans, bound)] if scans and bound else []
    text = "\n\n".join(parts)
    if options.docs is not None:
        folder = options.docs / "benchmarks"
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(
            folder / "augmentation.md", f"{text}\n\n![{CAPTION}](images/augmentation.png)\n"
        )
        results = {
            "machine": environment("", "cpu"),
            "threads": options.threads,
            "upper_bound": bound,
            "arms": [p for by_seed in pieces.values() for p in by_seed.values()],
            "generated": judged,
            "guidance": scans,
        }
        write_atomically(folder / "augmentation.json", json.dumps(results, indent=1) + "\n")
        (options.docs / "images").mkdir(exist_ok=True)
        plot(pieces, bound, options.docs / "images" / "augmentation.png")
    return text


def bound_line(bound: Piece) -> str:
    """Say what unlimited simulations give."""
    scores = bound["even"]
    pairs = ", ".join(f"{pair} {value:.3f}" for pair, value in scores["pair_auc"].items())
    return (
        f"Upper bound, {sum(bound['images'].values()):,} simulations: area {scores['auc']:.3f} "
        f"({pairs}), accuracy {scores['accuracy']:.3f}, calibration error "
        f"{scores['calibration_error']:.3f}."
    )


def arms_table(regime: Regime, pieces: Pieces) -> str:
    """Return one row per arm: mean and spread over the seeds."""
    rare = CLASSES.index(RARE)
    is_rare = len(set(regime.real)) > 1
    heads = ["trained on", "images", "ROC-AUC", "against half turns"]
    heads += [f"{RARE} AUC", f"{RARE} recall, argmax"] * is_rare
    heads += ["recall " + ", ".join(CLASSES), "calibration error", "log-loss"]
    rows = []
    base = pieces.get((regime.name, BASE), {})
    for arm in ARMS.values():
        found = pieces.get((regime.name, arm.name))
        if not found:
            continue
        each = list(found.values())
        even = [piece["even"] for piece in each]
        cells = [arm.title, counts(each[0])]
        cells += [spread([e["auc"] for e in even]), difference(found, base, arm)]
        if is_rare:
            cells.append(spread([e["class_auc"][rare] for e in even]))
            cells.append(spread([p["as_trained"]["recall"][rare] for p in each], 2))
        recalls = np.array([e["recall"] for e in even])
        cells.append(", ".join(spread(list(column), 2) for column in recalls.T))
        cells.append(spread([e["calibration_error"] for e in even]))
        cells.append(spread([e["log_loss"] for e in even]))
        rows.append(cells)
    seeds = sorted({seed for (name, _), p in pieces.items() if name == regime.name for seed in p})
    title = f"**{regime.title}** (seeds {', '.join(map(str, seeds))})"
    return "\n".join([title, "", *markdown(heads, rows)])


def counts(piece: Piece) -> str:
    """Return the numbers of images of the classes, one if they are the same."""
    numbers = list(piece["images"].values())
    same = len(set(numbers)) == 1
    return f"3 x {numbers[0]:,}" if same else " : ".join(f"{num:,}" for num in numbers)


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Return mean and standard deviation over the seeds."""
    mean = f"{np.mean(values):.{digits}f}"
    return f"{mean} ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else mean


def difference(found: dict[int, Piece], base: dict[int, Piece], arm: Arm) -> str:
    """Return the mean difference of the area to the base, seed by seed, and its standard error."""
    seeds = sorted(found.keys() & base.keys())
    if arm.name == BASE or not seeds:
        return ""
    gaps = [found[seed]["even"]["auc"] - base[seed]["even"]["auc"] for seed in seeds]
    mean = f"{np.mean(gaps):+.3f}"
    error = np.std(gaps, ddof=1) / np.sqrt(len(gaps)) if len(gaps) > 1 else np.nan
    return f"{mean} ± {error:.3f}" if np.isfinite(error) else mean


def judged_table(judged: Sequence[Piece]) -> str:
    """Return what the classifier of the upper bound sees in generated images."""
    heads = ["generator", "learned from", "ROC-AUC", "recall " + ", ".join(CLASSES)]
    heads += ["nearest real image", "nearer than held-out"]
    rows = []
    for kind, regime in dict.fromkeys((p["kind"], p["regime"]) for p in judged):
        # Bundled generators know nothing of the scarce set: the largest drawing stands for all.
        if kind != "honest" and regime != LARGEST:
            continue
        each = [p for p in judged if (p["kind"], p["regime"]) == (kind, regime)]
        recalls = np.array([p["recall"] for p in each])
        source = REGIMES[regime].title if kind == "honest" else "its own 60,000 simulations"
        row = [kind, source, spread([p["auc"] for p in each])]
        row.append(", ".join(spread(list(column), 2) for column in recalls.T))
        near = [p["memorisation"] for p in each if "memorisation" in p]
        row.append(spread([m["median_ratio"] for m in near], 2) if near else "")
        row.append(spread([m["auc"] for m in near], 2) if near else "")
        rows.append(row)
    title = "**Generated images, seen by the classifier of the upper bound**"
    return "\n".join([title, "", *markdown(heads, rows)])


def scans_table(scans: Sequence[Piece], bound: Piece) -> str:
    """Return how distinct the classes are at each guidance scale, beside simulations."""
    heads = ["guidance", "ROC-AUC", *bound["even"]["pair_auc"], "recall " + ", ".join(CLASSES)]
    rows = []
    for name, scores in [(f"{s['guidance']:g}", s) for s in scans] + [
        ("test simulations", bound["even"])
    ]:
        pairs = [f"{value:.3f}" for value in scores["pair_auc"].values()]
        recall = ", ".join(f"{value:.2f}" for value in scores["recall"])
        rows.append([name, f"{scores['auc']:.3f}", *pairs, recall])
    title = f"**Classes of `{scans[0]['model']}` by guidance, seen by the same classifier**"
    return "\n".join([title, "", *markdown(heads, rows)])


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table."""
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    return lines + [f"| {' | '.join(row)} |" for row in rows]


def plot(pieces: Pieces, bound: Piece | None, path: Path) -> None:
    """Draw the area of each arm and seed."""
    shown = [each for each in REGIMES.values() if any(name == each.name for name, _ in pieces)]
    figure = Figure(figsize=(3.6 + 3.0 * len(shown), 4.2), layout="constrained")
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    names = list(ARMS)
    for axes, regime in zip(panels, shown, strict=True):
        for place, arm in enumerate(ARMS.values()):
            found = pieces.get((regime.name, arm.name))
            if not found:
                continue
            values = [piece["even"]["auc"] for piece in found.values()]
            colour = COLOURS[arm.extra]
            face = colour if arm.has_real else "none"
            axes.plot(values, [place] * len(values), "o", ms=4, color=colour, mfc=face, alpha=0.6)
            axes.plot(np.mean(values), place, "|", ms=16, mew=2, color=colour)
        if bound is not None:
            axes.axvline(bound["even"]["auc"], color="0.6", lw=1, ls=":")
        axes.set(xlabel="area under the ROC curve", title=regime.title)
        axes.title.set_fontsize(9)
        axes.grid(axis="y", color="0.92", lw=0.8)
    panels[0].set_yticks(range(len(names)), [ARMS[name].title for name in names], fontsize=8)
    panels[0].invert_yaxis()
    figure.savefig(path, dpi=120)
