"""The same images as pipelines of diffusers, for the same weights and noise."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gravlensdiffusion.config.model import TransformConfig
from gravlensdiffusion.config.network import SchedulerConfig
from gravlensdiffusion.diffusion.randomness import Stream, Streams
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.interop import unet2d as ours
from gravlensdiffusion.model.build import build_model
from gravlensdiffusion.model.checkpoint import save_model
from gravlensdiffusion.sets.flux import peak_scaled
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.training.diffusion import train
from tests.conftest import Run
from tests.models import awake
from tests.sources import rings, tiny

diffusers = pytest.importorskip("diffusers")
from tests.parity.pipelines import opened, saved  # noqa: E402

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

NUM, SEED = 3, 5
ASINH = TransformConfig(kind="asinh", gain=1.0)


def peaks() -> LensSet:
    """Return a few images in [0, 1]."""
    source = rings(24, size=8)
    images, _ = peak_scaled(source.images)
    return replace(source, images=images, header=replace(source.header, flux_unit="peak"))


def theirs(pipeline: Any, shape: tuple[int, ...], steps: int, monkeypatch: Any) -> np.ndarray:
    """Return what a pipeline draws from the noise that image k of our seed has."""
    streams = Streams(SEED, range(NUM))
    drawn = [streams.normal(Stream.PRIOR, shape)]

    def noise(size: tuple[int, ...], **_: object) -> torch.Tensor:
        if len(drawn) == 1:
            drawn.append(drawn[0])
            return drawn[0]
        sources = ours._generators(streams, len(drawn) - 2)
        drawn.append(torch.cat([torch.randn((1, *shape), generator=each) for each in sources]))
        return drawn[-1]

    for module in ("pipelines.ddpm.pipeline_ddpm", "pipelines.ddim.pipeline_ddim"):
        monkeypatch.setattr(f"diffusers.{module}.randn_tensor", noise)
    for module in ("ddpm", "ddim", "dpmsolver_multistep"):
        monkeypatch.setattr(f"diffusers.schedulers.scheduling_{module}.randn_tensor", noise)
    found = pipeline(batch_size=NUM, num_inference_steps=steps, output_type="pt").images
    monkeypatch.undo()
    return found.numpy()


SCHEDULERS = {
    "ddpm": (diffusers.DDPMScheduler, {}),
    "ddpm-large": (diffusers.DDPMScheduler, {"variance_type": "fixed_large", "clip_sample": False}),
    "ddpm-v": (
        diffusers.DDPMScheduler,
        {"prediction_type": "v_prediction", "beta_schedule": "squaredcos_cap_v2"},
    ),
    "ddpm-sample": (
        diffusers.DDPMScheduler,
        {"prediction_type": "sample", "timestep_spacing": "trailing", "thresholding": True},
    ),
    "ddim": (diffusers.DDIMScheduler, {}),
    "ddim-v": (
        diffusers.DDIMScheduler,
        {"prediction_type": "v_prediction", "set_alpha_to_one": False, "steps_offset": 1},
    ),
    "ddim-sample": (
        diffusers.DDIMScheduler,
        {"prediction_type": "sample", "clip_sample": False, "beta_schedule": "scaled_linear"},
    ),
    "dpm": (diffusers.DPMSolverMultistepScheduler, {}),
    "dpm-v": (
        diffusers.DPMSolverMultistepScheduler,
        {"prediction_type": "v_prediction", "solver_order": 3, "use_karras_sigmas": True},
    ),
    "dpm-sample": (
        diffusers.DPMSolverMultistepScheduler,
        {"prediction_type": "sample", "algorithm_type": "sde-dpmsolver++"},
    ),
}


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_pipeline_draws_the_same_images_here(
    name: str, channels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, options = SCHEDULERS[name]
    pipeline = saved(
        tmp_path / "theirs", kind(**options), in_channels=channels, out_channels=channels
    )
    generator = LensGenerator.from_pretrained(tmp_path / "theirs", device="cpu")
    expected = theirs(pipeline, generator.image_shape, 10, monkeypatch)
    found = generator.sample(NUM, seed=SEED, num_steps=10).images
    assert found.shape == (NUM, channels, 8, 8)
    assert expected.std() > 0.02
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def exported(tmp_path: Path, gravlens: Run, model: str = "run") -> Run:
    return gravlens("export", tmp_path / model, "--to", "diffusers", tmp_path / "pipeline")


@pytest.mark.parametrize("kind", ["DDPMScheduler", "DDIMScheduler", "DPMSolverMultistepScheduler"])
def test_what_was_trained_here_draws_the_same_images_there(
    kind: str, tmp_path: Path, gravlens: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny("unet2d", total_images=16)
    network = replace(config.model.network, scheduler=SchedulerConfig(kind=kind))
    train(replace(config, model=replace(config.model, network=network)), peaks(), tmp_path / "run")
    done = exported(tmp_path, gravlens)
    assert done.returncode == 0, done.stderr
    assert (
        done.stdout
        == f"wrote {tmp_path / 'run'} to {tmp_path / 'pipeline'} as a pipeline of diffusers\n"
    )
    pipeline = opened(tmp_path / "pipeline")
    assert type(pipeline.scheduler).__name__ == kind
    generator = LensGenerator.from_pretrained(tmp_path / "run", device="cpu")
    found = generator.sample(NUM, seed=SEED, sampler="scheduler", num_steps=10).images
    assert found.std() > 0.02
    expected = theirs(pipeline, generator.image_shape, 10, monkeypatch)
    # After so short a training rounding grows: diffusers itself differs by as much between layouts.
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-5)
    # And back again.
    back = LensGenerator.from_pretrained(tmp_path / "pipeline", device="cpu")
    assert np.array_equal(back.sample(NUM, seed=SEED, num_steps=10).images, found)
    assert exported(tmp_path, gravlens).returncode == 2  # what is in a folder is kept


def test_what_diffusers_does_not_have_is_not_exported(tmp_path: Path, gravlens: Run) -> None:
    save_model(tmp_path / "own", awake())
    config = tiny("unet2d").model
    save_model(tmp_path / "asinh", build_model(replace(config, image_size=8, transform=ASINH)))
    for model, expected in (("own", "of kind 'unet'"), ("asinh", "has another transform")):
        done = exported(tmp_path, gravlens, model)
        assert done.returncode == 2
        assert expected in done.stderr
    assert not (tmp_path / "pipeline").exists()
