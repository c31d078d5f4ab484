"""A command that fails leaves no half-written result under its final name."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gravlensdiffusion.codec import to_json
from gravlensdiffusion.files import LOCK
from gravlensdiffusion.store.writer import write_store
from tests.hostile.running import REPOSITORY
from tests.sets.files import HEADER, lens_records, save_folder
from tests.sources import tiny

FILE_BYTES = 20_000
"""Size that no file can exceed; every result below is larger."""


def commands(folder: Path) -> dict[str, tuple[list[str], list[str]]]:
    """Return each command with its results, which must not be there."""
    images = np.random.default_rng(0).random((64, 64, 64), dtype=np.float32)
    save_folder(folder / "images", images)
    write_store(folder / "a.h5", lens_records(60, size=28), HEADER)
    (folder / "tiny.json").write_text(to_json(tiny(total_images=16, batch_size=8)))
    evaluation = [
        "evaluate",
        "a.h5",
        "a.h5",
        "--protocol",
        "none",
        "--skip-pixel-test",
        "--seeds",
        "1",
    ]
    return {
        "simulate": (
            ["simulate", "--num", "20", "--size", "28", "--jobs", "1", "--out", "sim.h5"],
            ["sim.h5"],
        ),
        "inspect": (["inspect", "images", "--out", "preview.png"], ["preview.png"]),
        "sample": (
            ["sample", "--model", "lens28", "--num", "40", "--steps", "1", "--out", "drawn", "--format", "h5,npy,png,fits", "--gif"],
            ["drawn"],
        ),
        "evaluate": ([*evaluation, "--out", "report"], ["report/report.html"]),
        "train": (
            ["train", "--data", "a.h5", "--preset", "tiny.json", "--out", "run", "--device", "cpu"],
            ["run/checkpoints"],
        ),
        "distill": (
            ["distill", "--teacher", "lens28", "--images", "8", "--batch-size", "8", "--out", "distilled", "--device", "cpu", "--steps", "1"],
            ["distilled/checkpoints"],
        ),
    }  # fmt: skip


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    folder = tmp_path_factory.mktemp("full")
    planned = commands(folder)
    (folder / "commands.json").write_text(json.dumps([words for words, _ in planned.values()]))
    ran = subprocess.run(
        [sys.executable, "-m", "tests.hostile.writing", str(FILE_BYTES), "commands.json"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path])},
        capture_output=True,
        text=True,
        check=True,
    )
    found = {}
    for (name, (_, results)), said in zip(planned.items(), json.loads(ran.stdout), strict=True):
        left = [
            str(path.relative_to(folder))
            for result in results
            for path in (folder / result, *(folder / result).rglob("*"))
            if path.is_file()
        ]
        found[name] = {**said, "left": left}
    temporary = [path for path in folder.rglob(".*") if path.name != LOCK]
    found["leftovers"] = {"left": [str(path) for path in temporary]}
    return found


@pytest.mark.parametrize("name", ["simulate", "inspect", "sample", "evaluate", "train", "distill"])
def test_a_failed_command_leaves_no_result(
    outcome: dict[str, dict[str, object]], name: str
) -> None:
    assert outcome[name]["code"] == 2, outcome[name]
    assert str(outcome[name]["said"]).count("gravlens: error: ") == 1
    assert outcome[name]["left"] == []


def test_nothing_temporary_stays_behind(outcome: dict[str, dict[str, object]]) -> None:
    assert outcome["leftovers"]["left"] == []
