"""Training: resuming, what each image draws, faults on the way."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from gravlensdiffusion.config.model import TransformConfig
from gravlensdiffusion.config.network import LensEquationConfig, UNetConfig
from gravlensdiffusion.config.training import EMAConfig, OptimiserConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.model.build import build_network
from gravlensdiffusion.model.checkpoint import load_model
from gravlensdiffusion.model.folders import checkpoints
from gravlensdiffusion.sets import training_set as dataset
from gravlensdiffusion.sets.images import Indices
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.sets.records import GENERATED
from gravlensdiffusion.training.diffusion import DiffusionTraining, open_training, train
from gravlensdiffusion.training.run import read_metrics
from tests.sources import rings, tiny
from tests.training.driving import assert_ended_alike, drive, final_tensors


def test_losses_do_not_depend_on_where_the_images_are_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(total_images=96)
    train(config, rings(), tmp_path / "file", device="cpu")

    class Held(dataset._CachedSet):
        """All images in memory."""

        def __init__(self, source: LensSet, path: Path) -> None:
            super().__init__(source, path)
            self.held = super().read(slice(None))

        def read(self, indices: Indices) -> np.ndarray:
            return self.held[indices]

    monkeypatch.setattr(dataset, "_CachedSet", Held)
    train(config, rings(), tmp_path / "memory", device="cpu")
    losses = [[m["loss"] for m in read_metrics(tmp_path / n)] for n in ("file", "memory")]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 6


@pytest.mark.parametrize("preset", ["cutouts28", "ddpm", "reference"])
def test_a_broken_run_ends_with_the_same_bits_as_an_unbroken_one(
    preset: str, tmp_path: Path
) -> None:
    config = tiny(preset, total_images=64)
    source = rings()
    if preset != "cutouts28":
        source.header = replace(source.header, class_names=(), flux_unit="peak")
    train(config, source, tmp_path / "whole", device="cpu")
    # Stopped between two checkpoints, and once more right after going on.
    for steps in (3, 1):
        drive(open_training(config, source, tmp_path / "broken", device="cpu"), stop_after=steps)
    train(config, source, tmp_path / "broken", device="cpu")

    assert_ended_alike(tmp_path / "whole", tmp_path / "broken", 4)


def test_a_run_that_assembles_ahead_ends_with_the_same_bits(tmp_path: Path) -> None:
    train(tiny(), rings(), tmp_path / "whole", device="cpu")
    config = tiny(prefetch=2)
    drive(open_training(config, rings(), tmp_path / "ahead", device="cpu"), stop_after=5)
    train(config, rings(), tmp_path / "ahead", device="cpu")
    whole, ahead = final_tensors(tmp_path / "whole"), final_tensors(tmp_path / "ahead")
    assert all(torch.equal(whole[name], ahead[name]) for name in whole)


def test_a_compiled_run_resumes_and_keeps_the_names_of_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []

    def backend(graph: torch.fx.GraphModule, _: object) -> Callable[..., object]:
        def call(*values: object) -> object:
            steps.append(len(values))
            return graph(*values)

        return call

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    config = tiny(total_images=32, sample_images=32, compile=True)
    train(replace(config, compile=False), rings(), tmp_path / "plain", device="cpu")
    assert not steps
    sampled: list[int] = []
    drive(open_training(config, rings(), tmp_path / "run", device="cpu"), stop_after=2)

    def sample(training: DiffusionTraining) -> None:
        if training.is_sample_due:
            before = len(steps)
            with training.averaged() as model:
                model.network(torch.zeros(3, 1, 8, 8), torch.zeros(3))
            assert len(steps) == before
            sampled.append(training.state.images_seen)

    drive(open_training(config, rings(), tmp_path / "run", device="cpu"), after_step=sample)
    assert len(steps) == 4
    assert sampled == [32]
    plain, compiled = final_tensors(tmp_path / "plain"), final_tensors(tmp_path / "run")
    assert plain.keys() == compiled.keys()
    for name, value in plain.items():
        assert torch.allclose(value, compiled[name], atol=1e-5), name


def test_a_notebook_sees_how_far_it_is_if_it_asks_and_may_stop_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("gravlensdiffusion.progress.FIRST_S", 0.0)
    train(tiny(total_images=24), rings(), tmp_path / "run", device="cpu", progress=True)
    assert "of 24 images" in capsys.readouterr().err
    train(tiny(total_images=40), rings(), tmp_path / "run", device="cpu")
    assert not capsys.readouterr().err
    with open_training(tiny(), rings(), tmp_path / "run", device="cpu") as training:
        for progress in training:
            if progress.images_seen == 56:
                training.stop()
    assert checkpoints(tmp_path / "run")[-1].images_seen == 56


def test_a_crash_loses_only_what_came_after_the_last_checkpoint(tmp_path: Path) -> None:
    config = tiny()
    train(config, rings(), tmp_path / "whole", device="cpu")

    class CrashError(Exception):
        pass

    def crash_late(training: DiffusionTraining) -> None:
        if training.state.images_seen >= 88:
            raise CrashError

    with pytest.raises(CrashError):
        drive(open_training(config, rings(), tmp_path / "run", device="cpu"), after_step=crash_late)
    with (tmp_path / "run" / "metrics.jsonl").open("a") as log:
        log.write('{"images": 88, "lo')
    torn = tmp_path / "run" / "checkpoints" / ".0000000088.abc.tmp"
    torn.mkdir()
    (torn / "model.safetensors").write_bytes(b"half")
    train(config, rings(), tmp_path / "run", device="cpu")
    whole, resumed = final_tensors(tmp_path / "whole"), final_tensors(tmp_path / "run")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    images = [line["images"] for line in read_metrics(tmp_path / "run")]
    assert images == [16, 32, 48, 64, 80, 96]


def test_the_loss_falls_far_below_that_of_no_model(tmp_path: Path) -> None:
    config = tiny(
        batch_size=32,
        total_images=4000,
        log_images=1000,
        checkpoint_images=4000,
        optimiser=OptimiserConfig(learning_rate=6e-3),
    )
    train(config, rings(200), tmp_path / "run", device="cpu")
    losses = [line["loss"] for line in read_metrics(tmp_path / "run")]
    # The target has unit variance, so a network that puts out nothing has a loss of one.
    assert losses[-1] < 0.6
    assert losses[-1] < losses[0]


def test_the_moving_average_follows_its_half_life(tmp_path: Path) -> None:
    config = tiny(
        total_images=8,
        sample_images=8,
        ema=EMAConfig(halflife_images=8, ramp=1.0),
        optimiser=OptimiserConfig(learning_rate=1e-2),
    )
    sampled_with: dict[str, torch.Tensor] = {}

    def remember(training: DiffusionTraining) -> None:
        with training.averaged() as model:
            sampled_with.update({k: v.clone() for k, v in model.state_dict().items()})

    drive(open_training(config, rings(), tmp_path, device="cpu"), after_step=remember)
    folder = checkpoints(tmp_path)[-1].folder
    weights = load_file(folder / "model.safetensors")
    average = load_file(folder / "ema.safetensors")
    model_config = load_model(tmp_path).config
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        fresh = build_network(model_config).state_dict()
    # The head starts at zero, so that only it has moved after one step.
    moved = weights["network.head.weight"] - fresh["head.weight"]
    assert moved.abs().max() > 1e-3
    for name, start in fresh.items():
        expected = (start + weights[f"network.{name}"]) / 2
        assert torch.allclose(average[f"network.{name}"], expected, atol=1e-7), name
    assert all(torch.equal(sampled_with[name], average[name]) for name in average)


def test_a_loss_that_is_not_finite_is_skipped_and_ten_in_a_row_stop_the_run(
    tmp_path: Path,
) -> None:
    source = rings(80, size=8)
    source.images[3] = 1e38
    fixed = TransformConfig(kind="linear", gain=1.0, centre="none")
    config = tiny(total_images=160, batch_size=10)
    config = replace(config, model=replace(config.model, transform=fixed))
    # One bad image in 80, ten images a batch: one step in eight is lost, and the run goes on.
    progress = train(config, source, tmp_path / "one", device="cpu")
    assert progress.num_skipped == 2
    assert np.isfinite(progress.loss)
    weights = final_tensors(tmp_path / "one")
    assert all(torch.isfinite(value).all() for value in weights.values())

    source.images[:] = 1e38
    with pytest.raises(GravLensError, match="10 times in a row"):
        train(config, source, tmp_path / "all", device="cpu")


def test_a_model_says_how_many_of_its_images_were_generated(tmp_path: Path) -> None:
    source = rings(40)
    source.parameters[GENERATED] = np.repeat([0.0, 1.0], [33, 7])
    train(tiny(total_images=8, checkpoint_images=8), source, tmp_path, device="cpu")
    told = load_model(tmp_path).config.training_data
    assert told.startswith("40 images, ")
    assert told.endswith("7 of them generated, images given")


def test_the_lens_equation_takes_from_the_set_what_it_does_not_learn(tmp_path: Path) -> None:
    def trained(names: tuple[str, ...], scale: float | None, where: str) -> UNetConfig:
        source = rings(40)
        source.header = replace(source.header, pixel_scale_arcsec=scale)
        source.parameters["gamma1"] = np.linspace(0.0, 0.4, 40)
        source.parameters["lens_e1"] = np.full(40, np.nan)
        config = tiny(total_images=8, parameters=names)
        network = replace(config.model.network, lens_equation=LensEquationConfig())
        config = replace(config, model=replace(config.model, network=network))
        train(config, source, tmp_path / where, device="cpu")
        found = load_model(tmp_path / where).config.network
        assert isinstance(found, UNetConfig)
        return found

    equation = trained(("theta_E",), 0.1, "known").lens_equation
    assert equation is not None
    assert equation.pixel_scale_arcsec == pytest.approx(0.2)  # 16 pixels become 8
    assert equation.values.keys() == {"source_x", "gamma1"}
    assert equation.values["gamma1"] == pytest.approx(0.2)
    assert trained(("source_x",), 0.1, "no-radius").lens_equation is None
    assert trained(("theta_E",), None, "no-scale").lens_equation is None
