"""Named training configurations."""

from collections.abc import Callable
from dataclasses import replace

from gravlensdiffusion.codec import read_preset
from gravlensdiffusion.config.model import (
    DenoiserConfig,
    ModelConfig,
    ScheduleConfig,
    TransformConfig,
)
from gravlensdiffusion.config.network import (
    LensEquationConfig,
    ReferenceUNetConfig,
    SchedulerConfig,
    SmoothLensConfig,
    UNet2DConfig,
    UNetConfig,
)
from gravlensdiffusion.config.sampling import SamplingConfig
from gravlensdiffusion.config.training import EMAConfig, OptimiserConfig, TrainingConfig
from gravlensdiffusion.presets.parameters import LIGHTS, ORDERED_BY, SHAPES

UNIT_TO_SIGNED = TransformConfig(
    kind="linear", offset=0.5, scale=0.5, centre="none", gain=1.0, bounds=(0.0, 1.0)
)
"""Images in [0, 1] to [-1, 1], as the DDPM papers have it."""

PATCHES = UNetConfig(
    channels=(48, 96, 128),
    patch=2,
    refine_channels=16,
    lens_equation=LensEquationConfig(smooth=SmoothLensConfig()),
)
"""The network of the bundled models, at 64 pixels."""


def _reference() -> TrainingConfig:
    """The recipe of the reference project: its U-Net, Adam, batch 10, 40 epochs, no EMA."""
    return TrainingConfig(
        preset="reference",
        model=ModelConfig(
            transform=UNIT_TO_SIGNED,
            network=ReferenceUNetConfig(),
            sampling=SamplingConfig(sampler="ddpm", num_steps=1000),
        ),
        size=28,
        resize="bilinear",
        batch_size=10,
        conditional=False,
        stratified_times=False,
        optimiser=OptimiserConfig(
            kind="adam", learning_rate=1e-4, beta2=0.999, weight_decay=0.0, max_grad_norm=None
        ),
        ema=EMAConfig(halflife_images=0),
    )


def _ddpm() -> TrainingConfig:
    """The recipe of Ho et al. 2020 (arXiv:2006.11239, appendix B, CIFAR10), one channel.

    Their 800,000 steps of 128 images are far more than a set of 10,000 lenses needs: 400 epochs.
    """
    return TrainingConfig(
        preset="ddpm",
        model=ModelConfig(
            transform=UNIT_TO_SIGNED,
            denoiser=DenoiserConfig(clip=True),
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
        ),
        # A decay of 0.9999 a step: half the weight after ln 2 / 1e-4 steps of 128 images.
        ema=EMAConfig(halflife_images=887_000),
    )


def _unet2d() -> TrainingConfig:
    """A recipe of a network of diffusers, which `gravlens export` hands to that library."""
    return TrainingConfig(
        preset="unet2d",
        model=ModelConfig(
            transform=UNIT_TO_SIGNED,
            network=UNet2DConfig(
                block_out_channels=(32, 64, 128),
                down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
                up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
                layers_per_block=1,
                # From the last step on: Lin et al. 2023, arXiv:2305.08891.
                scheduler=SchedulerConfig(
                    kind="DDIMScheduler", settings={"timestep_spacing": "trailing"}
                ),
            ),
            sampling=SamplingConfig(sampler="scheduler", num_steps=50),
        ),
        size=28,
        total_images=600_000,
        conditional=False,
        optimiser=OptimiserConfig(learning_rate=4e-4, warmup_images=10_000, decay="cosine"),
        ema=EMAConfig(halflife_images=10_000),
    )


def _cutouts28() -> TrainingConfig:
    """The recipe for images as they come, noise included: small, class-conditional."""
    return TrainingConfig(
        preset="cutouts28",
        model=ModelConfig(
            transform=TransformConfig(kind="asinh", fit=True),
            schedule=ScheduleConfig(kind="log_snr", sigma_min=0.002, sigma_max=160.0),
            denoiser=DenoiserConfig(
                prediction="preconditioned", uniform_fraction=0.4, p_mean=-0.2, p_std=1.4
            ),
        ),
        size=28,
        total_images=400_000,
        optimiser=OptimiserConfig(
            kind="muon", learning_rate=0.02, warmup_images=5_000, decay="cosine"
        ),
        ema=EMAConfig(halflife_images=10_000),
    )


def _lens64() -> TrainingConfig:
    """The recipe of the bundled models, at 64 pixels.

    They learn the noise-free images of a simulation, by class and physical parameters, about the image
    of the smooth lens that these give, and Muon takes the hidden weights. The network gives what is
    left of the clean image itself: what a patch of noise-free pixels holds is smooth, and its noise is
    not, so that it never has to carry the noise through.
    """
    return TrainingConfig(
        preset="lens64",
        model=ModelConfig(
            image_size=64,
            # Forty times the sky noise: linear in the sky, logarithmic in arcs.
            transform=TransformConfig(kind="asinh", scale=0.15),
            # What the smooth lens leaves is a ninth of the data's standard deviation.
            schedule=ScheduleConfig(kind="log_snr", sigma_min=0.01, sigma_max=20.0),
            denoiser=DenoiserConfig(
                prediction="preconditioned",
                uniform_fraction=0.3,
                p_mean=-1.4,
                p_std=1.4,
                skip=False,
                floor=0.05,
            ),
            network=PATCHES,
            sampling=SamplingConfig(sampler="dpmpp", num_steps=8),
        ),
        size=64,
        batch_size=32,
        total_images=1_000_000,
        parameters=(*ORDERED_BY, *SHAPES),
        parameter_dropout=0.0,
        parameters_dropout=0.2,
        derived_dropout=0.5,
        noise="split",
        optimiser=OptimiserConfig(
            kind="muon", learning_rate=0.02, warmup_images=5_000, decay="cosine"
        ),
        ema=EMAConfig(halflife_images=10_000),
    )


def _lens28() -> TrainingConfig:
    """The recipe of `lens64` at 28 pixels."""
    recipe = _lens64()
    model = replace(
        recipe.model,
        image_size=28,
        transform=TransformConfig(kind="asinh", scale=0.66),
        network=replace(PATCHES, channels=(64, 128), attention_levels=(1,)),
    )
    return replace(recipe, preset="lens28", model=model, size=28, batch_size=64)


def _lens150() -> TrainingConfig:
    """The recipe of `lens64` at native size.

    Behind its first level the network is that of `lens64`, whose weights it can start from.
    """
    recipe = _lens64()
    model = replace(
        recipe.model,
        image_size=150,
        transform=TransformConfig(kind="asinh", scale=0.0344),
        schedule=ScheduleConfig(kind="log_snr", sigma_min=0.01, sigma_max=50.0),
        denoiser=replace(recipe.model.denoiser, p_mean=-0.6),
        network=replace(PATCHES, channels=(24, 48, 96, 128), attention_levels=(3,)),
        sampling=replace(recipe.model.sampling, num_steps=12, draft_steps=6),
    )
    return replace(recipe, preset="lens150", model=model, size=150, total_images=600_000)


def _slacs96() -> TrainingConfig:
    """The recipe of `lens64` for lenses of a survey, with the light of lens and neighbours.

    Its images are those of the simulation preset `slacs`, 96 pixels in patches of 3.
    """
    recipe = _lens64()
    model = replace(
        recipe.model,
        image_size=96,
        # Some ten times the sky noise: the lens galaxy is a thousand times as bright.
        transform=TransformConfig(kind="asinh", scale=0.1),
        schedule=ScheduleConfig(kind="log_snr", sigma_min=0.02, sigma_max=600.0),
        denoiser=replace(recipe.model.denoiser, p_mean=0.9, p_std=1.6, floor=0.03),
        network=replace(PATCHES, patch=3, refine_channels=8),
    )
    return replace(
        recipe,
        preset="slacs96",
        model=model,
        size=96,
        total_images=400_000,
        parameter_dropout=0.05,
        parameters_dropout=0.1,
        parameters=(
            *(name for name in ORDERED_BY if name != "signal_to_noise"),
            "lens_e1",
            "lens_e2",
            *LIGHTS,
            "signal_to_noise",
        ),
    )


PRESETS: dict[str, Callable[[], TrainingConfig]] = {
    "cutouts28": _cutouts28,
    "lens28": _lens28,
    "lens64": _lens64,
    "lens150": _lens150,
    "slacs96": _slacs96,
    "ddpm": _ddpm,
    "unet2d": _unet2d,
    "reference": _reference,
}
"""Training presets by name."""


def training_preset(name: str) -> TrainingConfig:
    """The recipe of a name, or that of a JSON file.

    Raises:
        GravLensError: If there is no such preset, or the file is not a recipe.
    """
    return read_preset(TrainingConfig, PRESETS, name)
