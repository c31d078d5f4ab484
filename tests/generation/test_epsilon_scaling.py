"""Epsilon scaling, a setting of the model that its images are drawn by."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gravlensdiffusion.codec import to_json
from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.config.sampling import SamplingConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.generation.samples import Frame
from gravlensdiffusion.model.build import Model
from tests.models import ORDERED, awake


def drawn(model: Model, guidance: float = 1.0) -> list[Frame]:
    """Return the frames of three images in six steps, without the last, which has no estimate."""
    generator = LensGenerator(model)
    request = generator.request(3, label="cdm", num_steps=6, guidance=guidance)
    return list(generator.trajectory(request))[:-1]


def scaled(scale: float, lowest: float = 0.0) -> Model:
    """Return the model of the tests with this setting."""
    sampling = replace(ORDERED.sampling, epsilon_scaling=scale, epsilon_scaling_from=lowest)
    return awake(replace(ORDERED, sampling=sampling))


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_estimates_of_the_steps_it_holds_for_keep_a_share_of_the_noise(guidance: float) -> None:
    plain, everywhere = drawn(awake(), guidance), drawn(scaled(1.05), guidance)
    first = plain[0]
    kept = first.x_hat + (1 - 1 / 1.05) * (first.x_t / first.alpha_t - first.x_hat)
    assert torch.allclose(everywhere[0].x_hat, kept, rtol=1e-4)
    assert not torch.allclose(everywhere[0].x_hat, first.x_hat, rtol=1e-3)
    # From a ratio on that no step has nothing changes, from the lowest on all does, to the bit.
    for lowest, same in ((60.0, plain), (0.009, everywhere)):
        found = drawn(scaled(1.05, lowest), guidance)
        assert all(torch.equal(a.x_hat, b.x_hat) for a, b in zip(found, same, strict=True))
    some = drawn(scaled(1.05, 1.0), guidance)
    alike = [torch.equal(a.x_hat, b.x_hat) for a, b in zip(some, everywhere, strict=True)]
    assert alike == sorted(alike, reverse=True)
    assert alike[0]
    assert not alike[-1]


def test_what_a_model_learns_does_not_depend_on_it() -> None:
    plain, model = awake(), scaled(1.05)
    generator = torch.Generator().manual_seed(0)
    size = ORDERED.image_size
    x, eps = torch.randn(2, 2, 1, size, size, generator=generator)
    t = torch.tensor([0.3, 0.6], dtype=torch.float64)
    condition = Condition(label=torch.tensor([0, 1]), parameters=plain.prior[:2, 1:].double())
    assert torch.equal(model(x, t, eps, condition), plain(x, t, eps, condition))
    assert torch.equal(model.denoiser(x, t, condition), plain.denoiser(x, t, condition))
    assert not torch.equal(model.sampled(x, t, condition), plain.sampled(x, t, condition))


def test_images_of_another_scaling_are_no_part_of_the_same_set() -> None:
    one, other = (LensGenerator(model).identity("dpmpp") for model in (awake(), scaled(1.02)))
    assert one["model"][0] == other["model"][0]
    assert one["model"][1] != other["model"][1]
    assert "epsilon" not in to_json(ORDERED)
    assert np.isclose(scaled(1.02).config.sampling.epsilon_scaling, 1.02)


@pytest.mark.parametrize(
    ("sampling", "word"),
    [
        ({"epsilon_scaling": 0.1}, "epsilon_scaling"),
        ({"epsilon_scaling": 3.0}, "epsilon_scaling"),
        ({"epsilon_scaling_from": -1.0}, "epsilon_scaling_from"),
        ({"epsilon_scaling_from": 1.0}, "epsilon_scaling"),
        ({"epsilon_scaling": 1.02, "sampler": "scheduler"}, "scheduler"),
        (
            {"epsilon_scaling": 1.02, "sampler": "consistency", "few_steps": (1,)},
            "consistency",
        ),
    ],
)
def test_settings_that_cannot_be_are_refused(sampling: dict[str, object], word: str) -> None:
    with pytest.raises(GravLensError, match=word):
        SamplingConfig(**sampling)  # type: ignore[arg-type]
