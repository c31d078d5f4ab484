"""``gravlens train --transform``, for recipes whose images lie in [-1, 1] without it."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from gravlensdiffusion.cli.train import Options, _configure, _RecipeOptions
from gravlensdiffusion.config.model import TransformKind
from gravlensdiffusion.config.network import UNet2DConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.presets.training import PRESETS
from gravlensdiffusion.training.diffusion import train
from tests.sources import rings, tiny

SIGNED = [name for name, recipe in PRESETS.items() if recipe().model.transform.is_signed]


@pytest.mark.parametrize("kind", get_args(TransformKind))
@pytest.mark.parametrize("preset", SIGNED)
def test_the_brightest_pixel_is_drawn_as_it_was_learned(
    preset: str, kind: TransformKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a network that knows one image, and tells its noise without an error."""
    sampler = "scheduler" if preset == "unet2d" else "ddpm"
    if sampler == "scheduler":
        pytest.importorskip("diffusers")
    recipe = tiny(preset, batch_size=8, total_images=8)
    monkeypatch.setattr("gravlensdiffusion.presets.training.PRESETS", {preset: lambda: recipe})
    asked = _RecipeOptions(transform=kind)
    config = _configure(Options(data=Path("d"), out=Path("o"), preset=preset, recipe=asked))
    lenses = rings(16, size=8)
    lenses.images[0, :, 3, 4] *= 30
    train(config, lenses, tmp_path / "run", device="cpu")
    generator = LensGenerator.from_pretrained(tmp_path / "run", device="cpu")
    model = generator.model
    known = model.transform(torch.from_numpy(lenses.images[:1]))
    assert known.abs().max() > 2

    def noise(x_t: Tensor, index: Tensor, condition: object = None) -> Tensor:
        t = (index.double() + 1) / model.denoiser.schedule.num_steps
        alpha_t, sigma_t = (level.reshape(-1, 1, 1, 1) for level in model.denoiser.schedule(t))
        return ((x_t - alpha_t * known) / sigma_t).float()

    monkeypatch.setattr(model.network, "forward", noise)
    drawn = generator.sample(2, sampler=sampler, num_steps=50).images
    wanted = model.transform.inverse(known).numpy()
    np.testing.assert_allclose(drawn, np.repeat(wanted, 2, axis=0), rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("preset", ["ddpm", "unet2d"])
def test_a_recipe_that_cuts_what_it_learns_is_refused(preset: str) -> None:
    config = tiny(preset)
    measured = config.model.measured("asinh")
    assert config.model.clips
    assert not measured.clips
    cut = replace(config.model, transform=measured.transform)
    with pytest.raises(GravLensError, match=r"held in \[-1, 1\].*clip"):
        replace(config, model=cut)
    assert isinstance(measured.network, UNet2DConfig) == (preset == "unet2d")
