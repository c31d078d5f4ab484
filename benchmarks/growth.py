r"""How time and memory grow with the number of images: simulate, train, sample, evaluate.

    python benchmarks/growth.py
    python benchmarks/growth.py --sizes 1000,10000,100000 --docs docs

Every step is a `gravlens` command in a process of its own: images of 28 pixels are simulated, the
bundled `lens28` draws as many, in one step, and both are compared, with a second simulated set of the same
number for the floor and as the training set that copies are looked for in. Training passes the same
number of images through the network whatever the size of the set. FID and KID, whose network takes
a tenth of a second for each image, are left out.

Each step and size is kept as a file in the folder of the runs, so that the same command goes on
where it was broken off.
"""

import json
import math
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from measuring import measure
from running import launch, read_numbers

from gravlensdiffusion.codec import to_json
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.files import write_atomically
from gravlensdiffusion.presets.training import training_preset
from gravlensdiffusion.training.run import environment

SETUP = "train, set-up and one step"
TRAIN = "train"
STEPS = ("simulate", SETUP, TRAIN, "sample", "evaluate")
"""The rows of the table, in order."""
SECOND = "simulate a second set"
"""What is needed and not shown: it is the first step again."""
CAPTION = "Processor time and peak memory against the number of images"
MB = 1e6
MODEL = "lens28"
"""What draws."""


@dataclass(frozen=True)
class Options:
    """What to measure."""

    sizes: str = "1000,3000"
    """Numbers of images, separated by commas, in rising order."""
    train_images: int = 6400
    """Images that pass through the network in training, whatever the size of the set."""
    out: Path = Path("runs/growth")
    """Folder of the sets, the runs and the measurements."""
    docs: Path | None = None
    """Folder of the documentation: writes benchmarks/growth.md, benchmarks/growth.json and
    images/growth.png there."""
    threads: int = 1
    """Threads of torch."""
    jobs: int = 1
    """Processes of the simulation."""
    skip_pixel_test: bool = False
    """Leave out the classifier on pixels, whose time is that of 4,000 images at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One command.

    Attributes:
        name: What it is called in the table.
        num: Number of images of the set.
        words: Arguments of `gravlens`.
        makes: What it writes; removed before it runs.
    """

    name: str
    num: int
    words: tuple[str, ...]
    makes: tuple[Path, ...]


def main(options: Options) -> None:
    """Measure what is not measured yet, print the table, write what was asked for."""
    sizes = read_sizes(options.sizes)
    if options.train_images <= training_preset("cutouts28").batch_size:
        raise GravLensError(
            f"--train-images must be more than {training_preset('cutouts28').batch_size}"
        )
    options.out.mkdir(parents=True, exist_ok=True)
    recipes = write_recipes(options.out, options.train_images)
    found = []
    for num in sizes:
        for step in steps(options, num, recipes):
            piece = measured(step, options)
            if step.name in STEPS:
                found.append(piece)
    results = {
        "machine": environment("", "cpu"),
        "threads": options.threads,
        "jobs": options.jobs,
        "train_images": options.train_images,
        "pixel_test": not options.skip_pixel_test,
        "pieces": found,
    }
    text = table(found, options)
    print(text)
    if options.docs is not None:
        page = made(options.docs / "benchmarks" / "growth.md")
        write_atomically(page, f"{text}\n\n![{CAPTION}](images/growth.png)\n")
        path = made(options.docs / "benchmarks" / "growth.json")
        write_atomically(path, json.dumps(results, indent=2) + "\n")
        plot(found, made(options.docs / "images" / "growth.png"))


def read_sizes(text: str) -> list[int]:
    """Return the numbers of images.

    Raises:
        GravLensError: If they are no rising numbers from 100 up.
    """
    sizes = read_numbers(text, "--sizes", int)
    if not sizes or sizes != sorted(set(sizes)) or sizes[0] < 100:
        raise GravLensError(f"--sizes must rise from 100 or more, got {text}")
    return sizes


def write_recipes(folder: Path, train_images: int) -> dict[str, Path]:
    """Write the recipes of training: one step, and all images, both without sample grids."""
    paths = {}
    for name, total in ((SETUP, training_preset("cutouts28").batch_size), (TRAIN, train_images)):
        recipe = replace(
            training_preset("cutouts28"), preset="growth", total_images=total, sample_images=0
        )
        paths[name] = folder / f"recipe-{total}.json"
        write_atomically(paths[name], to_json(recipe))
    return paths


def steps(options: Options, num: int, recipes: dict[str, Path]) -> Iterator[Step]:
    """Yield the commands for one size, in the order in which they need each other."""
    folder = options.out / str(num)
    images, second, samples = folder / "images.h5", folder / "second.h5", folder / "samples"
    for name, path, seed in (("simulate", images, "1"), (SECOND, second, "2")):
        words = [
            "simulate",
            "--preset",
            "deeplense",
            "--size",
            "28",
            "--flux-unit",
            "e-/s",
            "--num",
            str(num),
        ]
        words += ["--seed", seed, "--jobs", str(options.jobs), "--out", str(path)]
        yield Step(name=name, num=num, words=tuple(words), makes=(path,))
    for name, recipe in recipes.items():
        run = folder / recipe.stem
        words = ["train", "--data", str(images), "--out", str(run), "--preset", str(recipe)]
        yield Step(name=name, num=num, words=(*words, "--device", "cpu"), makes=(run,))
    words = ["sample", "--model", MODEL, "--steps", "1", "--num", str(num), "--out", str(samples)]
    yield Step(name="sample", num=num, words=(*words, "--device", "cpu"), makes=(samples,))
    words = ["evaluate", str(samples / "lenses.h5"), str(images), "--reference2", str(second)]
    words += ["--train", str(second), "--protocol", "none", "--out", str(folder / "report")]
    words += ["--skip-pixel-test"] * options.skip_pixel_test
    # With the cache goes what an earlier try may have measured.
    makes = (folder / "report", folder / "cache")
    yield Step(name="evaluate", num=num, words=tuple(words), makes=makes)


def measured(step: Step, options: Options) -> dict[str, Any]:
    """Return what a step takes, from its file where the same command was measured before."""
    path = made(options.out / "pieces" / f"{step.name.replace(', ', '-').replace(' ', '-')}.json")
    path = path.with_stem(f"{path.stem}-{step.num}")
    facts = {"step": step.name, "num": step.num, "threads": options.threads}
    facts["command"] = " ".join(["gravlens", *step.words])
    if path.is_file() and step.makes[0].exists():
        piece: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if piece.items() >= facts.items():
            return piece
    for each in step.makes:
        shutil.rmtree(each) if each.is_dir() else each.unlink(missing_ok=True)
    cache = options.out.resolve() / str(step.num) / "cache"
    usage = measure(
        [sys.executable, "-m", "gravlensdiffusion", *step.words],
        {"OMP_NUM_THREADS": str(options.threads), "XDG_CACHE_HOME": str(cache)},
    )
    print(f"{step.name}, {step.num:,} images: {usage.processor_s:.1f} s", file=sys.stderr)
    piece = facts | asdict(usage)
    write_atomically(path, json.dumps(piece, indent=2))
    return piece


def table(pieces: Sequence[dict[str, Any]], options: Options) -> str:
    """Return two Markdown tables: processor time and peak memory of each step by size."""
    sizes = sorted({piece["num"] for piece in pieces})
    by_place = {(piece["step"], piece["num"]): piece for piece in pieces}
    head = f"| | {' | '.join(f'{num:,} images' for num in sizes)} |"
    rule = f"|---|{'---|' * len(sizes)}"
    times = [head.replace("| |", "| processor time |", 1), rule]
    memory = [head.replace("| |", "| peak memory |", 1), rule]
    for name in STEPS:
        row = [by_place[name, num] for num in sizes]
        label = f"train on {options.train_images:,} images" if name == TRAIN else name
        cells = [f"{piece['processor_s']:.1f} s" for piece in row]
        if name == TRAIN:
            setups = [by_place[SETUP, num]["processor_s"] for num in sizes]
            cells = [
                f"{cell} ({1000 * per_image(piece['processor_s'] - setup, options):.2f} ms each)"
                for cell, piece, setup in zip(cells, row, setups, strict=True)
            ]
        else:
            # What the start costs drops out of the difference between two sizes.
            for k in range(1, len(sizes)):
                more = row[k]["processor_s"] - row[k - 1]["processor_s"]
                cells[k] += f" ({1000 * more / (sizes[k] - sizes[k - 1]):.2f} ms more each)"
        times.append(f"| {label} | {' | '.join(cells)} |")
        peaks = [f"{piece['peak_bytes'] / MB:,.0f} MB" for piece in row]
        memory.append(f"| {label} | {' | '.join(peaks)} |")
    plural = "s" if options.threads > 1 else ""
    note = f"With {options.threads} thread{plural} of torch."
    return "\n".join([*times, "", *memory, "", note])


def per_image(seconds: float, options: Options) -> float:
    """Return the time of an image in training [s] from that of all but one step [s]."""
    return seconds / (options.train_images - training_preset("cutouts28").batch_size)


def plot(pieces: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw time and memory against the number of images."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    time_axes, memory_axes = figure.subplots(1, 2)
    for name in STEPS:
        row = sorted((each for each in pieces if each["step"] == name), key=lambda e: e["num"])
        sizes = [each["num"] for each in row]
        time_axes.loglog(sizes, [each["processor_s"] for each in row], "o-", label=name)
        memory_axes.semilogx(sizes, [each["peak_bytes"] / MB for each in row], "o-", label=name)
    ends = min(each["num"] for each in pieces), max(each["num"] for each in pieces)
    low = math.exp(sum(math.log(each["processor_s"]) for each in pieces) / len(pieces))
    middle = math.sqrt(ends[0] * ends[1])
    guide = [low * end / middle for end in ends]
    time_axes.loglog(ends, guide, "--", color="0.6", label="linear")
    time_axes.set(xlabel="images", ylabel="processor time [s]")
    memory_axes.set(xlabel="images", ylabel="peak memory [MB]")
    memory_axes.set_ylim(0, 1.1 * max(each["peak_bytes"] for each in pieces) / MB)
    figure.legend(*time_axes.get_legend_handles_labels(), loc="outside lower center", ncols=6)
    figure.savefig(path, dpi=120)


def made(path: Path) -> Path:
    """Return a path whose folder is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


if __name__ == "__main__":
    launch(main, Options, __doc__)
