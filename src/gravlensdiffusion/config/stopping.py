"""Configuration of early stopping."""

from dataclasses import dataclass

from gravlensdiffusion.errors import GravLensError


@dataclass(frozen=True, kw_only=True, slots=True)
class EarlyStopping:
    """Images that are never trained on, and when their loss ends a run.

    Attributes:
        held_out: Share of the images of each class that is held out; 0 for none, and no early
            stopping.
        every_images: Training images between two measurements of the held-out loss.
        patience: Measurements in a row without a new lowest loss after which the run ends.
    """

    held_out: float = 0.0
    every_images: int = 10_000
    patience: int = 10

    def __post_init__(self) -> None:
        if not 0 <= self.held_out <= 0.5:
            raise GravLensError(
                f"the held-out share must lie between 0 and 0.5, got {self.held_out}"
            )
        if self.every_images < 1 or self.patience < 1:
            raise GravLensError("early stopping needs every_images and patience of at least 1")
