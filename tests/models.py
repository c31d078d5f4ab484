"""A model that takes orders and leaves the noise to the instrument, with random weights."""

from dataclasses import replace

import torch

from gravlensdiffusion.config.instrument import ObservationConfig
from gravlensdiffusion.config.model import (
    DenoiserConfig,
    ModelConfig,
    ParameterConfig,
    ScheduleConfig,
    TransformConfig,
)
from gravlensdiffusion.config.network import UNetConfig
from gravlensdiffusion.config.sampling import SamplingConfig
from gravlensdiffusion.model.build import Model, build_model

THETA_E = ParameterConfig(name="theta_E", unit="arcsec", low=0.8, high=1.6)
SOURCE_X = ParameterConfig(name="source_x", unit="arcsec", low=-0.5, high=0.5)
SIGNAL_TO_NOISE = ParameterConfig(name="signal_to_noise", low=1.0, high=100.0, scale="log")

SKY = ObservationConfig(num_pixels=8, background_rms=0.1)

ORDERED = ModelConfig(
    image_size=8,
    class_names=("no_sub", "cdm", "axion"),
    parameters=(THETA_E, SOURCE_X, SIGNAL_TO_NOISE),
    prior_size=6,
    prior_draws="density",
    pixel_scale_arcsec=0.25,
    flux_unit="e-/s",
    observation=SKY,
    transform=TransformConfig(kind="linear", gain=1.0),
    schedule=ScheduleConfig(kind="log_snr", sigma_min=0.01, sigma_max=50),
    denoiser=DenoiserConfig(prediction="preconditioned"),
    network=UNetConfig(channels=(8,), attention_levels=(), embedding_dim=8),
    sampling=SamplingConfig(sampler="dpmpp", num_steps=3),
)
"""Three classes, three parameters, noise of the sky alone."""

LEARNED = replace(ORDERED, parameters=(), prior_size=0, prior_draws="rows", observation=None)
"""A model of images as they are, which takes no order but a class."""

# Label, theta_E, source_x, signal_to_noise of six training images, none of them of class axion.
PRIOR = (
    (0, 0.875, -0.5, 2.0),
    (1, 1.0, -0.25, 4.0),
    (0, 1.125, 0.0, 8.0),
    (1, 1.25, 0.125, 16.0),
    (1, 1.375, 0.25, 32.0),
    (0, 1.5, 0.5, 64.0),
)


def awake(config: ModelConfig = ORDERED) -> Model:
    """Return a model none of whose weights are zero."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(config, prior=torch.tensor(PRIOR) if config.prior_size else None)
        for parameter in model.network.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()
