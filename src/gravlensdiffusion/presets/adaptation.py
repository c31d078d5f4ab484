"""The recipe that adapts a trained model to a small set of images."""

from typing import Literal, cast, get_args

from gravlensdiffusion.config.model import (
    ModelConfig,
    Resize,
    SamplingConfig,
    TransformConfig,
    UNetConfig,
)
from gravlensdiffusion.config.stopping import EarlyStopping
from gravlensdiffusion.config.training import EMAConfig, OptimiserConfig, TrainingConfig

MIN_IMAGES = 200
"""Fewest images of which some can be held out when a model is adapted."""


def adaptation(
    model: ModelConfig, parameters: tuple[str, ...], noise: Literal["learned", "split", "carried"]
) -> TrainingConfig:
    """Return a recipe that follows a model.

    Args:
        model: The model to start from; only its configuration counts.
        parameters: Those of its physical parameters that the set has.
        noise: What is done about the noise of the set.
    """
    resize = cast("Resize", model.resize) if model.resize in get_args(Resize) else None
    return TrainingConfig(
        preset="adapt",
        model=ModelConfig(
            image_size=model.image_size,
            num_channels=model.num_channels,
            transform=refitted(model.transform),
            schedule=model.schedule,
            denoiser=model.denoiser,
            network=model.network,
            sampling=sampling(model, noise),
        ),
        size=model.image_size,
        resize=resize,
        batch_size=32,
        total_images=60_000,
        conditional=isinstance(model.network, UNetConfig),
        parameters=parameters,
        noise=noise,
        optimiser=OptimiserConfig(kind="adamw", learning_rate=1e-3, warmup_images=1_000),
        ema=EMAConfig(halflife_images=2_000, ramp=0.2),
        early_stopping=EarlyStopping(held_out=0.1, every_images=2_000, patience=5),
        log_images=2_000,
        checkpoint_images=10_000,
        sample_images=10_000,
    )


def refitted(transform: TransformConfig) -> TransformConfig:
    """Return a transform of the same kind that is measured anew; one with bounds stays."""
    if transform.bounds is not None:
        return transform
    return TransformConfig(
        kind=transform.kind, centre=transform.centre, fit=transform.kind == "asinh"
    )


def sampling(model: ModelConfig, noise: str) -> SamplingConfig:
    """Return how the adapted model draws: as its model, with more steps where noise is new."""
    is_new = noise == "carried" and model.observation is not None
    if is_new or model.sampling.few_steps:
        return SamplingConfig(sampler="dpmpp", num_steps=20, draft_steps=12, best_steps=40)
    return model.sampling
