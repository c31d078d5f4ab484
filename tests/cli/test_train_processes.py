"""``gravlens train`` under the launchers, as a user runs it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gravlensdiffusion.cli.main import main
from gravlensdiffusion.codec import to_json
from gravlensdiffusion.model.folders import checkpoints
from gravlensdiffusion.sets.records import LensRecord
from gravlensdiffusion.store.writer import write_store
from gravlensdiffusion.training.run import read_metrics
from tests.classification.planted import HEADER, planted
from tests.launching import TORCHRUN, environment, torchrun
from tests.sources import rings, tiny
from tests.training.test_processes import assert_alike
from tests.training.together import RATE

ACCELERATE = ("-m", "accelerate.commands.launch", "--multi_gpu", "--num_machines", "1")


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """Return a command that trains a tiny recipe on a few images."""
    np.savez(tmp_path / "rings.npz", images=rings(40).images)
    recipe = tmp_path / "recipe.json"
    recipe.write_text(to_json(tiny(sample_images=96, optimiser=RATE)))
    words = ["train", "--preset", recipe, "--data", tmp_path / "rings.npz"]
    return [*map(str, words), "--out", str(tmp_path / "run")]


def test_accelerate_launches_two_processes_that_train_and_speak_as_one(
    words: list[str], tmp_path: Path
) -> None:
    options = ["--num_processes", "2", "--mixed_precision", "no", "--dynamo_backend", "no"]
    options += ["--main_process_port", "0", "-m", "gravlensdiffusion"]
    done = subprocess.run(
        [sys.executable, *ACCELERATE, *options, *words],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"trained {tmp_path / 'run'} on 40 different images, 96 seen\n"
    assert done.stderr.count("96 images in 12 steps") == 1
    assert [line["images"] for line in read_metrics(tmp_path / "run")] == [16, 32, 48, 64, 80, 96]
    assert [path.name for path in (tmp_path / "run" / "samples").iterdir()] == ["0000000096.png"]
    assert main([*words[:-1], str(tmp_path / "alone")]) == 0
    assert_alike(tmp_path / "run", tmp_path / "alone")


@pytest.mark.faults
def test_a_signal_to_one_process_saves_and_ends_all(words: list[str], tmp_path: Path) -> None:
    words += ["--epochs", "100000"]
    command = [*TORCHRUN, "--nproc-per-node", "2", "-m", "--", "gravlensdiffusion", *words]
    launcher = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment())
    deadline = time.monotonic() + 120
    while not (tmp_path / "run" / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
    assert len(children) == 2
    os.kill(int(children[1]), signal.SIGTERM)
    _, told = launcher.communicate(timeout=60)
    assert launcher.returncode == 1
    assert told.count("run the same command to go on") == 1
    assert 0 < checkpoints(tmp_path / "run")[-1].images_seen < 4_000_000
    # The launcher has a traceback of its own to show.
    assert "gravlensdiffusion/cli" not in told


@pytest.mark.faults
def test_processes_that_cannot_share_a_batch_are_refused(words: list[str], tmp_path: Path) -> None:
    words += ["--batch-size", "3"]
    done = torchrun(2, "-m", "--", "gravlensdiffusion", *words)
    assert done.returncode == 1
    assert "batch size 3 does not divide among 2 processes" in done.stderr
    assert "gravlens: error (process 2 of 2): " in done.stderr or "error: batch" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.faults
def test_a_folder_that_is_no_run_is_refused_once(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("x")
    done = torchrun(2, "-m", "--", "gravlensdiffusion", *words)
    assert done.returncode == 1
    assert done.stderr.count("gravlens: error") == 1, done.stderr
    assert "is not a run directory" in done.stderr


@pytest.mark.faults
def test_two_processes_train_one_classifier(tmp_path: Path) -> None:
    source = planted(200, 0)
    records = (
        LensRecord(image=image, label=int(label))
        for image, label in zip(source.images, source.labels, strict=True)
    )
    write_store(tmp_path / "train.h5", records, HEADER, num=200)
    words = ["classify", "train", str(tmp_path / "train.h5"), "--images", "640"]
    words += ["--batch-size", "32", "--device", "cpu", "--out", str(tmp_path / "classifier")]
    done = torchrun(2, "-m", "--", "gravlensdiffusion", *words)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"wrote {tmp_path / 'classifier'}: AUC ")
    # Dropout is not the same as in one process, so the weights are not: but both classes are known.
    assert float(line.split("AUC ")[1].split()[0]) > 0.9
    assert {path.name for path in tmp_path.iterdir()} == {"train.h5", "classifier"}
