"""Configuration of a lens encoder."""

from dataclasses import dataclass
from typing import Literal

from gravlensdiffusion.errors import GravLensError

MAX_FEATURES = 64
"""Features that an encoder has at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderConfig:
    """Everything that is needed to rebuild a trained lens encoder from its weights.

    Attributes:
        schema_version: Version of this layout.
        name: What reports call it.
        image_size: Height and width of the images it takes [pixel].
        channels: Channels of each stage.
        strides: Stride of the first convolution of each stage.
        num_features: Number F of features.
        targets: Names of the numbers it predicts.
        target_means: Mean of each target over the training set, in the target's unit.
        target_stds: Standard deviation of each target over the training set.
        class_names: Classes that it tells apart.
        training_data: What it was trained on, in one line.
        faint_level: Mean over peak-scaled images of its size of their lower quartile [peak].
        bright_level: Mean over such images of their maximum [peak].
    """

    schema_version: Literal[1] = 1
    name: str
    image_size: int
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    num_features: int = 32
    targets: tuple[str, ...]
    target_means: tuple[float, ...]
    target_stds: tuple[float, ...]
    class_names: tuple[str, ...]
    training_data: str = ""
    faint_level: float = 0.0116
    bright_level: float = 1.0

    def __post_init__(self) -> None:
        if not self.channels or len(self.channels) != len(self.strides):
            raise GravLensError("encoder needs as many strides as channels, at least one")
        if not 1 <= self.num_features <= MAX_FEATURES:
            raise GravLensError(
                f"encoder num_features must lie from 1 to {MAX_FEATURES}, got {self.num_features}"
            )
        if not len(self.targets) == len(self.target_means) == len(self.target_stds):
            raise GravLensError("encoder needs one mean and one standard deviation per target")
        if not self.faint_level < self.bright_level:
            raise GravLensError("encoder faint_level must lie below its bright_level")
        if any(not std > 0 for std in self.target_stds):
            raise GravLensError("encoder target_stds must be positive")
