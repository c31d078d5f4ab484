"""Configuration of a model: transform, schedule, denoiser, network."""

from dataclasses import dataclass, field
from typing import Literal

from gravlensdiffusion.errors import GravLensError

Prediction = Literal["epsilon", "x0", "v", "preconditioned"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TransformConfig:
    """How flux becomes what the network sees; see `data.transform`.

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

    kind: Literal["linear", "asinh", "peak"] = "linear"
    offset: float = 0.0
    scale: float = 1.0
    centre: Literal["mean_image", "none"] = "mean_image"
    gain: float = 0.0
    fit: bool = False
    bounds: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise GravLensError(f"transform scale must be positive, got {self.scale}")
        if self.gain < 0:
            raise GravLensError(f"transform gain must not be negative, got {self.gain}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleConfig:
    """How time maps to signal and noise; see `diffusion.noise`.

    Attributes:
        kind: ``ddpm``: the discrete linear betas of Ho et al. 2020. ``cosine``: Nichol and
            Dhariwal 2021. ``log_snr``: logarithm of the noise-to-signal ratio linear in time.
        num_steps: Number of discrete steps of ``ddpm``.
        beta_min: First beta of ``ddpm``.
        beta_max: Last beta of ``ddpm``.
        sigma_min: Smallest noise-to-signal ratio of ``log_snr`` [model units].
        sigma_max: Largest noise-to-signal ratio of ``log_snr`` [model units].
    """

    kind: Literal["ddpm", "cosine", "log_snr"] = "ddpm"
    num_steps: int = 1000
    beta_min: float = 1e-4
    beta_max: float = 0.02
    sigma_min: float = 0.002
    sigma_max: float = 80.0

    def __post_init__(self) -> None:
        if self.num_steps < 1:
            raise GravLensError(f"schedule num_steps must be at least 1, got {self.num_steps}")
        if not 0 < self.beta_min <= self.beta_max < 1:
            raise GravLensError("schedule betas must satisfy 0 < beta_min <= beta_max < 1")
        if not 0 < self.sigma_min < self.sigma_max:
            raise GravLensError("schedule must satisfy 0 < sigma_min < sigma_max")


@dataclass(frozen=True, kw_only=True, slots=True)
class DenoiserConfig:
    """What the network predicts and which noise levels training visits.

    Attributes:
        prediction: Target of the network; ``preconditioned`` is that of Karras et al. 2022.
        uniform_fraction: Share of training times drawn evenly in log noise level
            (``preconditioned`` only); the rest is log-normal.
        p_mean: Mean of the log-normal part, of ln(sigma).
        p_std: Standard deviation of the log-normal part, of ln(sigma).
        clip: Whether estimates of the clean image are held in [-1, 1] when sampling.
    """

    prediction: Prediction = "epsilon"
    uniform_fraction: float = 0.5
    p_mean: float = -0.5
    p_std: float = 1.5
    clip: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.uniform_fraction <= 1:
            raise GravLensError("denoiser uniform_fraction must lie between 0 and 1")
        if not self.p_std > 0:
            raise GravLensError("denoiser p_std must be positive")
        if self.clip and self.prediction == "preconditioned":
            raise GravLensError("denoiser clip goes with data in [-1, 1], not with preconditioning")


@dataclass(frozen=True, kw_only=True, slots=True)
class UNetConfig:
    """The U-Net of `nn.unet`.

    Attributes:
        kind: Tells this network from the others in a file.
        channels: Channels of each level, from full resolution down.
        num_blocks: Residual blocks of each level on the way down; one more on the way up.
        attention_levels: Levels with self-attention, counted from 0 at full resolution.
        num_heads: Heads of each attention.
        embedding_dim: Size of the embedding of noise level and condition.
        noise_features: ``index``: sines of a step number. ``log``: sines of a log noise level.
        modulation: ``scale_shift`` or ``shift`` by the embedding in each block.
        dropout: Dropout probability in each residual block.
    """

    kind: Literal["unet"] = "unet"
    channels: tuple[int, ...] = (32, 64, 96)
    num_blocks: int = 1
    attention_levels: tuple[int, ...] = (2,)
    num_heads: int = 4
    embedding_dim: int = 128
    noise_features: Literal["index", "log"] = "log"
    modulation: Literal["scale_shift", "shift"] = "scale_shift"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if not self.channels or any(c % 8 for c in self.channels):
            raise GravLensError("network channels must be multiples of 8, at least one level")
        if any(not 0 <= level < len(self.channels) for level in self.attention_levels):
            raise GravLensError("network attention_levels must name levels that exist")
        if any(self.channels[level] % self.num_heads for level in self.attention_levels):
            raise GravLensError("network channels must be a multiple of num_heads for attention")
        if self.num_blocks < 1 or self.embedding_dim < 2 or self.embedding_dim % 2:
            raise GravLensError("network needs num_blocks of at least 1 and an even embedding_dim")
        if not 0 <= self.dropout < 1:
            raise GravLensError("network dropout must lie in [0, 1)")


@dataclass(frozen=True, kw_only=True, slots=True)
class ReferenceUNetConfig:
    """The U-Net of the reference project; nothing of it can be changed.

    Attributes:
        kind: Tells this network from the others in a file.
    """

    kind: Literal["reference"] = "reference"


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplingConfig:
    """What `gravlens sample` does with the model where nothing is asked for.

    Attributes:
        sampler: Name of the sampler.
        num_steps: Number of steps; network evaluations per image where the order is one.
    """

    sampler: Literal["ddpm", "ddim", "dpmpp", "heun"] = "dpmpp"
    num_steps: int = 20

    def __post_init__(self) -> None:
        if self.num_steps < 1:
            raise GravLensError(f"num_steps must be at least 1, got {self.num_steps}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """Everything that is needed to rebuild a trained model from its weights.

    Attributes:
        schema_version: Version of this layout.
        image_size: Height and width [pixel].
        num_channels: Channels of an image.
        class_names: Classes that can be asked for; empty for an unconditional model.
        pixel_scale_arcsec: Side of a pixel [arcsec], or None.
        flux_unit: Unit of the images after the inverse transform.
        resize: Resize that the training images went through, or None.
        training_data: What it was trained on, in one line.
        transform: Flux to model space.
        schedule: Time to signal and noise.
        denoiser: What the network predicts.
        network: The network.
        sampling: Defaults of sampling.
    """

    schema_version: Literal[1] = 1
    image_size: int = 28
    num_channels: int = 1
    class_names: tuple[str, ...] = ()
    pixel_scale_arcsec: float | None = None
    flux_unit: str = "unknown"
    resize: str | None = None
    training_data: str = ""
    transform: TransformConfig = field(default_factory=TransformConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    denoiser: DenoiserConfig = field(default_factory=DenoiserConfig)
    network: UNetConfig | ReferenceUNetConfig = field(default_factory=UNetConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)

    def __post_init__(self) -> None:
        if self.image_size < 4 or self.num_channels < 1:
            raise GravLensError("model needs images of at least 4 pixels and one channel")
        if len(set(self.class_names)) != len(self.class_names):
            raise GravLensError("model class_names must differ from each other")
        preconditioned = self.denoiser.prediction == "preconditioned"
        if preconditioned != (self.schedule.kind == "log_snr"):
            raise GravLensError("prediction 'preconditioned' and schedule 'log_snr' go together")
