"""Settings of a denoiser."""

from dataclasses import replace
from typing import Any, get_args

import pytest
import torch

from gravlensdiffusion.config.model import (
    DenoiserConfig,
    ModelConfig,
    Prediction,
    ScheduleConfig,
    TransformConfig,
)
from gravlensdiffusion.config.network import UNetConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.model.build import build_model

CHANGES = {
    "uniform_fraction": 0.1,
    "p_mean": 1.0,
    "p_std": 0.3,
    "skip": False,
    "floor": 0.3,
    "noise": 0.5,
    "clip": True,
}


def learned(config: DenoiserConfig) -> torch.Tensor:
    """Return the times that training visits, its losses, and estimates."""
    is_continuous = config.prediction == "preconditioned"
    network = UNetConfig(channels=(16,), attention_levels=(), embedding_dim=16)
    if not is_continuous:
        network = replace(network, noise_features="index")
    model_config = ModelConfig(
        image_size=8,
        transform=TransformConfig(gain=1.0),
        schedule=ScheduleConfig(kind="log_snr" if is_continuous else "ddpm"),
        denoiser=config,
        network=network,
    )
    torch.manual_seed(0)
    model = build_model(model_config).eval()
    x, eps = 2 * torch.randn(4, 1, 8, 8), torch.randn(4, 1, 8, 8)
    u, t = torch.linspace(0.05, 0.95, 4), torch.full((4,), 0.5, dtype=torch.float64)
    with torch.no_grad():
        for weights in model.network.parameters():
            weights.add_(torch.randn_like(weights))
        estimates = model.denoiser(x, t).flatten()
        return torch.cat(
            [model.denoiser.sample_t(u), model.denoiser.loss(x, t, eps), estimates]
        ).double()


@pytest.mark.parametrize("prediction", get_args(Prediction))
@pytest.mark.parametrize("without_skip", [False, True])
@pytest.mark.parametrize("name", CHANGES)
def test_a_setting_changes_something_or_is_refused(
    name: str, without_skip: bool, prediction: Any
) -> None:
    try:
        plain = DenoiserConfig(prediction=prediction, skip=not without_skip)
        changed = replace(plain, **{name: CHANGES[name]})
    except GravLensError:
        return
    if changed != plain:
        assert not torch.equal(learned(plain), learned(changed))


def test_what_a_setting_is_for_is_told() -> None:
    with pytest.raises(GravLensError, match="denoiser skip is for prediction 'preconditioned'"):
        DenoiserConfig(prediction="v", skip=False)
    with pytest.raises(GravLensError, match="denoiser floor is for a denoiser with skip false"):
        DenoiserConfig(prediction="preconditioned", floor=0.1)
