"""Named training configurations."""

from collections.abc import Callable

from gravlensdiffusion.config.model import (
    DenoiserConfig,
    ModelConfig,
    ReferenceUNetConfig,
    SamplingConfig,
    ScheduleConfig,
    TransformConfig,
    UNetConfig,
)
from gravlensdiffusion.config.training import EMAConfig, OptimiserConfig, TrainingConfig

UNIT_TO_SIGNED = TransformConfig(
    kind="linear", offset=0.5, scale=0.5, centre="none", gain=1.0, bounds=(0.0, 1.0)
)
"""Images in [0, 1] to [-1, 1], as the DDPM papers have it."""


def reference() -> TrainingConfig:
    """Return the recipe of the reference project: its U-Net, Adam, batch 10, 40 epochs, no EMA."""
    return TrainingConfig(
        preset="reference",
        model=ModelConfig(
            image_size=28,
            transform=UNIT_TO_SIGNED,
            schedule=ScheduleConfig(kind="ddpm"),
            denoiser=DenoiserConfig(prediction="epsilon"),
            network=ReferenceUNetConfig(),
            sampling=SamplingConfig(sampler="ddpm", num_steps=1000),
        ),
        size=28,
        resize="bilinear",
        batch_size=10,
        epochs=40,
        conditional=False,
        stratified_times=False,
        optimiser=OptimiserConfig(
            kind="adam", learning_rate=1e-4, beta2=0.999, weight_decay=0.0, max_grad_norm=None
        ),
        ema=EMAConfig(halflife_images=0),
    )


def ddpm() -> TrainingConfig:
    """Return the recipe of Ho et al. 2020 (arXiv:2006.11239, appendix B, CIFAR10), one channel.

    Their 800,000 steps of 128 images are far more than a set of 10,000 lenses needs: 400 epochs.
    """
    return TrainingConfig(
        preset="ddpm",
        model=ModelConfig(
            image_size=28,
            transform=UNIT_TO_SIGNED,
            schedule=ScheduleConfig(kind="ddpm"),
            denoiser=DenoiserConfig(prediction="epsilon", clip=True),
            network=UNetConfig(
                channels=(128, 256, 256),
                num_blocks=2,
                attention_levels=(1,),
                num_heads=1,
                embedding_dim=512,
                noise_features="index",
                modulation="shift",
                dropout=0.1,
            ),
            sampling=SamplingConfig(sampler="ddpm", num_steps=1000),
        ),
        size=28,
        batch_size=128,
        epochs=400,
        conditional=False,
        stratified_times=False,
        optimiser=OptimiserConfig(
            kind="adam",
            learning_rate=2e-4,
            beta2=0.999,
            weight_decay=0.0,
            warmup_images=640_000,
            max_grad_norm=1.0,
        ),
        # A decay of 0.9999 a step: half the weight after ln 2 / 1e-4 steps of 128 images.
        ema=EMAConfig(halflife_images=887_000),
    )


def lens28() -> TrainingConfig:
    """Return the recipe of the bundled 28-pixel model: small, class-conditional, preconditioned."""
    return TrainingConfig(
        preset="lens28",
        model=ModelConfig(
            image_size=28,
            transform=TransformConfig(kind="asinh", fit=True),
            schedule=ScheduleConfig(kind="log_snr", sigma_min=0.002, sigma_max=160.0),
            denoiser=DenoiserConfig(
                prediction="preconditioned", uniform_fraction=0.4, p_mean=-0.2, p_std=1.4
            ),
            network=UNetConfig(channels=(32, 64, 96), num_blocks=1, attention_levels=(2,)),
            sampling=SamplingConfig(sampler="dpmpp", num_steps=20),
        ),
        size=28,
        batch_size=64,
        epochs=40,
        optimiser=OptimiserConfig(
            kind="adamw", learning_rate=1.2e-3, warmup_images=5_000, decay="cosine"
        ),
        ema=EMAConfig(halflife_images=10_000),
    )


PRESETS: dict[str, Callable[[], TrainingConfig]] = {
    "lens28": lens28,
    "ddpm": ddpm,
    "reference": reference,
}
"""Training presets by name."""
