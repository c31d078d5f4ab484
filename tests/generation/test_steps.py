"""Numbers of steps that nobody asked for."""

import pytest

from gravlensdiffusion.config.model import (
    DenoiserConfig,
    ModelConfig,
    SamplingConfig,
    ScheduleConfig,
    TransformConfig,
)
from gravlensdiffusion.config.network import UNetConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.generation.saving import shown_request
from gravlensdiffusion.model.build import build_model


def generator(num_steps: int) -> LensGenerator:
    """Return a model of as many discrete noise levels."""
    config = ModelConfig(
        image_size=8,
        transform=TransformConfig(gain=1.0),
        schedule=ScheduleConfig(kind="ddpm", num_steps=num_steps, beta_max=0.5),
        denoiser=DenoiserConfig(prediction="v"),
        network=UNetConfig(
            channels=(16,), attention_levels=(), embedding_dim=16, noise_features="index"
        ),
        sampling=SamplingConfig(sampler="ddpm", num_steps=num_steps),
    )
    return LensGenerator(build_model(config))


@pytest.mark.parametrize("sampler", [None, "ddpm", "ddim", "dpmpp", "heun"])
@pytest.mark.parametrize("num_steps", [2, 10, 40])
def test_no_model_is_asked_for_more_steps_than_it_has(num_steps: int, sampler: str | None) -> None:
    short = generator(num_steps)
    request = short.request(1, sampler=sampler)
    assert 1 <= request.num_steps <= num_steps
    *_, last = short.trajectory(shown_request(short, request, 1))
    assert last.step == min(max(request.num_steps, 30), num_steps)


def test_one_level_is_no_schedule() -> None:
    with pytest.raises(GravLensError, match="num_steps must lie between 2 and"):
        generator(1)
