"""From configuration to objects: the only place where names become classes."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.config.bounds import MAX_WEIGHTS
from gravlensdiffusion.config.model import ModelConfig, ScheduleConfig
from gravlensdiffusion.config.network import ReferenceUNetConfig, UNet2DConfig, UNetConfig
from gravlensdiffusion.config.sampling import CONSISTENCY, SCHEDULER
from gravlensdiffusion.diffusion.denoise import Denoiser, IndexedDenoiser, PreconditionedDenoiser
from gravlensdiffusion.diffusion.guidance import ScaledDenoiser
from gravlensdiffusion.diffusion.noise import (
    CosineSchedule,
    DDPMSchedule,
    DiscreteSchedule,
    ScaledLinearSchedule,
    Schedule,
    VariancePreservingLogSNR,
)
from gravlensdiffusion.diffusion.sampler import Sampler
from gravlensdiffusion.diffusion.solvers import DDIM, DDPM, Consistency, DPMSolverPP, Heun
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.interop.unet2d import SchedulerSampler, UNet2D
from gravlensdiffusion.model.expectation import Expectation
from gravlensdiffusion.model.transform import Transform
from gravlensdiffusion.nn.lens_equation import LensEquation
from gravlensdiffusion.nn.reference import ReferenceUNet
from gravlensdiffusion.nn.unet import UNet

SAMPLERS: dict[str, Callable[[], Sampler]] = {
    "dpmpp": DPMSolverPP,
    "ddpm": DDPM,
    "ddim": DDIM,
    "heun": Heun,
}
"""Samplers that any model can be drawn with."""


class Model(nn.Module):
    """A network with its denoiser and its transform.

    Args:
        config: The configuration; the transform's gain must be set.
        network: The bare network.
        transform: Flux to model space and back.
        prior: Class and parameters of some training images, shape ``(config.prior_size, 1 + P)``;
            None for a table that is still empty, to be loaded.

    Attributes:
        prior: The table, float32; what is not asked for is drawn from it.
        denoiser: The network wrapped for training and sampling; it shares the weights.
        sampled: The denoiser that samplers go by: that one, with the model's epsilon scaling.
    """

    prior: Tensor

    def __init__(
        self,
        config: ModelConfig,
        network: nn.Module,
        transform: Transform,
        prior: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.network = network
        self.transform = transform
        if config.prior_size:
            shape = (config.prior_size, 1 + len(config.parameters))
            table = torch.zeros(shape) if prior is None else prior
            self.register_buffer("prior", table)
        schedule = _build_schedule(config.schedule)
        self.expected = Expectation.of(config, transform)
        # Kept out of the state dict, where the network's weights would stand twice.
        own = _build_denoiser(config, network, schedule, self.expected)
        sampled: Denoiser = own
        if (scale := config.sampling.epsilon_scaling) != 1:
            sampled = ScaledDenoiser(own, scale, config.sampling.epsilon_scaling_from)
        self._denoisers = (own, sampled)

    @property
    def denoiser(self) -> Denoiser:
        """The denoiser of this network."""
        return self._denoisers[0]

    @property
    def sampled(self) -> Denoiser:
        """The denoiser that samplers go by."""
        return self._denoisers[1]

    def forward(self, x: Tensor, t: Tensor, eps: Tensor, condition: Condition | None) -> Tensor:
        """Return the training loss of each image; see `Denoiser.loss`."""
        return self.denoiser.loss(x, t, eps, condition)

    def check_alike(self, other: "Model", name: str) -> None:
        """Refuse a model whose estimates of one noisy image cannot stand in for this one's.

        Args:
            other: The other model.
            name: What the message calls it.

        Raises:
            GravLensError: If it knows other images, orders or noise levels; it says what.
        """

        def told(of: Model) -> dict[str, object]:
            config = of.config
            return {
                "image shape": (config.num_channels, config.image_size, config.image_size),
                "classes": config.class_names,
                "parameters": tuple(each.name for each in config.parameters),
                "flux unit": config.flux_unit,
                "transform": config.transform,
                "mean image": of.transform.mean.tolist(),
                "noise schedule": config.schedule,
                "noise": config.observation,
            }

        others = told(other)
        for what, value in told(self).items():
            if value != others[what]:
                raise GravLensError(
                    f"{name} must be a model of the same images, such as another checkpoint of the "
                    f"run; this one has another {what}"
                )


def build_model(
    config: ModelConfig, transform: Transform | None = None, prior: Tensor | None = None
) -> Model:
    """Build a model with fresh weights; without transform and table, these are still to be loaded.

    Raises:
        GravLensError: If it is larger than any machine of a user would want it to be.
    """
    if least_size(config) > MAX_WEIGHTS:
        raise GravLensError(
            f"a model of {least_size(config):,} numbers or more is asked for; at most {MAX_WEIGHTS:,} "
            "are built"
        )
    if transform is None:
        shape = (config.num_channels, config.image_size, config.image_size)
        transform = Transform(config.transform, torch.zeros(shape))
    model = Model(config, build_network(config), transform, prior)
    # Twice as fast on CPUs as the default layout.
    model.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def least_size(config: ModelConfig) -> int:
    """Return a number of weights that a model surely has: a file with fewer does not hold it."""
    size = config.num_channels * config.image_size**2
    size += config.prior_size * (1 + len(config.parameters))
    network = config.network
    if isinstance(network, UNetConfig):
        # One convolution of each residual block, and one layer of the embedding.
        size += 9 * network.num_blocks * sum(num**2 for num in network.channels)
        size += 9 * network.refine_channels**2
        # The first convolution and the last, whose channels are the pixels of a patch.
        num_ends = 2 * config.num_channels + network.refine_channels
        if LensEquation.is_known(config.parameters, network.lens_equation):
            num_ends += LensEquation.NUM_CHANNELS
        size += 9 * network.channels[0] * network.patch**2 * num_ends
        size += network.embedding_dim**2 + network.embedding_dim * len(config.class_names)
    if isinstance(network, UNet2DConfig):
        widths = network.block_out_channels
        size += 9 * network.layers_per_block * sum(num**2 for num in widths)
        size += (network.time_embedding_dim or 4 * widths[0]) ** 2
        size += (network.num_train_timesteps or 0) * widths[0]
    return size


def _build_schedule(config: ScheduleConfig) -> Schedule:
    """Build the noise schedule."""
    if config.kind == "ddpm":
        return DDPMSchedule(config.num_steps, config.beta_min, config.beta_max)
    if config.kind == "scaled_linear":
        return ScaledLinearSchedule(config.num_steps, config.beta_min, config.beta_max)
    if config.kind == "cosine":
        return CosineSchedule(config.num_steps)
    return VariancePreservingLogSNR(config.sigma_min, config.sigma_max)


def _build_denoiser(
    known: ModelConfig, network: nn.Module, schedule: Schedule, expected: Expectation | None
) -> Denoiser:
    """Wrap a network in the denoiser of its prediction type."""
    config = known.denoiser
    if config.prediction == "preconditioned":
        return PreconditionedDenoiser(
            network,
            schedule,
            uniform_fraction=config.uniform_fraction,
            p_mean=config.p_mean,
            p_std=config.p_std,
            skip=config.skip,
            floor=config.floor,
            noise=config.noise,
            keeps_noise=config.keeps_noise,
            spectrum=None if config.keeps_noise else _spectrum(known),
            expected=expected,
        )
    assert isinstance(schedule, DiscreteSchedule)
    return IndexedDenoiser(network, schedule, config.prediction, clip=config.clip)


def _spectrum(config: ModelConfig) -> Tensor | None:
    """Return the power of an instrument's noise over its mean; None where it is white."""
    correlation = config.native_correlation
    if correlation is None:
        return None
    size, reach = config.image_size, len(correlation.table)
    periodic = torch.zeros(size, size, dtype=torch.float64)
    for i in range(1 - reach, reach):
        for j in range(1 - reach, reach):
            periodic[i % size, j % size] += correlation.table[abs(i)][abs(j)]
    return torch.fft.rfft2(periodic).real.clamp_min(0)


def build_network(config: ModelConfig) -> nn.Module:
    """Build the network with fresh weights, from the current random state.

    Raises:
        GravLensError: If the reference network is asked for more than grey, unlabelled images, or a
            network of diffusers cannot be made.
    """
    if isinstance(config.network, UNet2DConfig):
        return UNet2D(config.network, config.image_size, config.num_channels)
    if isinstance(config.network, ReferenceUNetConfig):
        is_conditional = config.class_names or config.parameters
        if config.num_channels != 1 or is_conditional or config.image_size % 4:
            raise GravLensError(
                "the reference network takes one channel, no classes or parameters, and sizes "
                "divisible by 4"
            )
        return ReferenceUNet()
    num_classes = len(config.class_names)
    return UNet(config.network, config.num_channels, num_classes, config.parameters)


def build_sampler(name: str, config: ModelConfig) -> Sampler:
    """Build a sampler with its default settings.

    Raises:
        GravLensError: If there is no sampler of that name.
    """
    if name == CONSISTENCY:
        return Consistency(config.sampling.levels)
    if name == SCHEDULER:
        return SchedulerSampler(config)
    if name not in SAMPLERS:
        raise GravLensError(f"unknown sampler '{name}'; choose from {', '.join(SAMPLERS)}")
    return SAMPLERS[name]()
