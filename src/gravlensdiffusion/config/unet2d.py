"""Configuration of a network of diffusers and of the scheduler that goes with it, by their names there."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from gravlensdiffusion.config.bounds import (
    MAX_CHANNELS,
    MAX_LEVELS,
    MAX_STEPS,
    Bounded,
    NonNegative,
    Positive,
    Range,
    check_ranges,
)
from gravlensdiffusion.errors import GravLensError

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
Scheduler = Literal["DDPMScheduler", "DDIMScheduler", "DPMSolverMultistepScheduler"]
Setting = Annotated[bool | int | float | str, Range(at_least=-1e6, at_most=1e6)]

OF_THE_MODEL = frozenset(
    {"num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "prediction_type"}
)
"""Settings of a scheduler that follow from schedule and denoiser of its model."""
OTHER_SCHEDULES = frozenset(
    {"trained_betas", "rescale_betas_zero_snr", "use_flow_sigmas", "use_dynamic_shifting"}
)
"""Settings that make another schedule than any that is known here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SchedulerConfig(Bounded):
    """How diffusers undoes noise; sampler `scheduler` does the same.

    Attributes:
        kind: Class of the scheduler in diffusers.
        settings: What its constructor takes, by name; what is not named has its default there.
            Betas and prediction are those of the model.
    """

    kind: Scheduler = "DDPMScheduler"
    settings: dict[str, Setting] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_ranges(self)
        for name, value in self.settings.items():
            if name in OF_THE_MODEL:
                raise GravLensError(f"scheduler setting {name} follows from the model")
            if name in OTHER_SCHEDULES and value:
                raise GravLensError(f"a scheduler with {name} is not supported")
        if str(self.settings.get("variance_type", "")).startswith("learned"):
            raise GravLensError("a scheduler with learned variances is not supported")


@dataclass(frozen=True, kw_only=True, slots=True)
class UNet2DConfig(Bounded):
    """The network ``UNet2DModel`` of diffusers, by its names and with its defaults, and a scheduler.

    Attributes:
        kind: Tells this network from the others in a file.
        block_out_channels: Channels of each level, from full resolution down.
        down_block_types: Kind of the blocks of each level on the way down.
        up_block_types: Kind of the blocks of each level on the way up, from the lowest.
        mid_block_type: Block in the middle, or None.
        layers_per_block: Residual blocks of each level on the way down; one more on the way up.
        mid_block_scale_factor: Divides the output of the middle.
        downsample_padding: Padding of the convolutions that reduce.
        downsample_type: What reduces.
        upsample_type: What enlarges.
        dropout: Dropout probability in each residual block.
        act_fn: Activation.
        attention_head_dim: Channels of each head; None for a single head.
        norm_num_groups: Groups of each group norm.
        attn_norm_num_groups: Groups before the attention in the middle; None for what follows.
        norm_eps: Added to variances.
        resnet_time_scale_shift: How the time enters a residual block.
        add_attention: Whether the middle has attention.
        center_input_sample: Whether the input is taken times two, less one.
        time_embedding_type: Sines of the step number, or a learned vector for each.
        time_embedding_dim: Size of the embedding; None for four times the first channels.
        freq_shift: Shift of the frequencies of the sines.
        flip_sin_to_cos: Whether cosines come first.
        num_train_timesteps: Number of learned vectors; None where there are none.
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

    def __post_init__(self) -> None:
        check_ranges(self)
        num = len(self.block_out_channels)
        if not 1 <= num <= MAX_LEVELS:
            raise GravLensError(
                f"network block_out_channels must name at least one level, at most {MAX_LEVELS}"
            )
        if len(self.down_block_types) != num or len(self.up_block_types) != num:
            raise GravLensError(
                "network block_out_channels, down_block_types and up_block_types must name the "
                "same levels"
            )
        if (self.time_embedding_type == "learned") != (self.num_train_timesteps is not None):
            raise GravLensError(
                "network num_train_timesteps goes with time_embedding_type 'learned'"
            )
