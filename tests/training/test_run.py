"""Run directories: what they hold, what a run may go on with, and what is another run."""

import json
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gravlensdiffusion.config.model import TransformConfig
from gravlensdiffusion.config.training import (
    EarlyStopping,
    EMAConfig,
    OptimiserConfig,
    TrainingConfig,
)
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.model.checkpoint import load_model
from gravlensdiffusion.model.folders import checkpoints
from gravlensdiffusion.training.diffusion import DiffusionTraining, open_training, train
from gravlensdiffusion.training.optimiser import learning_rate
from gravlensdiffusion.training.run import RunDirectory, read_metrics
from tests.sources import rings, tiny
from tests.training.driving import drive, final_tensors


def test_another_recipe_or_other_data_in_the_same_folder_are_refused(tmp_path: Path) -> None:
    train(tiny(total_images=8), rings(), tmp_path / "run", device="cpu")
    with pytest.raises(GravLensError, match=r"another batch_size \(8 there, 4 here\)"):
        train(tiny(total_images=8, batch_size=4), rings(), tmp_path / "run", device="cpu")
    with pytest.raises(GravLensError, match="other data"):
        train(tiny(total_images=8), rings(seed=1), tmp_path / "run", device="cpu")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(GravLensError, match="not a run directory"):
        train(tiny(), rings(), tmp_path / "mine", device="cpu")
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "x"


ELSEWHERE = {
    "precision": "bf16",
    "compile": True,
    "prefetch": 1,
    "log_images": 8,
    "checkpoint_images": 24,
    "sample_images": 16,
    "keep_checkpoints": 1,
    "early_stopping": EarlyStopping(every_images=8, patience=1),
}
"""What a run may go on with."""
LONGER = {"epochs": 41, "total_images": 48}


def test_a_run_goes_on_elsewhere_and_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    config = tiny(total_images=16)
    train(config, rings(), tmp_path / "run", device="cpu")
    seen = [train(replace(config, total_images=32), rings(), tmp_path / "run", device="cpu")]
    seen.append(
        train(replace(config, **LONGER, **ELSEWHERE), rings(), tmp_path / "run", device="cpu")
    )
    assert [progress.images_seen for progress in seen] == [32, 48]
    assert json.loads((tmp_path / "run" / "config.json").read_text())["prefetch"] == 1
    # Where the rate falls to the end, it falls to the new one.
    assert read_metrics(tmp_path / "run")[-1]["learning_rate"] == pytest.approx(
        learning_rate(config.optimiser, 40, 48)
    )
    # Back to what it began with: nothing is left to do, and nothing is lost.
    told: list[str] = []
    before = final_tensors(tmp_path / "run")
    opening = open_training(config, rings(), tmp_path / "run", device="cpu", tell=told.append)
    done = drive(opening)
    assert done.images_seen == 48
    assert told[-1].endswith(
        "has seen 48 images already, more than the 16 asked for: nothing is left to do"
    )
    assert all(torch.equal(before[k], v) for k, v in final_tensors(tmp_path / "run").items())


def test_all_else_is_what_a_run_is(tmp_path: Path) -> None:
    train(tiny(total_images=8), rings(), tmp_path / "run", device="cpu")
    others: dict[str, object] = {
        "schema_version": 2,
        "preset": "mine",
        "size": 7,
        "resize": "bilinear",
        "batch_size": 4,
        "conditional": False,
        "label_dropout": 0.2,
        "parameters": ("theta_E",),
        "parameter_dropout": 0.3,
        "parameters_dropout": 0.4,
        "derived_dropout": 0.5,
        "noise": "split",
        "augment": "flips",
        "seed": 1,
        "stratified_times": False,
        "optimiser": OptimiserConfig(learning_rate=0.1),
        "ema": EMAConfig(ramp=0.1),
        "model": tiny("ddpm").model,
    }
    assert {*others, *ELSEWHERE, *LONGER} == {each.name for each in fields(TrainingConfig)}
    for name, value in others.items():
        with pytest.raises(GravLensError, match="holds a run with another"):
            RunDirectory.open(tmp_path / "run", replace(tiny(total_images=8), **{name: value}))
    held_out = tiny(total_images=8, early_stopping=EarlyStopping(held_out=0.1))
    with pytest.raises(GravLensError, match="another held_out"):
        RunDirectory.open(tmp_path / "run", held_out)


def test_a_run_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    # Recipe and record of a run as version 0.1 wrote them, keys that came later left out.
    config = tiny("reference", total_images=20)
    source = rings(20, size=8)
    source.images = source.images.clip(0, 1)
    source.header = replace(source.header, class_names=())
    drive(open_training(config, source, tmp_path, device="cpu"), stop_after=1)
    path = tmp_path / "config.json"
    old = json.loads(path.read_text())
    optimiser = {name: old["optimiser"][name] for name in OPTIMISER_OF_VERSION_0_1}
    path.write_text(json.dumps({**old, "optimiser": optimiser}))
    for record in tmp_path.glob("checkpoints/*/training_state.pt"):
        state = torch.load(record, weights_only=True)
        names = ("images_seen", "num_skipped", "skipped_in_a_row", "losses", "usual_loss")
        state["counters"] = {name: state["counters"][name] for name in names}
        torch.save(state, record)
    shape = json.loads((tmp_path / "environment.json").read_text())
    digest = sha256(source.labels.astype(np.int64).tobytes() + source.images.tobytes())
    assert shape["data_fingerprint"] == digest.hexdigest()
    assert train(config, source, tmp_path, device="cpu").images_seen == 24


OPTIMISER_OF_VERSION_0_1 = (
    *("kind", "learning_rate", "beta2", "weight_decay"),
    *("warmup_images", "decay", "max_grad_norm"),
)


PEAK = replace(tiny("reference").model, transform=TransformConfig(kind="peak", fit=True))


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (tiny(size=32), "fewer than 32"),
        (tiny("reference"), "takes images from 0 to 1"),
        (tiny("reference", size=10, model=PEAK), "sizes divisible by 4"),
        (tiny("lens28", size=None), "noise-free"),
    ],
)
def test_a_training_that_is_refused_leaves_nothing(
    tmp_path: Path, recipe: TrainingConfig, words: str
) -> None:
    with pytest.raises(GravLensError, match=words):
        train(recipe, rings(3), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_a_run_that_diverged_before_its_first_checkpoint_can_be_started_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverged(*_: object) -> torch.Tensor:
        raise GravLensError("the loss diverged")

    monkeypatch.setattr(DiffusionTraining, "loss", diverged)
    with pytest.raises(GravLensError, match="diverged"):
        train(tiny(), rings(), tmp_path / "run", device="cpu")
    monkeypatch.undo()
    assert (tmp_path / "run" / "metrics.jsonl").is_file()
    train(tiny(total_images=8), rings(), tmp_path / "run", device="cpu")
    assert [c.images_seen for c in checkpoints(tmp_path / "run")] == [8]


def test_a_damaged_checkpoint_is_named_with_the_way_out(tmp_path: Path) -> None:
    train(tiny(), rings(), tmp_path, device="cpu")
    last = checkpoints(tmp_path)[-1].folder
    for name in ("training_state.pt", "model.safetensors", "config.json"):
        path = last / name
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(GravLensError, match=f"{name}.*; remove {last} to go on from the"):
            train(tiny(), rings(), tmp_path, device="cpu")
        path.write_bytes(content)


def _without_counters(state: dict[str, Any]) -> None:
    del state["counters"]


def _of_other_counts(state: dict[str, Any]) -> None:
    state["counters"]["images_seen"] = "many"


def _of_other_weights(state: dict[str, Any]) -> None:
    moments = state["optimiser"]["state"][0]
    moments.update({name: torch.zeros(3) for name in moments})


@pytest.mark.parametrize("damage", [_without_counters, _of_other_counts, _of_other_weights, None])
def test_a_checkpoint_of_another_training_is_named_with_the_way_out(
    tmp_path: Path, damage: Callable[[dict[str, Any]], None] | None
) -> None:
    train(tiny(total_images=8), rings(), tmp_path, device="cpu")
    last = checkpoints(tmp_path)[-1].folder
    if damage is None:
        (last / "ema.safetensors").unlink()
    else:
        state = torch.load(last / "training_state.pt", weights_only=True)
        damage(state)
        torch.save(state, last / "training_state.pt")
    with pytest.raises(
        GravLensError, match=f"no state of this .*; remove {last} to go on"
    ) as error:
        train(tiny(total_images=16), rings(), tmp_path, device="cpu")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("line", [b'{"images": 8', b"[1]", b"5", b'{"loss": 1}', b"\x00\xff"])
def test_a_log_goes_on_after_its_last_whole_line(tmp_path: Path, line: bytes) -> None:
    train(tiny(total_images=8), rings(), tmp_path, device="cpu")
    with (tmp_path / "metrics.jsonl").open("ab") as log:
        log.write(line + b"\n")
    train(tiny(total_images=16), rings(), tmp_path, device="cpu")
    assert [each["images"] for each in read_metrics(tmp_path)] == [8, 16]


def test_the_run_directory_holds_what_the_design_says(tmp_path: Path) -> None:
    train(tiny(), rings(), tmp_path / "run", device="cpu")
    run = tmp_path / "run"
    assert {"config.json", "environment.json", "metrics.jsonl", "checkpoints"} <= {
        path.name for path in run.iterdir()
    }
    assert [c.images_seen for c in checkpoints(run)] == [64, 96]
    files = {path.name for path in checkpoints(run)[-1].folder.iterdir()}
    assert files == {"model.safetensors", "ema.safetensors", "config.json", "training_state.pt"}
    environment = json.loads((run / "environment.json").read_text())
    assert len(environment["data_fingerprint"]) == 64
    config = load_model(run).config
    assert config.class_names == ("small", "large")
    assert config.pixel_scale_arcsec == pytest.approx(0.2)
    assert config.flux_unit == "e-/s"
    assert config.resize == "area"
