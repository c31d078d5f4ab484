"""The same images as pipelines of diffusers, for the same weights and noise."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gravlensdiffusion.diffusion.randomness import Stream, Streams
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.interop import scheduler as ours

diffusers = pytest.importorskip("diffusers")
from tests.parity.pipelines import saved  # noqa: E402

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

NUM, SEED = 3, 5


def theirs(pipeline: Any, shape: tuple[int, ...], steps: int, monkeypatch: Any) -> np.ndarray:
    """Return what a pipeline draws from the noise that image k of our seed has."""
    streams = Streams(SEED, range(NUM))
    drawn = [streams.normal(Stream.PRIOR, shape)]

    def noise(size: tuple[int, ...], **_: object) -> torch.Tensor:
        if len(drawn) == 1:
            drawn.append(drawn[0])
            return drawn[0]
        sources = ours.generators(streams, len(drawn) - 2)
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
