"""Held-out images: their choice, their loss, early stopping, and which checkpoint counts."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from gravlensdiffusion.codec import from_json, to_json
from gravlensdiffusion.config.bounds import UNLABELLED
from gravlensdiffusion.config.training import (
    EarlyStopping,
    EMAConfig,
    OptimiserConfig,
    TrainingConfig,
)
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.model.checkpoint import load_model, read_tensors
from gravlensdiffusion.model.folders import _best_checkpoint, checkpoints
from gravlensdiffusion.sets.training_set import TrainingSet, prepare
from gravlensdiffusion.training.counters import Progress
from gravlensdiffusion.training.diffusion import DiffusionTraining, open_training, train
from gravlensdiffusion.training.run import RunDirectory, read_metrics
from gravlensdiffusion.training.validation import ValidationLoss, choose_validation
from tests.sources import ArraySource, rings, tiny
from tests.training.driving import drive

NUM = 20
SHARE = 0.2


def stopping(**changes: Any) -> TrainingConfig:
    """Return a recipe that soon knows its sixteen images by heart."""
    settings: dict[str, Any] = {
        "early_stopping": EarlyStopping(held_out=SHARE, every_images=160, patience=3),
        "optimiser": OptimiserConfig(learning_rate=4e-2, beta2=0.9),
        "ema": EMAConfig(halflife_images=50),
        "batch_size": 16,
        "total_images": 20_000,
        "log_images": 320,
        "checkpoint_images": 320,
        "keep_checkpoints": 1,
    }
    return tiny(**(settings | changes))


@pytest.fixture(scope="module", autouse=True)
def few_draws() -> Iterator[None]:
    """Measure with fewer draws, which is faster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gravlensdiffusion.training.validation.NUM_DRAWS", 128)
        yield


def averaged(folder: Path) -> dict[str, torch.Tensor]:
    return read_tensors(folder / "ema.safetensors")


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Progress, list[int]]:
    """A run that ended early, how it went, and at which numbers of images grids were drawn."""
    folder = tmp_path_factory.mktemp("ended") / "run"
    grids: list[int] = []

    def note(training: DiffusionTraining) -> None:
        if training.is_sample_due:
            grids.append(training.state.images_seen)

    config = stopping(sample_images=320)
    progress = drive(open_training(config, rings(NUM), folder, device="cpu"), after_step=note)
    return folder, progress, grids


def test_every_class_has_its_share_held_out_and_one_image_at_least() -> None:
    labels = np.repeat([0, 1, 2, 3, -1], [40, 10, 2, 1, 3])
    held_out = choose_validation(labels, 0.1, seed=3)
    counts = {int(k): int(held_out[labels == k].sum()) for k in set(labels)}
    assert counts == {0: 4, 1: 1, 2: 1, 3: 0, -1: 1}
    assert np.array_equal(held_out, choose_validation(labels, 0.1, seed=3))
    assert not np.array_equal(held_out, choose_validation(labels, 0.1, seed=4))
    # Never all of a class, and images whose labels change place do so with them.
    assert choose_validation(labels, 0.5, seed=0)[labels == 2].sum() == 1
    assert 0 < np.flatnonzero(choose_validation(np.zeros(100), 0.1, seed=0)).std() > 10
    with pytest.raises(GravLensError, match="`held_out` 0"):
        choose_validation(np.array([0, 1]), 0.1, seed=0)


def test_copies_are_held_out_together() -> None:
    labels, groups = np.repeat([0, 1], (50, 50)), np.tile(np.arange(20), 5)
    held_out = choose_validation(labels, 0.2, 0, groups)
    assert not set(groups[held_out]) & set(groups[~held_out])
    assert set(labels[held_out]) == set(labels[~held_out]) == {0, 1}
    with pytest.raises(GravLensError, match="no class has two different images"):
        choose_validation(labels, 0.2, 0, np.zeros(100, dtype=np.int64))


def test_nothing_of_held_out_images_reaches_the_model(tmp_path: Path) -> None:
    clean, poisoned = rings(NUM), rings(NUM)
    held_out = choose_validation(clean.labels, SHARE, seed=0)
    assert held_out.sum() == 4
    poisoned.images[held_out] = np.random.default_rng(0).normal(50, 5, (4, 1, 16, 16))
    poisoned.parameters["theta_E"][held_out] = 99.0
    config = stopping(total_images=320, parameters=("theta_E",))
    losses = []
    for name, source in (("clean", clean), ("poisoned", poisoned)):
        losses.append(train(config, source, tmp_path / name, device="cpu").held_out_loss)
    one, two = (checkpoints(tmp_path / name)[-1].folder for name in ("clean", "poisoned"))
    assert load_model(one).config == load_model(two).config
    assert load_model(one).config.training_data == "16 images (4 more held out), images given"
    assert load_model(one).config.prior_size == 16
    for name, tensor in averaged(one).items():
        assert torch.equal(tensor, averaged(two)[name]), name
    assert losses[1] > 10 * losses[0]


@pytest.fixture
def prepared(tmp_path: Path) -> TrainingSet:
    """Ten rings, their class and their radius."""
    return prepare(rings(10), tmp_path, 8, "area", parameters=("theta_E",))


def test_held_out_noise_is_spread_over_levels_and_always_the_same(prepared: TrainingSet) -> None:
    seen: list[tuple[torch.Tensor, ...]] = []

    def loss(x: Any, t: Any, eps: Any, condition: Any) -> torch.Tensor:
        seen.append((x, t, eps, condition.label, condition.parameters))
        return t

    denoiser = SimpleNamespace(sample_t=lambda u: u, loss=loss)
    transform: Any = lambda flux: flux  # noqa: E731
    transform.mean = torch.zeros(1)
    model: Any = SimpleNamespace(transform=transform, denoiser=denoiser)
    held_out = ValidationLoss(prepared, seed=1, is_conditional=True)
    assert held_out.num_draws == 130
    total = held_out.total(model)
    # The mean of evenly spread numbers is one half, to half a step.
    assert float(total) / 130 == pytest.approx(0.5, abs=4e-3)
    x, t, eps, label, radius = (torch.cat(part) for part in zip(*seen, strict=True))
    rounds = t.reshape(13, 10)
    assert torch.equal((rounds * 13).floor()[:, 0], torch.arange(13.0).double())
    assert torch.equal((t * 130).floor().sort().values, torch.arange(130.0).double())
    # Within a round, every image is at every place in turn.
    places = (rounds * 130).floor() % 10
    assert all(len(set(column.tolist())) == 10 for column in places.T)
    assert torch.equal(x[:10], torch.from_numpy(prepared.images[0:10]))
    assert eps.shape == x.shape
    assert eps.std() == pytest.approx(1, abs=0.02)
    assert len(eps.flatten(1).unique(dim=0)) == 130
    assert (label != UNLABELLED).all()
    assert torch.equal(label[:10], torch.from_numpy(prepared.labels))
    assert torch.equal(radius[:10, 0], torch.from_numpy(prepared.parameters[:, 0]))

    seen.clear()
    parts = held_out.total(model, 0, 2) + held_out.total(model, 1, 2)
    assert float(parts) == pytest.approx(float(total), rel=1e-12)
    assert sum(len(part[0]) for part in seen) == 130
    assert float(held_out.total(model)) == float(total)


def test_a_run_that_overfits_ends_and_its_best_weights_are_the_model(
    ended: tuple[Path, Progress, list[int]],
) -> None:
    run, progress, grids = ended
    lines = [line for line in read_metrics(run) if "held_out_loss" in line]
    losses = {line["images"]: line["held_out_loss"] for line in lines}
    # A fresh network puts out nothing, and its target has unit variance.
    assert losses.pop(0) == progress.start_loss == pytest.approx(1, abs=0.2)
    assert list(losses) == list(range(160, progress.images_seen + 1, 160))
    best = min(losses, key=losses.__getitem__)
    assert (progress.best_images, progress.best_loss) == (best, losses[best])
    assert progress.images_seen == best + 3 * 160 < progress.total_images
    assert progress.ended_early
    assert progress.best_loss < min(0.6, progress.held_out_loss)
    assert "loss" in read_metrics(run)[-1]

    assert [each.images_seen for each in checkpoints(run)] == [best, progress.images_seen]
    record = json.loads((run / "best.json").read_text())
    assert record == {"images_seen": best, "held_out_loss": losses[best]}
    model = load_model(run)
    for name, tensor in averaged(checkpoints(run)[0].folder).items():
        assert torch.equal(model.state_dict()[name], tensor)
    # The record is what the weights on disk get.
    rows = np.flatnonzero(choose_validation(rings(NUM).labels, SHARE, seed=0))
    held_out = prepare(rings(NUM), run / "prepared", 8, "area").select(rows)
    measured = ValidationLoss(held_out, 0, is_conditional=True)
    assert float(measured.total(model)) / measured.num_draws == pytest.approx(losses[best])
    # None of the last weights: those that count are the best ones.
    assert grids == list(range(320, progress.images_seen, 320))


def test_a_run_that_has_ended_has_nothing_left_to_do(
    ended: tuple[Path, Progress, list[int]],
) -> None:
    run, progress, _ = ended
    before = (run / "metrics.jsonl").read_text()
    again = train(stopping(sample_images=320), rings(NUM), run, device="cpu")
    assert (again.images_seen, again.ended_early) == (progress.images_seen, True)
    assert (again.best_loss, again.start_loss) == (progress.best_loss, progress.start_loss)
    assert (run / "metrics.jsonl").read_text() == before


def test_a_broken_run_ends_where_an_unbroken_one_does(
    ended: tuple[Path, Progress, list[int]], tmp_path: Path
) -> None:
    whole, progress, _ = ended
    run, config = tmp_path / "run", stopping(sample_images=320)
    for steps in (7, 33, 20):
        drive(open_training(config, rings(NUM), run, device="cpu"), stop_after=steps)
    broken = train(config, rings(NUM), run, device="cpu")
    assert broken.images_seen == progress.images_seen
    assert (run / "best.json").read_text() == (whole / "best.json").read_text()
    keep = ("images", "loss", "held_out_loss")
    lines = [[{k: m.get(k) for k in keep} for m in read_metrics(each)] for each in (whole, run)]
    assert lines[0] == lines[1]
    for one, two in zip(checkpoints(whole), checkpoints(run), strict=True):
        assert one.images_seen == two.images_seen
        for name, tensor in averaged(one.folder).items():
            assert torch.equal(tensor, averaged(two.folder)[name])


@pytest.mark.faults
def test_a_kill_between_the_best_checkpoint_and_its_record_loses_nothing(
    ended: tuple[Path, Progress, list[int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    record = RunDirectory.record_best
    written: list[int] = []

    def killed(run: RunDirectory, images_seen: int, loss: float) -> None:
        written.extend([images_seen] if images_seen else [])
        if len(written) == 3:
            raise Killed
        record(run, images_seen, loss)

    run = tmp_path / "run"
    monkeypatch.setattr(RunDirectory, "record_best", killed)
    with pytest.raises(Killed):
        train(stopping(sample_images=320), rings(NUM), run, device="cpu")
    # The old record stands, with its checkpoint.
    old = _best_checkpoint(run)
    assert old is not None
    assert old.images_seen == written[1] < checkpoints(run)[-1].images_seen == written[2]
    load_model(run)
    monkeypatch.undo()

    opening = open_training(stopping(sample_images=320), rings(NUM), run, device="cpu")
    drive(opening, stop_after=1)
    new = _best_checkpoint(run)
    assert new is not None
    assert new.images_seen == written[2]
    train(stopping(sample_images=320), rings(NUM), run, device="cpu")
    assert (run / "best.json").read_text() == (ended[0] / "best.json").read_text()


def test_a_record_that_leads_nowhere_is_refused(
    ended: tuple[Path, Progress, list[int]], tmp_path: Path
) -> None:
    (tmp_path / "checkpoints" / "0000000160").mkdir(parents=True)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "best.json").write_text('{"images_seen": 320, "held_out_loss": 0.5}')
    with pytest.raises(GravLensError, match="checkpoint 320, which is not there"):
        load_model(tmp_path)
    (tmp_path / "best.json").write_text("{}")
    with pytest.raises(GravLensError, match="not a record"):
        load_model(tmp_path)


def test_losses_that_are_not_finite_are_no_best() -> None:
    standing = Progress()
    for seen, loss in ((0, 1.0), (8, 0.5), (16, np.nan), (24, 0.5), (32, 0.4), (40, np.inf)):
        standing.images_seen = seen
        standing.measured(loss)
    assert (standing.start_loss, standing.best_loss, standing.best_images) == (1.0, 0.4, 32)
    assert standing.waited == 1


def test_recipes_from_before_early_stopping_still_load_and_have_none(tmp_path: Path) -> None:
    stated = json.loads(to_json(stopping()))
    del stated["early_stopping"]
    config = from_json(TrainingConfig, json.dumps(stated))
    assert config.early_stopping == EarlyStopping()
    assert config.early_stopping.held_out == 0
    source, run = rings(), tmp_path / "run"
    train(tiny(total_images=32), source, run, device="cpu")
    # A run of that time: neither its recipe nor its state knows of held-out images.
    stored = json.loads((run / "config.json").read_text())
    del stored["early_stopping"]
    (run / "config.json").write_text(json.dumps(stored))
    path = checkpoints(run)[-1].folder / "training_state.pt"
    state = torch.load(path, weights_only=True)
    del state["held_out"]
    torch.save(state, path)
    progress = train(tiny(total_images=32), source, run, device="cpu")
    assert (progress.images_seen, progress.best_images) == (32, 0)
    assert not (run / "best.json").exists()
    changed = replace(tiny(total_images=32), early_stopping=EarlyStopping(held_out=0.2))
    with pytest.raises(GravLensError, match=r"another held_out \(0.0 there, 0.2 here\)"):
        train(changed, source, run, device="cpu")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"held_out": -0.1}, "between 0 and 0.5"),
        ({"held_out": 0.6}, "between 0 and 0.5"),
        ({"held_out": float("nan")}, "between 0 and 0.5"),
        ({"every_images": 0}, "at least 1"),
        ({"patience": 0}, "at least 1"),
    ],
)
def test_bad_values_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(GravLensError, match=words):
        EarlyStopping(**changes)
    text = to_json(stopping()).replace('"patience": 3', '"patience": 0')
    with pytest.raises(GravLensError, match="patience must be at least 1"):
        from_json(TrainingConfig, text)


def test_a_set_without_two_images_of_a_class_cannot_be_split(tmp_path: Path) -> None:
    source = rings(2)
    assert isinstance(source, ArraySource)
    with pytest.raises(GravLensError, match="`held_out` 0"):
        train(stopping(), source, tmp_path / "run", device="cpu")
