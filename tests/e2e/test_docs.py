"""The commands of the README and the docs, in their order, in one empty folder for each page.

They are run as they stand, but for numbers of images, steps and epochs, which are made small.
"""

import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gravlensdiffusion.cli.main import main

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "src/gravlensdiffusion/models").glob("*/README.md")),
]
PROGRAM = re.compile(r"(?:[A-Z]+=\S+ )*(?:time )?(?:\.venv/bin/)?(?P<name>[a-z]\S*)(?: |$)")
PROGRAMS = {"gravlens", "python", "make", "pip", "accelerate", "torchrun", "tar", "mkdir", "cp"}

NOT_RUN = {
    r"\b(DATA|GENERATED|IMAGES|METHOD|PATH_TO_SHARED_DATA|INIT|RECIPE)\b": "the reader fills something in",
    r"\breal/|my_cutouts/|reports/drawn|recipe28|--model adapted/": "real images that do not come with the package",
    r"--dask": "a cluster",
    r"--completion": "a file of the shell's; tests/cli/test_main.py",
    r"\bPIPELINE\b": "a folder of diffusers; tests/parity/test_pipelines.py",
    r"^from azula": "needs azula; tests/parity/test_azula.py, tests/e2e/test_examples.py",
    r"\bOWNER/NAME\b": "asks the hub; tests/interop/test_hub.py",
    r"^(accelerate|torchrun) ": "several processes; tests/cli/test_train_processes.py",
    r"^pip |^tar |^gpu-bundle|^make ": "installs, or goes to another machine; tests/test_gpu_bundle",
    r"^python (?!benchmarks/own_set)": "minutes or hours; only their flags are looked at",
    r"^gravlens studio": "stays until it is stopped; tests/studio",
    r"(constant|first)\.json|runs/first|runs/lens28": "trainings that came before the bundled weights",
    r"--preset reference|runs/reference|reference100": "the earlier network; its training is a test",
    r"--sources cosmos": "real galaxies that do not come with the package",
    r"--train data/": "the evaluation of the README, with the training set beside it",
    r"--data preset:": "simulates thousands of images first; tests/training/test_batches_fresh.py",
    r"^from gravlensdiffusion import LensClassifier": "hours; tests/e2e/test_notebook.py",
    r"/recipe\.json": "the recipes of the bundled models; tests/test_bundled_models.py",
}
"""What is left out, and why."""

SMALL = {
    "simulate": {"--num": "60", "--jobs": "1"},
    "sample": {"--num": "4", "--steps": "2"},
    "train": {"--epochs": "1", "--batch-size": "30", "--held-out": ""},
    "distill": {"--images": "32", "--batch-size": "16"},
    "balance": {"--steps": "2"},
    "evaluate": {"--seeds": "1", "--protocol": "none"},
    "classify train": {"--images": "128"},
}
"""Flags with small numbers; an empty one is put in where the flag is there already."""
SMALL_SET = "60"
"""Images of the sets that a script of `benchmarks/` makes."""
SMALL_PYTHON = (
    (r"sample\(\d+", "sample(4"),
    (r"1000, (.*), num_jobs=2", r"4, \1"),
)
INSTEAD = (
    ("--mix", "--num", "110"),
    ("--init", "--held-out", "0"),
    ("--quality", "--steps", ""),
    ("--conditions", "--steps", ""),
    ("--conditions", "--num", ""),
)
"""With this flag, another number: a rare class needs some images, and some flags exclude others."""


def commands(page: Path) -> Iterator[str]:
    """Yield the shell commands of a page and its Python, in their order."""
    lines = iter(page.read_text(encoding="utf-8").splitlines())
    for line in lines:
        if line.startswith("```"):
            fenced = []
            for inner in lines:
                if inner.startswith("```"):
                    break
                fenced.append(inner)
            if line == "```python":
                yield "\n".join(fenced)
        elif line.startswith("    "):
            command = line.strip()
            while command.endswith("\\"):
                command = command[:-1] + next(lines).strip()
            found = PROGRAM.match(command)
            if found and found["name"] in PROGRAMS:
                yield command[found.start("name") :]


def is_run(command: str) -> bool:
    return not any(re.search(pattern, command) for pattern in NOT_RUN)


def small(words: list[str]) -> list[str]:
    """Put small numbers into a command."""
    flags = dict(SMALL.get(" ".join(words[:2]), SMALL.get(" ".join(words[:1]), {})))
    for given, flag, value in INSTEAD:
        if given in words and flag in flags:
            flags[flag] = value
    words = list(words)
    for flag, value in flags.items():
        if flag in words:
            words[words.index(flag) + 1] = value
        elif value:
            words += [flag, value]
    return words


def small_python(code: str) -> str:
    """Put small numbers into Python."""
    for large, few in SMALL_PYTHON:
        code = re.sub(large, few, code)
    return code


def rehearsal(words: list[str], todo: list[str]) -> list[str]:
    """Return what rehearses a training where no command of the page takes what it makes."""
    if words[1:2] != ["train"]:
        return []
    run = re.escape(words[words.index("--out") + 1])
    used = any(re.search(rf"(--model|--init|--preset|export) {run}\b", each) for each in todo)
    return [] if used else ["--dry-run"]


def give(folder: Path, page: str) -> None:
    """Write what the reader of a page has: images of their own, and the table that it shows."""
    rows, columns = np.mgrid[:100, :100] - 49.5
    for name, count, side in (("my_images", 210, 40), ("my_cutouts", 210, 100)):
        if f"{name}/" not in page:
            continue
        (folder / name).mkdir()
        for k in range(count):
            rng = np.random.default_rng(k)
            ring = np.exp(-((np.hypot(rows, columns) - rng.uniform(8, 12)) ** 2) / 8)
            image = ring + rng.normal(0, 0.02, ring.shape)
            low = (100 - side) // 2
            np.save(folder / name / f"{k}.npy", image[low : 100 - low, low : 100 - low])
    (folder / "order.csv").write_text("label,theta_E\naxion,1.2\ncdm,\n")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_do_as_they_are_written(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    todo = [command for command in commands(page) if is_run(command)]
    if not todo:
        pytest.skip("no commands that could be run here")
    give(tmp_path, page.read_text(encoding="utf-8"))
    monkeypatch.chdir(tmp_path)
    # Grids of 36 images take longer than the little that is trained here.
    monkeypatch.setattr("gravlensdiffusion.cli.train._save_samples", lambda *_: None)
    for command in todo:
        words = shlex.split(command)
        if words[0] == "gravlens":
            code = main(small(words[1:]) + rehearsal(words, todo))
            assert code == 0, f"{command}\n{capsys.readouterr().err}"
        elif words[0] == "python":
            if "--num" in words:
                words[words.index("--num") + 1] = SMALL_SET
            monkeypatch.setattr("sys.argv", [words[1].rpartition("/")[2], *words[2:]])
            runpy.run_path(str(ROOT / words[1]), run_name="__main__")
        elif words[0] in PROGRAMS:
            raise AssertionError(f"{command}: say in NOT_RUN why it is not run")
        else:
            exec(compile(small_python(command), page.name, "exec"), {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_is_not_run_is_there(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    folders = (ROOT / "benchmarks", ROOT / "examples")
    scripts = "".join(path.read_text() for each in folders for path in each.rglob("*.py"))
    for command in commands(page):
        words = command.split()
        if words[0] == "make":
            for target in words[1:]:
                assert f"\n{target}:" in makefile, command
        if words[0] == "python":
            assert (ROOT / words[1]).is_file(), command
            for flag in re.findall(r"--([a-z][a-z-]+)", command):
                option = flag.removeprefix("no-").replace("-", "[-_]")
                assert re.search(rf"\b{option}\b", scripts), f"{command}: {flag}"
