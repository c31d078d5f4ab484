"""What a training counts, and what it says of itself: where it stands, what it will do."""

import math
from dataclasses import dataclass, field

from gravlensdiffusion.config.training import TrainingConfig
from gravlensdiffusion.presets.training import FEWEST_SEEN

FROM_NOTHING, FROM_A_MODEL = 100_000, FEWEST_SEEN
"""Images seen before which a model draws noise or blobs, by what it starts from."""
STEPS_FROM_NOTHING, STEPS_FROM_A_MODEL = 1_500, 150
"""Steps likewise."""
ENOUGH_DIFFERENT = 1_000
"""Different images below which a model that starts from nothing comes to repeat them."""
MOST_PASSES = 400
"""Times that each image may be seen where a model is adapted and nothing is held out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Where a training stands.

    Attributes:
        images_seen: Images seen.
        total_images: Images after which it ends.
        loss: Mean loss since the last line of the log began.
        images_per_s: Speed of this process group [image/s].
        num_skipped: Steps skipped because the loss was not finite, or far beyond the usual.
        held_out_loss: Validation loss at the last measurement; NaN for none.
        start_loss: Validation loss before the first step; NaN for none.
        best_loss: Lowest validation loss after a step; infinite for none.
        best_images: Images seen when it was measured; 0 for never.
        ended_early: Whether the training ended because the validation loss fell no longer.
        num_different: Different images in the set that is learned from; 0 for none.
        doubt: What speaks against a good model at the end; empty for nothing.
    """

    images_seen: int
    total_images: int
    loss: float
    images_per_s: float
    num_skipped: int
    held_out_loss: float = math.nan
    start_loss: float = math.nan
    best_loss: float = math.inf
    best_images: int = 0
    ended_early: bool = False
    num_different: int = 0
    doubt: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What a run will do.

    Attributes:
        images_seen: Images seen before.
        total_images: Images after which it ends.
        batch_size: Images per step.
        num_images: Images in the set that is learned from; 0 for none.
        num_different: How many of them are different.
        notes: What the user should know, one line each.
    """

    images_seen: int
    total_images: int
    batch_size: int
    num_images: int
    num_different: int
    notes: tuple[str, ...]

    @property
    def length(self) -> str:
        """How long the run is, in a few words."""
        steps = f"{self.total_images:,} images in {self.total_images // self.batch_size:,} steps"
        if self.images_seen:
            steps += f", {self.images_seen:,} of them seen before"
        if not self.num_images:
            return steps
        different = ""
        if self.num_different < self.num_images:
            different = f" ({self.num_different:,} different)"
        times = self.total_images / self.num_images
        passes = f"{times:,.1f} times" if times < 100 else f"{times:,.0f} times"
        return f"{steps}, each of {self.num_images:,} images{different} {passes}"


@dataclass(slots=True)
class Counters:
    """What a run counts, kept in its checkpoints.

    Attributes:
        images_seen: Images seen.
        num_skipped: Steps skipped.
        skipped_in_a_row: Of these, the last ones.
        losses: Losses since the last line of the log.
        usual_loss: Mean loss between the last two lines of the log; infinite before.
        num_different: Different images in the set; 0 before they are counted.
    """

    images_seen: int = 0
    num_skipped: int = 0
    skipped_in_a_row: int = 0
    losses: list[float] = field(default_factory=list)
    usual_loss: float = math.inf
    num_different: int = 0


def doubt(
    config: TrainingConfig, total_images: int, num_different: int, *, starts_from_model: bool
) -> str:
    """Say what speaks against lenses at the end of a training; an empty text for nothing."""
    images, steps, advice = FROM_NOTHING, STEPS_FROM_NOTHING, ", or adapt a trained model by `init`"
    if starts_from_model:
        images, steps, advice = FROM_A_MODEL, STEPS_FROM_A_MODEL, ""
    # While the rate rises little is learned.
    needed = max(images, 2 * config.optimiser.warmup_images, steps * config.batch_size)
    epochs = -(-needed // num_different)
    # Where noise is removed, the model that it starts from draws lenses already.
    is_short = total_images < needed and config.noise != "removed"
    passes = total_images / num_different
    noise = f"{total_images:,} images seen are too few to draw more than noise or blobs"
    if num_different < ENOUGH_DIFFERENT and not starts_from_model:
        why = noise if is_short else "it comes to repeat them"
        return (
            f"{num_different:,} different images are too few for a model that starts from nothing: "
            f"{why}; take {ENOUGH_DIFFERENT:,} or more{advice}"
        )
    if is_short:
        more = "" if config.total_images else f" (`epochs` {epochs:,})"
        return f"{noise}: give it {needed:,} or more{more}{advice}"
    if passes > MOST_PASSES and starts_from_model and not config.early_stopping.held_out:
        return (
            f"{num_different:,} different images are seen {passes:,.0f} times each, and none is held "
            f"out to end the training in time: it comes to repeat them; `epochs` {epochs:,} is "
            "enough to draw lenses"
        )
    return ""
