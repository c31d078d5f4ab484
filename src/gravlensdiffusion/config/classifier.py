"""Configurations of the networks that read images: a classifier, its training, a lens encoder."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from gravlensdiffusion.config.bounds import (
    MAX_LEVELS,
    MAX_SIDE,
    Augmentation,
    Bands,
    Bounded,
    Count,
    NonNegative,
    Number,
    Positive,
    Precision,
    Range,
    Resize,
    Seed,
    check_class_names,
    text_faults,
)

InputSide = Annotated[int, Range(at_least=1, at_most=MAX_SIDE)]
"""Pixels a side of the images that a network takes."""
Widths = tuple[Annotated[int, Range(at_least=1, at_most=8192)], ...]
"""Channels of each stage of a network."""
Strides = tuple[Annotated[int, Range(at_least=1, at_most=64)], ...]
"""Stride of the first convolution of each stage of a network."""


def _stage_faults(network: str, channels: Widths, strides: Strides) -> Iterator[str]:
    if not 1 <= len(channels) <= MAX_LEVELS or len(channels) != len(strides):
        yield f"{network} needs as many strides as channels, for 1 to {MAX_LEVELS} stages"


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassifierConfig(Bounded):
    """Everything that is needed to rebuild a trained classifier from its weights.

    Attributes:
        image_size: Height and width of the images it takes [pixel].
        num_channels: Channels C of these images.
        class_mix: Share of each class in what it was trained on; its probabilities are for such a
            mix.
        channels: Channels of each stage of the network.
        strides: Stride of the first convolution of each stage.
        dropout: Share of the features that training hides from the last layers.
        sky: Level of the faint pixels of each channel.
        noise: Rms of the pixel noise of each channel.
        bright: Brightness of the brightest pixels above the sky, of each channel.
        temperature: Number that the logits are divided by, so that probabilities are calibrated.
        merged: Class of the training set, and the class that it was counted as, where some were
            merged.
        pixel_scale_arcsec: Side of a pixel [arcsec], or None where it is not known.
        flux_unit: Unit of the pixel values.
        resize: Name of the resize that images of another size go through, or None.
        original_size: Height and width of the training images before they were resized [pixel], or
            None where they were not.
        training_data: What it was trained on, in one line.
    """

    schema_version: Literal[1] = 1
    image_size: InputSide
    num_channels: Bands = 1
    class_names: tuple[str, ...]
    class_mix: tuple[Positive, ...]
    channels: Widths
    strides: Strides
    dropout: Annotated[float, Range(at_least=0, below=1)] = 0.3
    sky: tuple[Number, ...]
    noise: tuple[Positive, ...]
    bright: tuple[Positive, ...]
    temperature: Positive = 1.0
    merged: tuple[tuple[str, str], ...] = ()
    pixel_scale_arcsec: Positive | None = None
    flux_unit: str = "unknown"
    resize: Resize | None = None
    original_size: int | None = None
    training_data: str = ""

    def _faults(self) -> Iterator[str]:
        check_class_names(self.class_names)
        yield from text_faults(flux_unit=self.flux_unit)
        if len(self.class_names) < 2:
            yield f"a classifier needs two classes or more, got {self.class_names}"
        if len(self.class_mix) != len(self.class_names):
            yield "classifier class_mix needs a positive share of each class"
        yield from _stage_faults("classifier", self.channels, self.strides)
        for name in ("sky", "noise", "bright"):
            if len(getattr(self, name)) != self.num_channels:
                yield f"classifier {name} needs one number per channel"


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassifierTraining(Bounded):
    """How a classifier is trained; progress is counted in images.

    Attributes:
        total_images: Images after which training ends.
        learning_rate: Peak learning rate; it rises over 5% of the steps and falls to zero.
        dropout: Share of the features hidden from the last layers.
        augment: Symmetries that training images are turned by; see `training.augment.GROUPS`.
        balance: What is done about unequal classes: ``none``; ``weights`` (the loss of an image
            counts by how rare its class is); ``oversample`` (rare images come more often).
        held_out: Share of the originals of each class that are held out: the weights that do best
            on them are kept, and probabilities are calibrated on them.
        check_images: Images between two looks at the held-out images.
        patience: Looks without a better one after which training ends.
    """

    total_images: Count = 60_000
    batch_size: Count = 64
    learning_rate: Positive = 2e-3
    weight_decay: NonNegative = 0.02
    dropout: Annotated[float, Range(at_least=0, below=1)] = 0.3
    augment: Augmentation = "none"
    balance: Literal["none", "weights", "oversample"] = "none"
    held_out: Annotated[float, Range(above=0, below=1)] = 0.2
    check_images: Count = 2_000
    patience: Count = 10
    seed: Seed = 0
    precision: Precision = "fp32"


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderConfig(Bounded):
    """Everything that is needed to rebuild a trained lens encoder from its weights.

    Attributes:
        name: What reports call it.
        image_size: Height and width of the images it takes [pixel].
        channels: Channels of each stage.
        strides: Stride of the first convolution of each stage.
        num_features: Number F of features.
        targets: Names of the numbers it predicts.
        target_means: Mean of each target over the training set, in the target's unit.
        target_stds: Standard deviation of each target over the training set.
        training_data: What it was trained on, in one line.
        faint_level: Mean over peak-scaled images of its size of their lower quartile [peak].
        bright_level: Mean over such images of their maximum [peak].
    """

    schema_version: Literal[1] = 1
    name: str
    image_size: InputSide
    channels: Widths
    strides: Strides
    num_features: Annotated[int, Range(at_least=1, at_most=64)] = 32
    targets: tuple[str, ...]
    target_means: tuple[Number, ...]
    target_stds: tuple[Positive, ...]
    class_names: tuple[str, ...]
    training_data: str = ""
    faint_level: Number = 0.0116
    bright_level: Number = 1.0

    def _faults(self) -> Iterator[str]:
        yield from _stage_faults("encoder", self.channels, self.strides)
        if not len(self.targets) == len(self.target_means) == len(self.target_stds):
            yield "encoder needs one mean and one standard deviation per target"
        if not self.faint_level < self.bright_level:
            yield "encoder faint_level must lie below its bright_level"
