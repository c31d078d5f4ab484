"""Other ends of a training: signals, memory, data that change or are bad, a loss that explodes."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gravlensdiffusion.cli.main import main
from gravlensdiffusion.codec import to_json
from gravlensdiffusion.config.model import TransformConfig
from gravlensdiffusion.config.training import OptimiserConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.files import held
from gravlensdiffusion.model.folders import checkpoints
from gravlensdiffusion.sets.records import LensRecord
from gravlensdiffusion.store.writer import write_store
from gravlensdiffusion.training.diffusion import DiffusionTraining, open_training, train
from tests.faults.child import run
from tests.faults.commands import BALANCE, DISTILL, TRAIN, Command
from tests.faults.harness import CONTEXT, QUIET
from tests.sources import ArraySource, rings, tiny
from tests.training.driving import drive


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder we are in, which holds a training set and a recipe."""
    monkeypatch.chdir(tmp_path)
    save(rings(), tmp_path / "lenses.h5")
    (tmp_path / "recipe.json").write_text(to_json(tiny()))
    return tmp_path


def save(source: ArraySource, path: Path) -> None:
    records = (
        LensRecord(image=image, label=int(label))
        for image, label in zip(source.images, source.labels, strict=True)
    )
    write_store(path, records, source.header, overwrite=True)


def words(**changes: str) -> list[str]:
    asked = {"data": "lenses.h5", "preset": "recipe.json", "out": "run", "device": "cpu"} | changes
    return ["train", *(word for name, value in asked.items() for word in (f"--{name}", value))]


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("gravlens: error: ")
    return error.removeprefix("gravlens: error: ")


def terminate(words: Sequence[str], folder: Path, moment: Callable[[], bool]) -> float:
    """Run a command, send SIGTERM when the moment has come, and return when that was [s]."""
    log = folder / "said.txt"
    process = CONTEXT.Process(target=run, args=(words, folder, log, QUIET))
    process.start()
    while process.is_alive() and not moment():
        time.sleep(0.01)
    sent = time.monotonic()
    process.terminate()
    process.join()
    assert process.exitcode == 128 + signal.SIGTERM, log.read_text()
    return sent


@pytest.mark.faults
def test_sigterm_saves_soon(work: Path) -> None:
    (work / "recipe.json").write_text(to_json(tiny(total_images=10**8, checkpoint_images=10**8)))
    log = work / "run" / "metrics.jsonl"
    started = terminate(words(), work, lambda: log.exists() and log.stat().st_size > 0)
    assert time.monotonic() - started < 10
    assert "run the same command to go on" in (work / "said.txt").read_text()
    assert len(checkpoints(work / "run")) == 1


def test_a_signal_before_the_first_step_ends_at_once(work: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "import gravlensdiffusion.training.data as run\n"
        "from gravlensdiffusion.cli.main import main\n"
        "run.prepare = lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM)\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", script, *words()]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 128 + signal.SIGTERM
    assert "gravlens: stopped; nothing was saved yet\n" in result.stderr
    assert main(words()) == 0


@pytest.mark.faults
def test_sigterm_leaves_nothing_half_written(work: Path) -> None:
    command = ["simulate", "--num", "100000", "--size", "28", "--jobs", "1", "--out", "many.h5"]
    terminate(command, work, lambda: any(work.glob(".many.*")))
    assert not list(work.glob("*many*"))


@pytest.mark.parametrize("command", [TRAIN, DISTILL, BALANCE], ids=lambda c: c.name)
def test_a_second_process_is_refused(
    command: Command,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    command.set_up(tmp_path)
    folder = tmp_path / ("filled.h5.partial" if command is BALANCE else "run")
    with held(folder):
        assert main(command.words) == 2
    assert f"{folder.name}: another process is working there" in one_line(capsys)
    assert not folder.exists()
    assert main(command.words) == 0


def test_prepared_images_that_change_stop_the_training(work: Path) -> None:
    def spoil(training: DiffusionTraining) -> None:
        if training.state.images_seen == 40:
            path = work / "run" / "prepared" / "images.npy"
            path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")

    train(tiny(), rings(), work / "whole", device="cpu")
    with pytest.raises(GravLensError, match=r"images\.npy: has changed while it was trained on"):
        drive(open_training(tiny(), rings(), work / "run", device="cpu"), after_step=spoil)
    assert [each.images_seen for each in checkpoints(work / "run")] == [32]
    train(tiny(), rings(), work / "run", device="cpu")
    last = "checkpoints/0000000096/model.safetensors"
    assert (work / "run" / last).read_bytes() == (work / "whole" / last).read_bytes()


def test_a_set_that_changes_is_told_and_not_taken_up(
    work: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = DiffusionTraining.loss
    other = rings()
    # Not among the images that are looked at first.
    other.images[7] *= 2

    def loss(self: DiffusionTraining, first: int) -> torch.Tensor:
        if first == 40:
            save(other, work / "lenses.h5")
        if first == 72:
            raise KeyboardInterrupt
        return plain(self, first)

    monkeypatch.setattr(DiffusionTraining, "loss", loss)
    assert main(words()) == 130
    assert capsys.readouterr().err.count("lenses.h5 has changed since the training began") == 1
    assert [each.images_seen for each in checkpoints(work / "run")] == [32, 64]
    monkeypatch.undo()
    monkeypatch.chdir(work)
    assert main(words()) == 2
    assert "was trained on other data than those given now" in one_line(capsys)
    save(rings(), work / "lenses.h5")
    assert main(words()) == 0


def test_a_parameter_that_changes_is_not_taken_up(tmp_path: Path) -> None:
    config = tiny(parameters=("theta_E",), total_images=32)
    source = rings()
    train(config, source, tmp_path, device="cpu")
    source.parameters["theta_E"][3] += 0.01
    with pytest.raises(GravLensError, match="other data"):
        train(config, source, tmp_path, device="cpu")


def test_nan_in_the_data_is_named(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for k, image in enumerate(rings().images[:4]):
        (work / "data").mkdir(exist_ok=True)
        image[0, 3, 3] = np.nan if k == 2 else 0
        np.save(work / "data" / f"{k}.npy", image)
    assert main(words(data="data")) == 2
    assert one_line(capsys).endswith("2.npy: is not finite in 1 of 256 pixels")
    assert not (work / "run").exists()


@pytest.mark.parametrize("num_before", [0, 32])
def test_an_exploding_loss_stops_and_spoils_no_checkpoint(
    work: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, num_before: int
) -> None:
    plain = DiffusionTraining.loss

    def loss(self: DiffusionTraining, first: int) -> torch.Tensor:
        scale = 1e5 if first > 16 + num_before else 1.0
        return plain(self, first) * scale

    monkeypatch.setattr(DiffusionTraining, "loss", loss)
    recipe = tiny(total_images=320, log_images=8, checkpoint_images=32)
    (work / "recipe.json").write_text(to_json(recipe))
    assert main(words()) == 2
    said = one_line(capsys)
    assert "is usual 10 times in a row" in said
    assert "a lower --learning-rate, 0.0067 say" in said
    assert [each.images_seen for each in checkpoints(work / "run")] == [32] * bool(num_before)
    if num_before:
        kept = "run/checkpoints/0000000032"
        assert f"the checkpoint of 32 images is kept: start from it with --init {kept}," in said
        monkeypatch.undo()
        monkeypatch.chdir(work)
        assert main([*words(out="calmer", init=kept), "--learning-rate", "0.0067"]) == 0
    else:
        assert "nothing was saved yet: try a lower --learning-rate" in said


def test_weights_that_explode_are_noticed(tmp_path: Path) -> None:
    config = tiny(
        total_images=4000,
        log_images=8,
        optimiser=OptimiserConfig(learning_rate=1e4, max_grad_norm=None),
    )
    with pytest.raises(GravLensError, match="10 times in a row"):
        train(config, rings(), tmp_path, device="cpu")


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_a_lack_of_memory_is_one_line_and_keeps_the_state(
    work: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    plain = DiffusionTraining.loss

    def loss(self: DiffusionTraining, first: int) -> torch.Tensor:
        if first == 40:
            raise error
        return plain(self, first)

    monkeypatch.setattr(DiffusionTraining, "loss", loss)
    assert main(words()) == 2
    said = one_line(capsys)
    assert said.startswith("out of memory; the checkpoint of 32 images is kept: ")
    assert "a smaller --batch-size" in said
    monkeypatch.undo()
    monkeypatch.chdir(work)
    assert main(words()) == 0


@pytest.mark.parametrize(
    ("command", "place", "advice"),
    [
        (
            ["sample", "--model", "lens28"],
            "generation.generator.LensGenerator.trajectory",
            "a smaller --batch-size",
        ),
        (["simulate", "--jobs", "1"], "simulation.simulated_set.simulate_one", "smaller images"),
    ],
)
def test_a_lack_of_memory_in_another_command_is_one_line(
    command: list[str],
    place: str,
    advice: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")

    monkeypatch.setattr(f"gravlensdiffusion.{place}", fail)
    assert main([*command, "--num", "2", "--out", str(tmp_path / "drawn.h5")]) == 2
    assert one_line(capsys) == f"out of memory; try {advice} or fewer images at a time"
    assert not list(tmp_path.iterdir())


def test_a_lone_bad_batch_does_not_keep_a_checkpoint_back_for_long(tmp_path: Path) -> None:
    source = rings(80)
    source.images[3] = 5e37
    fixed = TransformConfig(kind="linear", gain=1.0, centre="none")
    config = tiny(total_images=240, batch_size=10, checkpoint_images=10, keep_checkpoints=100)
    config = replace(config, model=replace(config.model, transform=fixed))
    progress = train(config, source, tmp_path, device="cpu")
    assert progress.num_skipped == 3
    assert len(checkpoints(tmp_path)) == 21


def test_damaged_records_of_a_run_are_no_traceback(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words()) == 0
    prepared, environment = work / "run/prepared/prepared.json", work / "run/environment.json"
    whole = prepared.read_bytes(), environment.read_bytes()
    for text in ("", "{", "[1]", "[" * 100_000, "\x00\xff"):
        prepared.write_text(text, encoding="latin-1")
        # The images are prepared anew, and are what they were.
        assert main(words()) == 0
        assert prepared.read_bytes()[:60] == whole[0][:60]
        environment.write_text(text, encoding="latin-1")
        assert main(words()) == 2
        assert one_line(capsys).startswith("run/environment.json: damaged")
        environment.write_bytes(whole[1])
