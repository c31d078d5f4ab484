"""What a training counts, where it stands, and what speaks against its end."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from gravlensdiffusion.config.training import TrainingConfig
from gravlensdiffusion.model.folders import checkpoints

MAX_SKIPPED_IN_A_ROW = 10
"""Steps with a loss or gradient that is of no use, in a row, after which a run stops."""
FROM_NOTHING, FROM_A_MODEL = 100_000, 5_000
"""Images seen before which a model draws noise or blobs, by what it starts from."""
STEPS_FROM_NOTHING, STEPS_FROM_A_MODEL = 1_500, 150
"""Steps likewise."""
ENOUGH_DIFFERENT = 1_000
"""Different images below which a model that starts from nothing comes to repeat them."""
MOST_PASSES = 400
"""Times that each image may be seen where a model is adapted and nothing is held out."""


COUNTED = (
    *("images_seen", "num_skipped", "skipped_in_a_row"),
    *("losses", "usual_loss", "num_different"),
)
MEASURED = {
    "start": "start_loss",
    "last": "held_out_loss",
    "best": "best_loss",
    "best_images": "best_images",
    "waited": "waited",
}
"""What checkpoints keep, counters by their names, and what was measured by its names there."""


@dataclass(kw_only=True, slots=True)
class Progress:
    """Where a training stands.

    Attributes:
        images_seen: Images seen.
        total_images: Images after which it ends.
        loss: Mean loss since the last line of the log began.
        images_per_s: Speed of this process group [image/s].
        num_skipped: Steps skipped because the loss was not finite, or far beyond the usual.
        skipped_in_a_row: Of these, the last ones.
        losses: Losses since the last line of the log.
        usual_loss: Mean loss between the last two lines of the log; infinite before.
        held_out_loss: Validation loss at the last measurement; NaN for none.
        start_loss: Validation loss before the first step; NaN for none.
        best_loss: Lowest validation loss after a step; infinite for none.
        best_images: Images seen when it was measured; 0 for never.
        waited: Measurements since.
        ended_early: Whether the training ended because the validation loss fell no longer.
        num_different: Different images in the set that is learned from; 0 for none.
        doubt: What speaks against a good model at the end; empty for nothing.
    """

    images_seen: int = 0
    total_images: int = 0
    loss: float = math.nan
    images_per_s: float = 0.0
    num_skipped: int = 0
    skipped_in_a_row: int = 0
    losses: list[float] = field(default_factory=list)
    usual_loss: float = math.inf
    held_out_loss: float = math.nan
    start_loss: float = math.nan
    best_loss: float = math.inf
    best_images: int = 0
    waited: int = 0
    ended_early: bool = False
    num_different: int = 0
    doubt: str = ""

    @classmethod
    def saved(cls, state: Mapping[str, Any]) -> "Progress":
        """Return where a training stood, from the state in a checkpoint."""
        measured = state.get("held_out", {})
        found = {MEASURED[name]: measured[name] for name in measured}
        return TypeAdapter(cls).validate_python(state["counters"] | found)

    def kept(self) -> dict[str, dict[str, Any]]:
        """Return what a checkpoint keeps."""
        return {
            "counters": {name: getattr(self, name) for name in COUNTED},
            "held_out": {name: getattr(self, own) for name, own in MEASURED.items()},
        }

    def measured(self, loss: float) -> None:
        """Take in a validation loss."""
        self.held_out_loss = loss
        if not self.images_seen:
            self.start_loss = loss
        elif loss < self.best_loss:
            self.best_loss, self.best_images, self.waited = loss, self.images_seen, 0
        else:
            self.waited += 1

    def length(self, batch_size: int, num_images: int) -> str:
        """Say how long the training is, on a set of ``num_images``; 0 for none."""
        total, num_different = self.total_images, self.num_different
        steps = f"{total:,} images in {total // batch_size:,} steps"
        if self.images_seen:
            steps += f", {self.images_seen:,} of them seen before"
        if not num_images:
            return steps
        times = total / num_images
        different = f" ({num_different:,} different)" if num_different < num_images else ""
        passes = f"{times:,.1f} times" if times < 100 else f"{times:,.0f} times"
        return f"{steps}, each of {num_images:,} images{different} {passes}"

    def divergence(self, loss: float, rate: float, run: Path | None) -> str:
        """Say what has happened to the loss, and what can be done with the checkpoints of a run."""
        found = [] if run is None else checkpoints(run)
        usual, what = self.usual_loss, "not finite"
        if math.isfinite(loss) and math.isfinite(usual):
            what = f"{loss:.3g} where {usual:.3g} is usual"
        kept = "nothing was saved yet: try"
        if found:
            kept = (
                f"the checkpoint of {found[-1].images_seen:,} images is kept: start from it with "
                f"`init` {found[-1].folder}, another `out` and"
            )
        return (
            f"the loss was {what} {MAX_SKIPPED_IN_A_ROW} times in a row, at "
            f"{self.images_seen:,} images; {kept} a lower `learning_rate`, {rate / 3:.2g} "
            "say, or `precision` fp32, after a look at the data with `gravlens inspect`"
        )

    def doubt_about(self, config: TrainingConfig, *, starts_from_model: bool) -> str:
        """Say what speaks against lenses at the end of a training; an empty text for nothing."""
        num_different = self.num_different
        total_images = max(self.total_images, self.images_seen)
        advice = "" if starts_from_model else ", or adapt a trained model by `init`"
        images, steps = FROM_NOTHING, STEPS_FROM_NOTHING
        if starts_from_model:
            images, steps = FROM_A_MODEL, STEPS_FROM_A_MODEL
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
            enough = f"`epochs` {epochs:,} is enough to draw lenses"
            if epochs > MOST_PASSES:
                enough = f"take {-(-needed // MOST_PASSES):,} images or more"
            return (
                f"{num_different:,} different images are seen {passes:,.0f} times each, and none is held "
                f"out to end the training in time: it comes to repeat them; {enough}"
            )
        return ""
