r"""Memory of training on a set that is larger than the memory it may take.

    python benchmarks/large_set.py
    python benchmarks/large_set.py --sizes 1000,100000 --docs docs

Images of 64 pixels are simulated, and written again and again, each time with the noise of another
one, until the set has its size. The recipe of `lens64` trains on each set, in a process of its own
whose resident memory is read twenty times a second, by kind: anonymous memory (what it has
allocated), and pages of files (libraries, and data where a file is mapped). A last run on the
largest set holds all images in memory, for comparison; its losses must be the same to the last bit.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from measuring import POLL_S, PROC
from running import launch, read_numbers

from gravlensdiffusion.codec import to_json
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.files import write_atomically
from gravlensdiffusion.presets.training import training_preset
from gravlensdiffusion.sets.records import LensRecord
from gravlensdiffusion.store.reader import LensStore
from gravlensdiffusion.store.writer import write_store
from gravlensdiffusion.training.run import environment, read_metrics

MB = 1e6
BLOCK = 500
"""Images copied at a time."""
KINDS = ("VmRSS", "RssAnon", "RssFile")
"""Resident memory in all, allocated, and of files."""
HOLDING = """
import sys
from gravlensdiffusion.sets import training_set as dataset
from gravlensdiffusion.cli.main import main
class Held(dataset._CachedSet):
    def __init__(self, source, path):
        super().__init__(source, path)
        self.held = super().read(slice(None))

    def read(self, indices):
        return self.held[indices]


dataset._CachedSet = Held
sys.exit(main(sys.argv[1:]))
"""
"""`gravlens` with all prepared images in memory."""


@dataclass(frozen=True)
class Options:
    """What to measure."""

    sizes: str = "1000,100000"
    """Numbers of images, separated by commas, in rising order."""
    simulated: int = 5000
    """Images that are simulated; the others repeat them with other noise."""
    train_images: int = 3200
    """Images that pass through the network, whatever the size of the set."""
    out: Path = Path("runs/large-set")
    """Folder of the sets and the runs."""
    docs: Path | None = None
    """Folder of the documentation: writes benchmarks/large_set.md and .json there."""
    threads: int = 1
    """Threads of torch."""


@dataclass(kw_only=True, slots=True)
class Run:
    """What one training took.

    Attributes:
        num: Number of images of the set.
        held: Whether all images were held in memory.
        preparing: Largest resident memory before the first step, by kind [byte].
        training: The same from then on.
        losses: The losses of its log.
    """

    num: int
    held: bool
    preparing: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    training: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    losses: list[float] = field(default_factory=list)


def main(options: Options) -> None:
    """Make the sets, train on each, print the table, write what was asked for."""
    sizes = read_numbers(options.sizes, "--sizes", int)
    options.out.mkdir(parents=True, exist_ok=True)
    recipe = options.out / "recipe.json"
    # The images as they are: twins would be repeated to the last bit.
    wanted = replace(
        training_preset("lens64"),
        preset="large-set",
        noise="learned",
        total_images=options.train_images,
        log_images=320,
        sample_images=0,
    )
    write_atomically(recipe, to_json(wanted))
    base = simulated(options)
    runs = []
    for num in sizes:
        path = repeated(base, num, options.out / f"images-{num}.h5")
        runs.append(trained(path, recipe, num, options, held=False))
    runs.append(trained(path, recipe, num, options, held=True))
    if runs[-1].losses != runs[-2].losses:
        raise GravLensError("the losses depend on where the images are held")
    text = table(runs, options)
    print(text)
    if options.docs is not None:
        folder = options.docs / "benchmarks"
        write_atomically(folder / "large_set.md", f"{text}\n")
        results = {
            "machine": environment("", "cpu"),
            "threads": options.threads,
            "simulated": options.simulated,
            "train_images": options.train_images,
            "runs": [{name: getattr(run, name) for name in Run.__slots__} for run in runs],
        }
        write_atomically(folder / "large_set.json", json.dumps(results, indent=2) + "\n")


def simulated(options: Options) -> Path:
    """Return a set of simulated images with their noise-free twins."""
    path = options.out / f"simulated-{options.simulated}.h5"
    if not path.exists():
        words = ["simulate", "--preset", "deeplense", "--size", "64", "--flux-unit", "e-/s"]
        words += ["--noise-free", "--num", str(options.simulated), "--seed", "1", "--jobs", "1"]
        words += ["--out", str(path)]
        subprocess.run([sys.executable, "-m", "gravlensdiffusion", *words], check=True)
    return path


def repeated(base: Path, num: int, path: Path) -> Path:
    """Write a set of ``num`` images: those of another one, with their noise moved on each time."""
    if path.exists():
        return path

    def records() -> Iterator[LensRecord]:
        with LensStore(base) as store:
            noise = store.read(slice(None)) - store.read_noise_free(slice(None))
            values, labels = store.parameters, store.labels
            for low in range(0, num, BLOCK):
                rows = [k % len(store) for k in range(low, min(low + BLOCK, num))]
                clean = store.read_noise_free(rows)
                for place, k in enumerate(rows):
                    turn = (low + place) // len(store)
                    yield LensRecord(
                        image=clean[place] + noise[(k + turn) % len(store)],
                        label=int(labels[k]),
                        parameters={name: float(each[k]) for name, each in values.items()},
                    )

    with LensStore(base) as store:
        header = store.header
    return write_store(path, records(), header, num=num)


def trained(path: Path, recipe: Path, num: int, options: Options, *, held: bool) -> Run:
    """Train on a set, and return what that took."""
    out = options.out / f"run-{num}{'-held' * held}"
    shutil.rmtree(out, ignore_errors=True)
    words = ["train", "--data", str(path), "--out", str(out), "--preset", str(recipe)]
    start = ["-c", HOLDING] if held else ["-m", "gravlensdiffusion"]
    process = subprocess.Popen(
        [sys.executable, *start, *words, "--device", "cpu"],
        env={**os.environ, "OMP_NUM_THREADS": str(options.threads)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    said: list[str] = []
    listener = threading.Thread(target=lambda: said.extend(process.stderr or ()), daemon=True)
    listener.start()
    run = Run(num=num, held=held)
    is_prepared = False
    while process.poll() is None:
        # The last image was written, and the scale fitted: the first line of the log is near.
        is_prepared = is_prepared or (out / "prepared" / "prepared.json").exists()
        peak = run.training if is_prepared else run.preparing
        for kind, size in resident(process.pid).items():
            peak[kind] = max(peak[kind], size)
        threading.Event().wait(POLL_S)
    listener.join(timeout=1)
    if process.returncode:
        raise GravLensError(f"training ended with {process.returncode}: {''.join(said)[-500:]}")
    run.losses = [line["loss"] for line in read_metrics(out)]
    return run


def resident(pid: int) -> dict[str, int]:
    """Return the resident memory of a process by kind [byte]; nothing once it has ended."""
    try:
        lines = (PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return {}
    pairs = [line.split(":") for line in lines]
    return {name: 1024 * int(text.split()[0]) for name, text in pairs if name in KINDS}


def table(runs: list[Run], options: Options) -> str:
    """Return a Markdown table of the peaks."""
    size = 4 * 64 * 64
    lines = [
        "| images | their pixels | while preparing | while training | allocated | pages of files |",
        "|---|---|---|---|---|---|",
    ]
    for run in runs:
        name = f"{run.num:,}" + ", all held in memory" * run.held
        cells = [run.preparing["VmRSS"], *(run.training[kind] for kind in KINDS)]
        peaks = " | ".join(f"{cell / MB:,.0f} MB" for cell in cells)
        lines.append(f"| {name} | {run.num * size / MB:,.0f} MB | {peaks} |")
    first, last = runs[-1].losses[0], runs[-1].losses[-1]
    note = (
        f"Peaks of the resident memory, batches of {training_preset('lens64').batch_size}, {options.train_images:,} "
        f"images through the network, {options.threads} thread{'s' * (options.threads > 1)}. "
        f"Over these the loss went from {first:.4f} to {last:.4f}, with the images in their file "
        "and in memory alike, to the last bit."
    )
    return "\n".join([*lines, "", note])


if __name__ == "__main__":
    launch(main, Options, __doc__)
