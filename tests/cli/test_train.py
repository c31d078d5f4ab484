"""``gravlens train`` as a user runs it."""

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gravlensdiffusion.cli.main import main
from gravlensdiffusion.cli.options import MachineOptions
from gravlensdiffusion.cli.train import Options, _configure, _RecipeOptions
from gravlensdiffusion.codec import to_json
from gravlensdiffusion.config.training import TrainingConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.model.checkpoint import load_model
from gravlensdiffusion.presets.training import training_preset
from gravlensdiffusion.training.diffusion import train
from gravlensdiffusion.training.run import read_metrics
from tests.sources import rings, tiny


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two classes of .npy files, one folder each."""
    source = rings(12)
    for k, image in enumerate(source.images):
        folder = tmp_path / "data" / source.header.class_names[source.labels[k]]
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"lens{k}.npy", 10 * image)
    return tmp_path / "data"


@pytest.fixture
def small_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make cutouts28 small enough to train in a moment."""
    presets = {"cutouts28": lambda: tiny(sample_images=96)}
    monkeypatch.setattr("gravlensdiffusion.presets.training.PRESETS", presets)


@pytest.mark.usefixtures("small_preset")
def test_training_on_a_folder_of_files(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main(["train", "--data", str(data), "--out", str(out), "--device", "cpu"]) == 0
    assert capsys.readouterr().out == f"trained {out} on 12 different images, 96 seen\n"
    assert [line["images"] for line in read_metrics(out)] == [16, 32, 48, 64, 80, 96]
    assert (out / "samples" / "0000000096.png").stat().st_size > 1000
    assert list((out / "tensorboard").glob("events*"))
    # Once more: there is nothing left to do, and nothing is lost.
    assert main(["train", "--data", str(data), "--out", str(out), "--device", "cpu"]) == 0
    assert len(read_metrics(out)) == 6


@pytest.mark.usefixtures("small_preset")
def test_a_bad_file_stops_training_unless_skipped(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "small" / "torn.npy").write_bytes(b"\x93NUMPY")
    words = ["train", "--data", str(data), "--out", str(tmp_path / "run"), "--device", "cpu"]
    assert main(words) == 2
    assert "torn.npy" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert main([*words, "--skip-bad"]) == 0


@pytest.mark.faults
def test_sigterm_saves_and_the_same_command_goes_on(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = [sys.executable, "-m", "gravlensdiffusion", "train", "--device", "cpu", "--data"]
    words += [str(data), "--out", str(out), "--epochs", "500", "--batch-size", "2", "--size", "8"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 90
    while not (out / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "run the same command to go on" in messages
    saved = [int(path.name) for path in (out / "checkpoints").iterdir()]
    assert len(saved) == 1
    assert 0 < saved[0] < 6000


def test_epochs_that_are_asked_for_outdo_a_recipe_that_counts_images(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.json"
    recipe.write_text(to_json(tiny(total_images=200_000)))
    options = Options(data=data, out=tmp_path / "run", preset=str(recipe), dry_run=True)
    options.run()
    assert (
        "200,000 images in 25,000 steps, each of 12 images 16,667 times, batch 8"
        in capsys.readouterr().out
    )
    config = _configure(replace(options, epochs=3))
    assert (config.epochs, config.total_images) == (3, 0)
    replace(options, epochs=3).run()
    assert "40 images in 5 steps, each of 12 images 3.3 times, batch 8" in capsys.readouterr().out


def test_flags_change_the_recipe() -> None:
    options = Options(
        data=Path("d"),
        out=Path("o"),
        size=64,
        epochs=3,
        seed=9,
        recipe=_RecipeOptions(
            batch_size=16,
            learning_rate=1e-4,
            transform="peak",
            precision="bf16",
            augment="half_turn",
            compile=True,
            prefetch=3,
        ),
    )
    config = _configure(options)
    assert (config.size, config.epochs, config.batch_size) == (64, 3, 16)
    assert (config.seed, config.precision) == (9, "bf16")
    usual = training_preset("cutouts28").optimiser
    assert config.optimiser.learning_rate == 1e-4
    assert config.optimiser.adam_learning_rate == pytest.approx(
        usual.adam_learning_rate * 1e-4 / usual.learning_rate
    )
    other = replace(options, preset="unet2d")  # Adam alone
    assert _configure(other).optimiser == replace(
        training_preset("unet2d").optimiser, learning_rate=1e-4
    )
    assert config.augment == "half_turn"
    assert (config.compile, config.prefetch) == (True, 3)
    assert _configure(Options(data=Path("d"), out=Path("o"))).augment == "none"
    assert config.model.transform.kind == "peak"
    assert _configure(Options(data=Path("d"), out=Path("o"), preset="reference")).batch_size == 10


def test_dry_run_writes_nothing(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Options(data=data, out=tmp_path / "run", dry_run=True, size=8).run()
    line, doubt = capsys.readouterr().out.splitlines()
    assert "12 images of 1x16x16" in line
    assert "large, small" in line
    assert "augment" not in line
    assert doubt.startswith("note: 12 different images are too few")
    words = ["train", "--data", str(data), "--out", str(tmp_path / "run"), "--dry-run"]
    assert main([*words, "--augment", "flips", "--size", "8"]) == 0
    assert "transform asinh, augment flips\n" in capsys.readouterr().out
    recipe = tmp_path / "turned.json"
    recipe.write_text(to_json(tiny(parameters=("source_x",), augment="d4")))
    assert main([*words, "--preset", str(recipe)]) == 2
    assert "exchanges parameter 'source_x' with 'source_y'" in capsys.readouterr().err
    assert main([*words, "--augment", "turns"]) == 2
    assert "--augment: 'turns' is not one of" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_mistakes_are_one_line(data: Path, tmp_path: Path) -> None:
    with pytest.raises(GravLensError, match="unknown preset 'lens29'; choose from cutouts28"):
        Options(data=data, out=tmp_path / "run", preset="lens29").run()
    with pytest.raises(GravLensError, match="16 pixels a side, fewer than 28"):
        Options(data=data, out=tmp_path / "run", machine=MachineOptions(device="cpu")).run()
    with pytest.raises(GravLensError, match="batch_size must be at least 1"):
        Options(data=data, out=tmp_path / "run", recipe=_RecipeOptions(batch_size=0)).run()


def test_a_run_in_a_process_of_its_own(data: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "gravlensdiffusion", "train", "--device", "cpu", "--data"]
    words += [str(data), "--out", str(tmp_path / "run"), "--epochs", "1", "--size", "8"]
    done = subprocess.run(
        [*words, "--precision", "bf16"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["epochs"], config["size"], config["preset"]) == (1, 8, "cutouts28")
    assert config["precision"] == "bf16"
    loss = read_metrics(tmp_path / "run")[-1]["loss"]
    # Nothing is learned in one step, and the target has unit variance.
    assert loss == pytest.approx(1, abs=0.15)


def test_a_recipe_from_a_file(tmp_path: Path) -> None:
    recipe = tmp_path / "cosine.json"
    config = tiny("ddpm", seed=3, precision="bf16")
    schedule, denoiser = replace(config.model.schedule, kind="cosine"), config.model.denoiser
    model = replace(config.model, schedule=schedule, denoiser=replace(denoiser, prediction="v"))
    recipe.write_text(to_json(replace(config, model=model)))
    options = Options(
        data=Path("d"), out=Path("o"), preset=str(recipe), recipe=_RecipeOptions(batch_size=5)
    )
    read = _configure(options)
    assert read == replace(config, model=model, batch_size=5)
    recipe.write_text(recipe.read_text().replace("cosine", "sine"))
    with pytest.raises(GravLensError, match=r"schedule\.kind"):
        _configure(options)


@pytest.fixture
def known(tmp_path: Path) -> Path:
    """A model of small and large rings, 8 pixels a side."""
    train(tiny(), rings(16), tmp_path / "known", device="cpu")
    return tmp_path / "known"


def many(folder: Path, num: int, size: int = 8) -> Path:
    """Write small rings and, in their own folder, images of a class called odd."""
    source = rings(num, size=size)
    for label, name in enumerate(("small", "odd")):
        (folder / name).mkdir(parents=True)
        for k in np.flatnonzero(source.labels == label):
            np.save(folder / name / f"{k}.npy", 10 * source.images[k])
    return folder


def test_init_alone_adapts_a_model(
    known: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gravlensdiffusion.training.validation.NUM_DRAWS", 64)
    data, out = many(tmp_path / "own", 200), tmp_path / "run"
    words = ["train", "--init", str(known), "--data", str(data), "--device", "cpu"]
    words += ["--out", str(out), "--epochs", "1", "--learning-rate", "2e-3", "--batch-size", "20"]
    assert main([*words, "--dry-run"]) == 0
    said = capsys.readouterr()
    assert "would train preset adapt at 8 pixels on 200 images" in said.out
    assert "classes: odd, small" in said.out
    assert "180 images in 9 steps, each of 180 images 1.0 times, batch 20, transform" in said.out
    assert "transform asinh, 10% held out\nnote: 180 images seen are too few" in said.out
    assert said.err == f"gravlens: classes of {known} that your images lack are lost: large\n"
    assert not out.exists()

    assert main(words) == 0
    said = capsys.readouterr()
    line = said.out
    assert line.startswith(f"trained {out} on 180 different images, 180 seen; held-out loss ")
    told = [each for each in said.err.splitlines() if "too few to draw" in each]
    assert told == [told[0]] * 2
    assert "5,000 or more (--epochs 28)" in told[0]
    assert "at 180 images, the checkpoint that counts" in line
    assert load_model(out).config.class_names == ("odd", "small")
    assert load_model(out).config.training_data == "180 images (20 more held out), images given"
    before = (out / "metrics.jsonl").read_text()
    # The same command resumes, even where there is nothing left to do.
    known.rename(tmp_path / "moved")
    assert main(words) == 0
    assert capsys.readouterr().out == line
    assert (out / "metrics.jsonl").read_text() == before


def test_a_set_that_cannot_adapt_a_model_is_refused_in_one_line(
    known: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = many(tmp_path / "few", 199)
    words = ["train", "--init", str(known), "--out", str(tmp_path / "run"), "--device", "cpu"]
    copies = many(tmp_path / "copies", 50)
    for path in list(copies.rglob("*.npy")):
        for k in range(4):
            shutil.copy(path, path.with_stem(f"{path.stem}again{k}"))
    for extra, message in (
        (["--data", str(few), "--held-out", "0.1"], "199 different images are too few to adapt"),
        (["--data", str(copies), "--held-out", "0.1"], "50 different images are too few to adapt"),
        (["--data", str(many(tmp_path / "tiny", 200, size=6))], "or give --size 6"),
        (["--data", str(few), "--held-out", "0.6"], "between 0 and 0.5"),
    ):
        assert main([*words, *extra]) == 2
        said = capsys.readouterr()
        assert message in said.err
        assert said.err.count("\n") == 1
        assert said.out == ""
    assert not (tmp_path / "run").exists()
    assert main([*words, "--data", str(few), "--held-out", "0", "--dry-run"]) == 0
    assert "held out" not in capsys.readouterr().out


def test_a_preset_beside_init_is_the_recipe(
    known: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.json"
    recipe.write_text(to_json(tiny(preset="cutouts28")))
    words = ["train", "--init", str(known), "--preset", str(recipe), "--data", str(data)]
    assert main([*words, "--out", str(tmp_path / "run"), "--dry-run"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert "would train preset cutouts28 at 8 pixels on 12 images" in said.out
    assert "held out" not in said.out


def test_held_out_images_are_for_any_recipe() -> None:
    config = _configure(Options(data=Path("d"), out=Path("o"), recipe=_RecipeOptions(held_out=0.2)))
    assert config.early_stopping.held_out == 0.2
    assert TrainingConfig().early_stopping.held_out == 0
