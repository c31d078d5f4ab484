"""Early stopping: when a run ends, and which checkpoint counts."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gravlensdiffusion.codec import from_json, to_json
from gravlensdiffusion.config.training import EarlyStopping, TrainingConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.model.checkpoint import load_model
from gravlensdiffusion.model.folders import _best_checkpoint, checkpoints
from gravlensdiffusion.sets.training_set import prepare
from gravlensdiffusion.training.counters import Progress
from gravlensdiffusion.training.diffusion import DiffusionTraining, open_training, train
from gravlensdiffusion.training.run import RunDirectory, read_metrics
from gravlensdiffusion.training.validation import ValidationLoss, _choose_validation
from tests.sources import rings, tiny
from tests.training.driving import drive
from tests.training.stopping import NUM, SHARE, averaged, stopping

pytestmark = pytest.mark.usefixtures("few_draws")


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
    rows = np.flatnonzero(_choose_validation(rings(NUM).labels, SHARE, seed=0))
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
    for text in ("{}", "[1]", "", '{"images_seen": Infinity}', "[" * 100_000, "\x00\xff"):
        (tmp_path / "best.json").write_text(text, encoding="latin-1")
        with pytest.raises(GravLensError, match=r"best.json: (names|damaged)"):
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
