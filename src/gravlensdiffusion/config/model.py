"""Configuration of a model: transform, schedule, denoiser, network."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Literal

from gravlensdiffusion.config.bounds import (
    LATER,
    MAX_PARAMETERS,
    MAX_STEPS,
    Bands,
    Bounded,
    NonNegative,
    Number,
    Positive,
    Range,
    Share,
    Side,
    check_class_names,
    parameter_fault,
    text_faults,
)
from gravlensdiffusion.config.instrument import ObservationConfig, SkyCorrelation
from gravlensdiffusion.config.network import NetworkConfig, UNet2DConfig, UNetConfig
from gravlensdiffusion.config.sampling import SCHEDULER, SamplingConfig

SLACK = 0.01
"""How far a value may lie outside a learned range, as a share of its width on its scale: no training
set reaches quite to the ends of what it was drawn from."""
TransformKind = Literal["linear", "asinh", "peak"]
Prediction = Literal["epsilon", "x0", "v", "preconditioned"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TransformConfig(Bounded):
    """How flux becomes what the network sees; see `model.transform`.

    Attributes:
        kind: ``linear``: ``(flux - offset) / scale``. ``asinh``: ``asinh((flux - offset) /
            scale)``. ``peak``: each image to [0, 1], which has no inverse.
        offset: Flux that maps to zero [flux unit].
        scale: Flux that maps to one, or where asinh bends [flux unit].
        centre: What is subtracted afterwards: the mean image of the training set, or nothing.
        gain: Factor at the end; 0 stands for one over the standard deviation of the training set.
        fit: Whether offset and scale are measured on the training set before training.
        bounds: Range that the training set must keep to [flux unit], or None for any.
    """

    kind: TransformKind = "linear"
    offset: Number = 0.0
    scale: Positive = 1.0
    centre: Literal["mean_image", "none"] = "mean_image"
    gain: NonNegative = 0.0
    fit: bool = False
    bounds: tuple[float, float] | None = None

    @property
    def is_signed(self) -> bool:
        """Whether it maps images in [0, 1] to [-1, 1], as the DDPM papers and diffusers do."""
        own = (self.kind, self.offset, self.scale, self.centre, self.gain)
        return own == ("linear", 0.5, 0.5, "none", 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleConfig(Bounded):
    """How time maps to signal and noise; see `diffusion.noise`.

    Attributes:
        kind: ``ddpm``: the discrete linear betas of Ho et al. 2020. ``scaled_linear``: betas whose
            roots are linear, Rombach et al. 2022. ``cosine``: Nichol and Dhariwal 2021.
            ``log_snr``: logarithm of the noise-to-signal ratio linear in time.
        num_steps: Number of discrete steps, of all but ``log_snr``.
        beta_min: First beta of ``ddpm`` and ``scaled_linear``.
        beta_max: Last beta of ``ddpm`` and ``scaled_linear``.
        sigma_min: Smallest noise-to-signal ratio of ``log_snr`` [model units].
        sigma_max: Largest noise-to-signal ratio of ``log_snr`` [model units].
    """

    kind: Literal["ddpm", "scaled_linear", "cosine", "log_snr"] = "ddpm"
    num_steps: Annotated[int, Range(at_least=2, at_most=MAX_STEPS)] = 1000
    beta_min: Positive = 1e-4
    beta_max: Annotated[float, Range(below=1)] = 0.02
    sigma_min: Positive = 0.002
    sigma_max: Number = 80.0

    def _faults(self) -> Iterator[str]:
        if not self.beta_min <= self.beta_max:
            yield "schedule betas must satisfy 0 < beta_min <= beta_max < 1"
        if not self.sigma_min < self.sigma_max:
            yield "schedule must satisfy 0 < sigma_min < sigma_max"


_PRECONDITIONED = ("uniform_fraction", "p_mean", "p_std", "skip")
"""Settings of a denoiser that no other prediction reads."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DenoiserConfig(Bounded):
    """What the network predicts and which noise levels training visits.

    Attributes:
        prediction: Target of the network; ``preconditioned`` is that of Karras et al. 2022.
        uniform_fraction: Share of training times drawn evenly in log noise level
            (``preconditioned`` only); the rest is log-normal.
        p_mean: Mean of the log-normal part, of ln(sigma).
        p_std: Standard deviation of the log-normal part, of ln(sigma).
        skip: Whether the noisy image is part of the estimate; if not, the network gives the clean
            image itself (``preconditioned`` only).
        floor: Error below which nothing is gained, in standard deviations of the data; for
            networks without ``skip``.
        noise: Standard deviation of white noise in the images, which goes past the network
            [model units]; for networks without ``skip``.
        keeps_noise: Whether the estimate is the image with that noise; if not, without it.
        clip: Whether estimates of the clean image are held in [-1, 1] when sampling.
    """

    prediction: Prediction = "epsilon"
    uniform_fraction: Share = 0.5
    p_mean: Number = -0.5
    p_std: Positive = 1.5
    skip: bool = True
    floor: NonNegative = 0.0
    noise: NonNegative = 0.0
    keeps_noise: bool = field(default=True, metadata=LATER)
    clip: bool = False

    def _faults(self) -> Iterator[str]:
        if self.noise and self.skip:
            yield "denoiser noise is for a denoiser with skip false"
        if self.clip and self.prediction == "preconditioned":
            yield "denoiser clip goes with data in [-1, 1], not with preconditioning"
        if self.floor and self.skip:
            yield "denoiser floor is for a denoiser with skip false"
        if self.prediction != "preconditioned":
            for each in fields(self):
                if each.name in _PRECONDITIONED and getattr(self, each.name) != each.default:
                    yield f"denoiser {each.name} is for prediction 'preconditioned'"


@dataclass(frozen=True, kw_only=True, slots=True)
class ParameterConfig(Bounded):
    """A physical parameter that a lens can be ordered by.

    Attributes:
        name: Its name in the store.
        unit: Its unit; an empty string for a pure number.
        low: Smallest value that was learned [unit].
        high: Largest value that was learned [unit].
        scale: ``log`` where the network sees the logarithm.
    """

    name: str
    unit: str = ""
    low: Number
    high: Number
    scale: Literal["linear", "log"] = "linear"

    def _faults(self) -> Iterator[str]:
        if self.name in ("", "label"):
            yield f"a parameter cannot be called '{self.name}'; tables have it for classes"
        if fault := parameter_fault(self.name):
            yield f"the parameter name '{self.name:.100}' {fault}"
        yield from text_faults(parameter_unit=self.unit)
        if not self.low < self.high:
            yield f"parameter {self.name} needs finite bounds with low < high"
        if self.scale == "log" and self.low <= 0:
            yield f"parameter {self.name} must be positive for a logarithmic scale"

    def bounds(self, slack: float = SLACK) -> tuple[float, float]:
        """Return the range, its ends moved outwards by a share of its width on its scale."""
        is_log = self.scale == "log"
        low, high = (math.log(end) if is_log else end for end in (self.low, self.high))
        moved = slack * (high - low)
        low, high = low - moved, high + moved
        return (math.exp(low), math.exp(high)) if is_log else (low, high)

    def shown_ends(self) -> tuple[str, str]:
        """Return both ends with as few decimals as show them; both are allowed.

        So 1.00001 to 1.64999, of a training set drawn from 1 to 1.65, is shown as it was drawn.
        """
        # A hair less than what is allowed, so that nothing depends on the last bit.
        outer, inner = self.bounds(0.99 * SLACK), self.bounds(-0.99 * SLACK)
        for digits in range(324):
            low, high = (round(end, digits) + 0.0 for end in (self.low, self.high))
            if outer[0] <= low <= inner[0] and inner[1] <= high <= outer[1]:
                break
        return f"{low:.{digits}f}", f"{high:.{digits}f}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig(Bounded):
    """Everything that is needed to rebuild a trained model from its weights.

    Attributes:
        image_size: Height and width [pixel].
        class_names: Classes that can be asked for; empty for an unconditional model.
        parameters: Physical parameters that can be asked for, with the ranges that were learned.
        prior_size: Rows of the table of classes and parameters of training images that goes with
            the weights; 0 for none.
        prior_draws: What an image of which no parameter is asked takes from that table: ``rows``,
            all parameters of one training image, as models of before do; ``density``, new ones of
            its kernel density estimate.
        pixel_scale_arcsec: Side of a pixel [arcsec], or None.
        flux_unit: Unit of the images after the inverse transform.
        resize: Resize that the training images went through, or None.
        training_data: What it was trained on, in one line.
        observation: The noise to add to the images, or None where the model has learned noise.
    """

    schema_version: Literal[1] = 1
    image_size: Side = 28
    num_channels: Bands = 1
    class_names: tuple[str, ...] = ()
    parameters: tuple[ParameterConfig, ...] = ()
    prior_size: Annotated[int, Range(at_least=0, at_most=2**20)] = 0
    pixel_scale_arcsec: Positive | None = None
    flux_unit: str = "unknown"
    resize: str | None = None
    training_data: str = ""
    observation: ObservationConfig | None = None
    transform: TransformConfig = field(default_factory=TransformConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    denoiser: DenoiserConfig = field(default_factory=DenoiserConfig)
    network: NetworkConfig = field(default_factory=UNetConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    prior_draws: Literal["rows", "density"] = field(default="rows", metadata=LATER)

    def _faults(self) -> Iterator[str]:
        check_class_names(self.class_names)
        yield from text_faults(flux_unit=self.flux_unit, resize=self.resize)
        names = [each.name for each in self.parameters]
        if len(set(names)) != len(names):
            yield "model parameters must differ from each other"
        if len(names) > MAX_PARAMETERS:
            yield f"model has {len(names)} parameters, more than the limit of {MAX_PARAMETERS}"
        if self.image_size % getattr(self.network, "patch", 1):
            yield f"the image size, {self.image_size}, must be a multiple of the network's patch"
        if isinstance(self.network, UNet2DConfig):
            yield from self._faults_of_unet2d(self.network)
        elif self.sampling.sampler == SCHEDULER:
            yield f"sampler '{SCHEDULER}' is for networks of kind 'unet2d'"
        preconditioned = self.denoiser.prediction == "preconditioned"
        if preconditioned != (self.schedule.kind == "log_snr"):
            yield "prediction 'preconditioned' and schedule 'log_snr' go together"

    @property
    def clips(self) -> bool:
        """Whether estimates of the clean image are held in [-1, 1] when sampling, or nearly so."""
        if not isinstance(self.network, UNet2DConfig):
            return self.denoiser.clip
        return self.denoiser.clip or self.network.scheduler.clips

    def measured(self, kind: TransformKind) -> "ModelConfig":
        """Return the model with a transform that is measured on the training images.

        These are then in no range that samples could be held in.
        """
        network = self.network
        if isinstance(network, UNet2DConfig):
            network = replace(network, scheduler=network.scheduler.unclipped())
        return replace(
            self,
            transform=TransformConfig(kind=kind, fit=True),
            denoiser=replace(self.denoiser, clip=False),
            network=network,
        )

    @property
    def native_correlation(self) -> SkyCorrelation | None:
        """Correlation of the instrument's noise in pixels of the model; None where it is white.

        None, too, where the images were reduced, which leaves little of it.
        """
        own = self.observation
        return None if own is None or own.num_pixels != self.image_size else own.sky_correlation

    def _faults_of_unet2d(self, network: UNet2DConfig) -> Iterator[str]:
        smallest = 2 ** (len(network.block_out_channels) - 1)
        if self.class_names or self.parameters:
            yield "a network of kind 'unet2d' takes no classes or parameters"
        if self.schedule.kind == "log_snr":
            yield "a network of kind 'unet2d' needs a schedule of discrete steps"
        if self.image_size % smallest:
            yield (
                f"the image size, {self.image_size}, must be a multiple of {smallest} for the levels "
                "of this network"
            )
