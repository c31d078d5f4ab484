"""Configurations of the networks: ours, the reference project's, and one of diffusers by its names there."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from gravlensdiffusion.config.bounds import (
    LATER,
    MAX_CHANNELS,
    MAX_LEVELS,
    MAX_SIDE,
    MAX_STEPS,
    Bounded,
    Count,
    NonNegative,
    Number,
    Positive,
    Range,
    Whole,
)

Channels = Annotated[int, Range(at_least=1, at_most=MAX_CHANNELS)]
DownBlock = Literal[
    "DownBlock2D",
    "AttnDownBlock2D",
    "ResnetDownsampleBlock2D",
    "SkipDownBlock2D",
    "AttnSkipDownBlock2D",
]
UpBlock = Literal[
    "UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D", "SkipUpBlock2D", "AttnSkipUpBlock2D"
]
Setting = Annotated[bool | int | float | str, Range(at_least=-1e6, at_most=1e6)]

OF_THE_MODEL = frozenset(
    {"num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "prediction_type"}
)
"""Settings of a scheduler that follow from schedule and denoiser of its model."""
OTHER_SCHEDULES = frozenset(
    {"trained_betas", "rescale_betas_zero_snr", "use_flow_sigmas", "use_dynamic_shifting"}
)
"""Settings that make another schedule than any that is known here."""
CLIPPING = ("DDPMScheduler", "DDIMScheduler")
"""Schedulers that hold estimates in [-1, 1] where their settings do not say."""
BRIGHTNESS_STEP = 0.25
"""Between the brightnesses for which a spread is stated [flux after the pixel-wise part of the transform]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SmoothLensConfig(Bounded):
    """How the instrument sees the smooth lens; see `nn.lens_equation.SmoothLens`.

    Attributes:
        num_pixels: Native size of the images [pixel]; 0 until the training set is known.
        psf_fwhm_arcsec: Full width at half maximum of the Gaussian point spread function [arcsec].
        zero_point: Magnitude of one unit of flux [mag].
        spread: Standard deviation of the images about that of the smooth lens [model units]: one for all
            pixels, or several, for pixels as bright as 0, 1, 2... times `BRIGHTNESS_STEP` in the smooth
            lens, linear between.
        class_spread: The same of the images of a class, by its name, as many numbers; a class that is not
            there has that of all.
        brightest: Brightest pixel that an image can have, in units of the brightest of its smooth lens, as 99 of 100
            training images keep to; 0 for any. Lensing conserves surface brightness.
    """

    num_pixels: Annotated[int, Range(at_least=0, at_most=MAX_SIDE)] = 0
    psf_fwhm_arcsec: NonNegative = 0.0
    zero_point: Annotated[float, Range(at_least=-100, at_most=100)] = 0.0
    spread: Annotated[float | tuple[float, ...], Range(above=0)] = 1.0
    class_spread: Annotated[dict[str, tuple[float, ...]], Range(above=0)] = field(
        default_factory=dict, metadata=LATER
    )
    brightest: NonNegative = field(default=0.0, metadata=LATER)

    def _faults(self) -> Iterator[str]:
        if self.spread == ():
            yield "spread must be one number or more"
        num = len(self.spread) if isinstance(self.spread, tuple) else 1
        if any(len(each) != num for each in self.class_spread.values()):
            yield f"class_spread must have as many numbers of each class as spread, {num}"


@dataclass(frozen=True, kw_only=True, slots=True)
class LensEquationConfig(Bounded):
    """What the lens equation tells the model; see `nn.lens_equation`.

    Attributes:
        pixel_scale_arcsec: Side of a pixel [arcsec]; 0 until the training set is known.
        supersampling: Points along each side of a pixel over which the channels are averaged.
        values: Values of the parameters that the model does not learn, by name [their units].
        smooth: The image of the smooth lens, about which the model draws; None for none. A training set
            that was not simulated, or has more light than that of one Sersic source, gives none.
    """

    pixel_scale_arcsec: NonNegative = 0.0
    supersampling: Annotated[int, Range(at_least=1, at_most=4)] = 1
    values: dict[str, Number] = field(default_factory=dict)
    smooth: SmoothLensConfig | None = field(default=None, metadata=LATER)


@dataclass(frozen=True, kw_only=True, slots=True)
class UNetConfig(Bounded):
    """The U-Net of `nn.unet`.

    Attributes:
        channels: Channels of each level, from full resolution down.
        patch: Side of the square of pixels that the network takes as one, its values as channels.
        num_blocks: Residual blocks of each level on the way down; one more on the way up.
        attention_levels: Levels with self-attention, counted from 0 at full resolution.
        embedding_dim: Size of the embedding of noise level and condition.
        noise_features: ``index``: sines of a step number. ``log``: sines of a log noise level.
        modulation: ``scale_shift`` or ``shift`` by the embedding in each block.
        refine_channels: Channels of the convolutions at full resolution after the patches; 0 for
            none.
        lens_equation: Further input channels, from the parameters; None for none. A model without
            an Einstein radius or a pixel scale has none.
    """

    kind: Literal["unet"] = "unet"
    channels: tuple[Channels, ...] = (32, 64, 96)
    patch: Count = 1
    num_blocks: Annotated[int, Range(at_least=1, at_most=256)] = 1
    attention_levels: tuple[Whole, ...] = (2,)
    num_heads: Channels = 4
    embedding_dim: Channels = 128
    noise_features: Literal["index", "log"] = "log"
    modulation: Literal["scale_shift", "shift"] = "scale_shift"
    dropout: Annotated[float, Range(at_least=0, below=1)] = 0.0
    refine_channels: Annotated[int, Range(at_least=0, at_most=MAX_CHANNELS)] = 0
    lens_equation: LensEquationConfig | None = None

    def _faults(self) -> Iterator[str]:
        if not 1 <= len(self.channels) <= MAX_LEVELS:
            yield f"network channels must name at least one level, at most {MAX_LEVELS}"
        if any(num % 8 for num in self.channels) or self.embedding_dim % 2:
            yield "network needs channels that are multiples of 8 and an even embedding_dim"
        if len(self.attention_levels) > MAX_LEVELS:
            yield "network attention_levels must name each level once"
        if any(level >= len(self.channels) for level in self.attention_levels):
            yield "network attention_levels must name levels that exist"
        if any(self.channels[level] % self.num_heads for level in self.attention_levels):
            yield "network channels must be a multiple of num_heads for attention"


@dataclass(frozen=True, kw_only=True, slots=True)
class ReferenceUNetConfig:
    """The U-Net of the reference project; nothing of it can be changed."""

    kind: Literal["reference"] = "reference"


@dataclass(frozen=True, kw_only=True, slots=True)
class SchedulerConfig(Bounded):
    """How diffusers undoes noise; sampler `scheduler` does the same.

    Attributes:
        kind: Class of the scheduler in diffusers.
        settings: What its constructor takes, by name; what is not named has its default there.
            Betas and prediction are those of the model.
    """

    kind: Literal["DDPMScheduler", "DDIMScheduler", "DPMSolverMultistepScheduler"] = "DDPMScheduler"
    settings: dict[str, Setting] = field(default_factory=dict)

    def _faults(self) -> Iterator[str]:
        for name, value in self.settings.items():
            if name in OF_THE_MODEL:
                yield f"scheduler setting {name} follows from the model"
            if name in OTHER_SCHEDULES and value:
                yield f"a scheduler with {name} is not supported"
        if str(self.settings.get("variance_type", "")).startswith("learned"):
            yield "a scheduler with learned variances is not supported"

    @property
    def clips(self) -> bool:
        """Whether it holds estimates of the clean image in a range."""
        clip_sample = self.settings.get("clip_sample", self.kind in CLIPPING)
        return bool(clip_sample or self.settings.get("thresholding", False))

    def unclipped(self) -> "SchedulerConfig":
        """Return the scheduler that holds them in none."""
        settings = self.settings | dict.fromkeys(("clip_sample", "thresholding"), False)
        return replace(self, settings=settings)


@dataclass(frozen=True, kw_only=True, slots=True)
class UNet2DConfig(Bounded):
    """The network ``UNet2DModel`` of diffusers, by its names and with its defaults, and a scheduler.

    What each field means is said there.

    Attributes:
        scheduler: How diffusers draws from it.
    """

    kind: Literal["unet2d"] = "unet2d"
    block_out_channels: tuple[Channels, ...] = (224, 448, 672, 896)
    down_block_types: tuple[DownBlock, ...] = (
        "DownBlock2D",
        "AttnDownBlock2D",
        "AttnDownBlock2D",
        "AttnDownBlock2D",
    )
    up_block_types: tuple[UpBlock, ...] = (
        "AttnUpBlock2D",
        "AttnUpBlock2D",
        "AttnUpBlock2D",
        "UpBlock2D",
    )
    mid_block_type: Literal["UNetMidBlock2D"] | None = "UNetMidBlock2D"
    layers_per_block: Annotated[int, Range(at_least=1, at_most=64)] = 2
    mid_block_scale_factor: Positive = 1.0
    downsample_padding: Annotated[int, Range(at_least=0, at_most=1)] = 1
    downsample_type: Literal["conv", "resnet"] = "conv"
    upsample_type: Literal["conv", "resnet"] = "conv"
    dropout: Annotated[float, Range(at_least=0, below=1)] = 0.0
    act_fn: Literal["silu", "swish", "mish", "gelu", "relu"] = "silu"
    attention_head_dim: Channels | None = 8
    norm_num_groups: Channels = 32
    attn_norm_num_groups: Channels | None = None
    norm_eps: NonNegative = 1e-5
    resnet_time_scale_shift: Literal["default", "scale_shift"] = "default"
    add_attention: bool = True
    center_input_sample: bool = False
    time_embedding_type: Literal["positional", "learned"] = "positional"
    time_embedding_dim: Channels | None = None
    freq_shift: Annotated[float, Range(at_least=0, at_most=1)] = 0
    flip_sin_to_cos: bool = True
    num_train_timesteps: Annotated[int, Range(at_least=1, at_most=MAX_STEPS)] | None = None
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig)

    def _faults(self) -> Iterator[str]:
        num = len(self.block_out_channels)
        if not 1 <= num <= MAX_LEVELS:
            yield f"network block_out_channels must name at least one level, at most {MAX_LEVELS}"
        if len(self.down_block_types) != num or len(self.up_block_types) != num:
            yield (
                "network block_out_channels, down_block_types and up_block_types must name the "
                "same levels"
            )
        if (self.time_embedding_type == "learned") != (self.num_train_timesteps is not None):
            yield "network num_train_timesteps goes with time_embedding_type 'learned'"


NetworkConfig = UNetConfig | ReferenceUNetConfig | UNet2DConfig
