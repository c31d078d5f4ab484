"""Training on images that are simulated on the way."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from gravlensdiffusion import simulate, train
from gravlensdiffusion.cli.main import main
from gravlensdiffusion.config.training import EarlyStopping
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.model.checkpoint import load_model
from gravlensdiffusion.model.folders import checkpoints
from gravlensdiffusion.training import batches
from gravlensdiffusion.training.batches import FreshSet, load_batch
from gravlensdiffusion.training.data import prepare_data
from gravlensdiffusion.training.diffusion import open_training
from tests.sources import tiny


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(batches, "NUM_MEASURED", 64)
    monkeypatch.setattr(batches, "cpu_count", lambda: 1)


def recipe(**changes):
    config = tiny("lens28", size=10, checkpoint_images=16)
    optimiser = replace(config.optimiser, decay="constant")
    return replace(config, **{"optimiser": optimiser, **changes})


def test_image_i_of_the_training_is_image_i_of_the_simulation(tmp_path):
    shown = {"label_dropout": 0.0, "parameters_dropout": 0.0, "derived_dropout": 0.0}
    config = recipe(seed=3, **shown)
    source = FreshSet.open("preset:deeplense", config)
    data = prepare_data(config, source, tmp_path)
    whole = simulate("deeplense", 100, 3, size=10, noise_free=True, flux_unit="e-/s")
    counts = np.arange(88, 96)
    batch = load_batch(data, config, counts, True, source)
    assert np.array_equal(batch.flux, whole.read_noise_free(counts))
    assert batch.condition.label.tolist() == whole.labels[counts].tolist()
    truth = np.stack([whole.parameters[name][counts] for name in config.parameters], axis=1)
    assert np.array_equal(batch.condition.parameters, truth)


@pytest.mark.parametrize("names", [("axion", "cdm", "no_sub"), ("cdm", "axion")])
def test_a_training_takes_images_for_what_they_are(tmp_path, names):
    config = recipe(seed=3, label_dropout=0.0)
    config = replace(config, model=replace(config.model, class_names=names))
    source = FreshSet.open("preset:deeplense", config)
    with open_training(config, source, tmp_path / "run", device="cpu", writes=False) as training:
        first = config.batch_size
        taken = training.load(first).condition.label
    whole = simulate("deeplense", 100, 3, size=10, noise_free=True, flux_unit="e-/s")
    truth = whole.labels[first : first + config.batch_size]
    own = whole.header.class_names
    known = training.model.config.class_names
    assert [known[k] for k in taken] == [own[k] for k in truth]
    assert known[: len(names)] == names


def test_images_have_the_classes_of_the_model(tmp_path):
    config = recipe(seed=3, label_dropout=0.0)
    source = FreshSet.open("preset:deeplense", config)
    whole = simulate("deeplense", 100, 3, size=10, noise_free=True, flux_unit="e-/s")
    names, counts = ("axion", "other", "no_sub"), np.arange(80, 100)
    wanted = whole.with_classes(names).labels
    model_set = source.with_classes(("axion", "cdm", "other", "no_sub")).with_classes(names)
    batch = load_batch(prepare_data(config, model_set, tmp_path), config, counts, True, model_set)
    assert batch.condition.label.tolist() == wanted[80:].tolist()
    assert set(wanted.tolist()) == {-1, 0, 2}
    assert model_set.conditions(range(100), ())[:, 0].tolist() == wanted.tolist()
    assert model_set.labels.tolist() == wanted[:64].tolist()


def test_more_images_are_asked_what_they_are_than_are_measured(tmp_path):
    train(recipe(total_images=8), "preset:deeplense", tmp_path, device="cpu")
    model = load_model(tmp_path)
    whole = simulate("deeplense", 192, 0, size=10, noise_free=True, flux_unit="e-/s")
    names = [each.name for each in model.config.parameters]
    truth = np.stack([whole.labels, *(whole.parameters[name] for name in names)], axis=1)
    assert np.array_equal(model.prior, truth.astype(np.float32))


def test_a_broken_run_goes_on_longer_too_with_the_same_bits(tmp_path):
    train(recipe(total_images=48), "preset:deeplense", tmp_path / "whole", device="cpu")
    for total in (24, 48):
        train(recipe(total_images=total), "preset:deeplense", tmp_path / "broken", device="cpu")
    one, other = (
        load_file(checkpoints(tmp_path / name)[-1].folder / "model.safetensors")
        for name in ("whole", "broken")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)
    told = load_model(tmp_path / "whole").config.training_data
    assert told == "images simulated on the way, preset deeplense, seed 0"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"early_stopping": EarlyStopping(held_out=0.1)}, "seen once, so that `held_out`"),
        ({"total_images": 0}, "has no end, so that `epochs`"),
    ],
)
def test_what_needs_a_set_with_an_end_is_refused(tmp_path, changes, words):
    with pytest.raises(GravLensError, match=words):
        train(recipe(**changes), "preset:deeplense", tmp_path / "run")
    with pytest.raises(GravLensError, match="choose from deeplense"):
        train(recipe(), "preset:jwst", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_simulation_needs_a_recipe(tmp_path):
    with pytest.raises(GravLensError, match="preset:deeplense needs a `preset`"):
        train(None, "preset:deeplense", tmp_path / "run", init="lens28")


def test_the_command_says_what_it_would_train_and_what_does_not_go_together(tmp_path, capsys):
    words = ["train", "--data", "preset:deeplense", "--out", str(tmp_path / "run")]
    assert main([*words, "--preset", "lens28", "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "at 28 pixels on simulated images of 1x28x28" in told
    assert "1,000,000 images in 15,625 steps, batch 64" in told
    for more in (["--init", "lens28"], ["--preset", "lens28", "--crop", "20"]):
        assert main([*words, *more]) == 2
        assert "--preset" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
