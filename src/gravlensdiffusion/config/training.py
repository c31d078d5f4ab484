"""Configurations of training runs: of a diffusion model, and of a distillation."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Literal

from gravlensdiffusion.config.bounds import (
    LATER,
    Augmentation,
    Bounded,
    Count,
    HeldOut,
    NonNegative,
    Positive,
    Precision,
    Range,
    Resize,
    Seed,
    Share,
    Whole,
)
from gravlensdiffusion.config.model import ModelConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimiserConfig(Bounded):
    """The optimiser and its learning rate.

    Attributes:
        kind: ``adam``, ``adamw``, or ``muon`` for the hidden weights with Adam for the others.
        adam_learning_rate: Peak learning rate of the weights that ``muon`` leaves to Adam.
        beta2: Second-moment decay; the first is 0.9.
        weight_decay: Decoupled weight decay of ``adamw`` and of the hidden weights of ``muon``.
        warmup_images: Images over which the learning rate rises from zero.
        decay: ``constant``, or ``cosine`` down to zero at the end of the run.
        max_grad_norm: Norm to which gradients are clipped, or None.
    """

    kind: Literal["adam", "adamw", "muon"] = "adamw"
    learning_rate: Positive = 1e-3
    adam_learning_rate: Positive = 1.5e-3
    beta2: Annotated[float, Range(above=0, below=1)] = 0.99
    weight_decay: NonNegative = 0.01
    warmup_images: Whole = 0
    decay: Literal["constant", "cosine"] = "constant"
    max_grad_norm: Annotated[float | None, Range(above=0)] = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class EMAConfig(Bounded):
    """The moving average of the weights, which is what sampling uses.

    Attributes:
        halflife_images: Images after which a weight counts half; 0 for no average.
        ramp: Share of the images seen so far that the half-life may not exceed.
    """

    halflife_images: Whole = 20_000
    ramp: Positive = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class EarlyStopping(Bounded):
    """Images that are never trained on, and when their loss ends a run.

    Attributes:
        held_out: Share of the images of each class that is held out; 0 for none, and no early
            stopping.
        every_images: Training images between two measurements of the held-out loss.
        patience: Measurements in a row without a new lowest loss after which the run ends.
    """

    held_out: HeldOut = 0.0
    every_images: Count = 10_000
    patience: Count = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig(Bounded):
    """A training run; progress is counted in images.

    Attributes:
        preset: Name of the preset that it came from.
        model: The model; what depends on the data is filled in when the run starts.
        size: Size that the data are resized to [pixel], or None for their own.
        resize: Name of the resize, or None for the one that goes with the size.
        total_images: Images after which the run ends; 0 stands for ``epochs``.
        epochs: Passes over the training set, where ``total_images`` is 0.
        conditional: Whether the model learns the classes of a labelled set.
        label_dropout: Share of images whose label is hidden, for guidance.
        parameters: Physical parameters that the model learns, by their names in the store.
        parameter_dropout: Share of images of which each parameter is hidden by itself.
        parameters_dropout: Share of images of which all parameters are hidden at once.
        derived_dropout: Share of which what follows from the other parameters is hidden, if that is more
            than `parameter_dropout`: images that are asked for nothing are drawn without it.
        noise: ``learned``: the model learns the images as they are. ``split``: it learns their
            noise-free twins, and the instrument adds the noise when images are drawn.
            ``carried``: it learns the images as they are, but their white noise, which is measured
            when the run starts, goes past the network; see ``noise`` of the denoiser.
            ``removed``: likewise, but it learns the images without it, and the instrument that the
            model states adds the noise when images are drawn.
        augment: Symmetries that images and parameters are turned by: ``half_turn``, ``flips``
            (mirror images and the half turn), ``d4`` (quarter turns too), or ``none``.
        precision: ``fp32`` or ``bf16`` (autocast).
        compile: Whether the network of the training steps goes through ``torch.compile``.
        prefetch: Batches that threads assemble ahead; 0 for none. The images stay the same.
        seed: Seed of the weights, the shuffle and all noise.
        stratified_times: Whether the training times of a batch are spread evenly.
        early_stopping: Images that are held out, and when their loss ends the run.
        log_images: Images between two lines of the log.
        checkpoint_images: Images between two checkpoints.
        sample_images: Images between two sample grids; 0 for none.
        keep_checkpoints: Number of checkpoints kept.
    """

    schema_version: Literal[1] = 1
    preset: str = ""
    model: ModelConfig = field(default_factory=ModelConfig)
    size: Annotated[int | None, Range(at_least=4)] = None
    resize: Resize | None = None
    batch_size: Count = 64
    total_images: Whole = 0
    epochs: Count = 40
    conditional: bool = True
    label_dropout: Share = 0.1
    parameters: tuple[str, ...] = ()
    parameter_dropout: Share = 0.2
    parameters_dropout: Share = 0.3
    derived_dropout: Share = field(default=0.0, metadata=LATER)
    noise: Literal["learned", "split", "carried", "removed"] = "learned"
    augment: Augmentation = "none"
    precision: Precision = "fp32"
    compile: bool = False
    prefetch: Whole = 0
    seed: Seed = 0
    stratified_times: bool = True
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    ema: EMAConfig = field(default_factory=EMAConfig)
    early_stopping: EarlyStopping = field(default_factory=EarlyStopping)
    log_images: Count = 2_000
    checkpoint_images: Count = 20_000
    sample_images: Whole = 40_000
    keep_checkpoints: Count = 2

    def _faults(self) -> Iterator[str]:
        if self.noise in ("carried", "removed") and self.model.denoiser.skip:
            yield f"noise '{self.noise}' needs a denoiser with skip false"
        if self.noise == "removed" and self.model.observation is None:
            yield "noise 'removed' needs a model that states its observation"
        if self.noise in ("split", "removed") and self.model.transform.kind == "peak":
            yield f"noise '{self.noise}' is that of an instrument, and transform peak forgets the flux"
        if self.model.clips and self.model.transform.centre != "none":
            yield (
                "estimates are held in [-1, 1] (clip of the denoiser, clip_sample of the scheduler), which is "
                f"not where a transform with centre '{self.model.transform.centre}' has images"
            )
        kept = tuple(each.name for each in self.model.parameters)
        if kept and kept != self.parameters:
            yield "the parameters must be those of the model that the recipe keeps"


@dataclass(frozen=True, kw_only=True, slots=True)
class DistillationConfig(Bounded):
    """A student that draws in a few steps what its teacher draws in many.

    Nothing but the teacher is needed: classes and parameters come from the table that it keeps of
    its training set, images from the teacher and the student themselves.

    Attributes:
        steps: Numbers of steps that the student is to draw in; each divides the largest.
        levels: Noise-to-signal ratios of the steps after the first where the most are made,
            falling; empty for ratios that suit the teacher's schedule.
        method: ``endpoint``: the student learns where the teacher's solver arrives.
        teacher_steps: Steps of the teacher's solver; it stops at the student's levels besides.
        warmup_images, critic_updates, critic_rate: Nothing; runs of earlier versions have them.
        total_images: Images after which the run ends.
        label_dropout, parameter_dropout, parameters_dropout, derived_dropout, precision: As those of
            `TrainingConfig`.
        seed: Seed of all noise.
        optimiser: The optimiser.
        ema: The moving average of the student.
        log_images, checkpoint_images, keep_checkpoints: As those of `TrainingConfig`.
    """

    schema_version: Literal[1] = 1
    teacher: str = ""
    steps: tuple[Count, ...] = (1, 2, 4)
    levels: tuple[float, ...] = ()
    method: Literal["endpoint"] = "endpoint"
    teacher_steps: Count = 4
    warmup_images: int = field(default=0, metadata=LATER)
    critic_updates: int = field(default=1, metadata=LATER)
    critic_rate: float = field(default=4.0, metadata=LATER)
    batch_size: Count = 64
    total_images: Count = 40_000
    label_dropout: Share = 0.1
    parameter_dropout: Share = 0.1
    parameters_dropout: Share = 0.1
    derived_dropout: Share = field(default=0.5, metadata=LATER)
    precision: Precision = "fp32"
    seed: Seed = 0
    optimiser: OptimiserConfig = field(
        default_factory=lambda: OptimiserConfig(
            learning_rate=6e-4, weight_decay=0.0, warmup_images=2_000, decay="cosine"
        )
    )
    ema: EMAConfig = field(default_factory=lambda: EMAConfig(halflife_images=5_000))
    log_images: Count = 2_000
    checkpoint_images: Count = 20_000
    keep_checkpoints: Count = 2

    def _faults(self) -> Iterator[str]:
        if not self.steps:
            yield "steps must be at least one number from 1 up"
        most = max(self.steps)
        for steps in self.steps:
            if most % steps:
                yield f"each number of steps must divide the largest, {steps} does not divide {most}"
        if self.levels and len(self.levels) != most - 1:
            yield f"{most} steps need {most - 1} levels, got {len(self.levels)}"
