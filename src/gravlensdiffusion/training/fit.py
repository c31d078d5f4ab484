"""What all training loops share: counting in images, logging, saving, stopping."""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from gravlensdiffusion.config.training import OptimiserConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.model.build import Model
from gravlensdiffusion.model.folders import checkpoints
from gravlensdiffusion.training.optimiser import learning_rate, set_rate
from gravlensdiffusion.training.tracking import Tracker
from gravlensdiffusion.training.validation import Standing

MAX_SKIPPED_IN_A_ROW = 10
"""Steps with a loss or gradient that is of no use, in a row, after which a run stops."""
EXPLODED = 1000.0
"""A loss this many times the mean between the last two lines of the log is of no use."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Where a run stands.

    Attributes:
        images_seen: Images seen.
        total_images: Images after which it ends.
        loss: Mean loss since the last line of the log began.
        images_per_s: Speed of this process group [image/s].
        num_skipped: Steps skipped because the loss was not finite, or far beyond the usual.
        held_out_loss: Held-out loss at the last measurement; NaN for none.
        start_loss: Held-out loss before the first step; NaN for none.
        best_loss: Lowest held-out loss after a step; infinite for none.
        best_images: Images seen when it was measured; 0 for never.
        ended_early: Whether the run ended because the held-out loss fell no longer.
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

    @property
    def seconds_left(self) -> float:
        """Time until the end at this speed [s]."""
        return (self.total_images - self.images_seen) / max(self.images_per_s, 1e-9)


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

    def start_window(self) -> None:
        """Begin what goes into the next line of the log."""
        if self.losses:
            self.usual_loss = float(np.mean(self.losses))
        self.losses.clear()


@dataclass(frozen=True, kw_only=True, slots=True)
class Hooks:
    """What the caller of a training loop wants to hear.

    Attributes:
        progress: Called after every step.
        sample: Called with the averaged model and the images seen when a sample grid is due.
        should_stop: Asked after every step; True saves and ends.
        tell: Called with each line that the user should know.
    """

    progress: Callable[[Progress], None] = lambda _: None
    sample: Callable[[Model, int], None] = lambda *_: None
    should_stop: Callable[[], bool] = lambda: False
    tell: Callable[[str], None] = lambda _: None


class Pace(Protocol):
    """What a loop needs to know of a configuration."""

    @property
    def batch_size(self) -> int:
        """Images per step."""

    @property
    def log_images(self) -> int:
        """Images between two lines of the log."""

    @property
    def checkpoint_images(self) -> int:
        """Images between two checkpoints."""

    @property
    def optimiser(self) -> OptimiserConfig:
        """The optimiser."""


class Loop(ABC):
    """Steps until a number of images is seen, patience runs out, or told to stop; all save.

    Args:
        pace: Batch size, and how often to log and to save.
        folder: The run directory.
        total_images: Images after which the run ends.
    """

    is_main: bool = True
    """Whether this process writes."""
    patience: int = 0
    """Measurements without a new lowest held-out loss after which the run ends; 0 for no end."""
    num_images: int = 0
    """Images in the set that is learned from; 0 for none."""
    doubt: str = ""
    """What speaks against a good model at the end; empty for nothing."""

    def __init__(self, pace: Pace, folder: Path, total_images: int) -> None:
        self._pace = pace
        self._folder = folder
        self.total_images = total_images
        self.counters = Counters()
        self.standing = Standing()
        self.last_loss = math.nan

    @abstractmethod
    def step(self) -> None:
        """Train on one batch."""

    @abstractmethod
    def check_data(self, hooks: Hooks) -> None:
        """Look whether what is learned from is still what it was; called before each checkpoint.

        Raises:
            GravLensError: If the steps since the last checkpoint are not to be trusted.
        """

    @abstractmethod
    def save(self) -> None:
        """Write a checkpoint."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what the loop holds."""

    @property
    @abstractmethod
    def rate(self) -> float:
        """Learning rate of the last step."""

    @abstractmethod
    def after_step(self, hooks: Hooks) -> None:
        """Do what else is due after a step."""

    @abstractmethod
    def finish(self, hooks: Hooks) -> None:
        """Do what is due once the run has ended, before it is saved."""

    def held_out_loss(self) -> float | None:
        """Measure the loss of held-out images, if there are any and it is due."""
        return None

    @property
    def plan(self) -> Plan:
        """What the run will do."""
        seen, total = self.counters.images_seen, self.total_images
        notes = (self.doubt,) if self.doubt else ()
        if seen > total:
            told = f"{self._folder} has seen {seen:,} images already, more than the {total:,} asked"
            notes = (f"{told} for: nothing is left to do",)
        return Plan(
            images_seen=seen,
            total_images=total,
            batch_size=self._pace.batch_size,
            num_images=self.num_images,
            num_different=self.counters.num_different,
            notes=notes,
        )

    @property
    def is_exhausted(self) -> bool:
        """Whether patience has run out."""
        return 0 < self.patience <= self.standing.waited

    @property
    def has_ended(self) -> bool:
        """Whether there is nothing left to do."""
        return self.counters.images_seen >= self.total_images or self.is_exhausted

    def agree(self, wish: bool) -> bool:
        """Whether any of the processes that train together wishes something."""
        return wish

    def fit(self, hooks: Hooks) -> Progress:
        """Train to the end, until patience runs out, or until told to stop; all save."""
        counters, pace = self.counters, self._pace
        tracker = Tracker(self._folder, counters.images_seen) if self.is_main else None
        started, images_before = time.monotonic(), counters.images_seen
        is_owed = False
        if not self.has_ended:
            hooks.tell(self.plan.length)
        if not self.has_ended or images_before > self.total_images:
            for note in self.plan.notes:
                hooks.tell(f"note: {note}")
        try:
            if not images_before:
                self._log(tracker, self._measure())
            while not self.has_ended:
                self.step()
                measured = self._measure()
                progress = self._progress(started, images_before)
                hooks.progress(progress)
                numbers = self._numbers(progress) if self.due(pace.log_images) else {}
                self._log(tracker, numbers | measured)
                if self.due(pace.log_images):
                    counters.start_window()
                if self.agree(hooks.should_stop()):
                    break
                self.after_step(hooks)
                is_owed |= self.due(pace.checkpoint_images)
                is_best = self.standing.best_images == counters.images_seen
                # Weights that may be spoilt must not take the place of good ones.
                if is_best or (is_owed and not counters.skipped_in_a_row and not self.has_ended):
                    self.check_data(hooks)
                    self.save()
                    is_owed = False
            self.check_data(hooks)
            if self.has_ended:
                # Once more if it has been done: a run may have been killed on the way.
                self.finish(hooks)
            self.save()
        finally:
            self.close()
            if tracker is not None:
                tracker.close()
        return self._progress(started, images_before)

    def due(self, every: int) -> bool:
        """Whether a multiple of ``every`` images was passed in this step, or the run ended."""
        seen = self.counters.images_seen
        passed = seen // every > (seen - self._pace.batch_size) // every
        return passed or self.has_ended

    def _measure(self) -> dict[str, float]:
        """Return the held-out loss where it is due, and take it in."""
        loss = self.held_out_loss()
        if loss is None:
            return {}
        self.standing.note(loss, self.counters.images_seen)
        return {"held_out_loss": loss}

    def _log(self, tracker: Tracker | None, numbers: dict[str, float]) -> None:
        if tracker is not None and numbers:
            tracker.log(self.counters.images_seen, numbers)

    def set_rate(self, optimiser: torch.optim.Optimizer) -> None:
        """Set the learning rate of the step that is about to be made."""
        rate = learning_rate(self._pace.optimiser, self.counters.images_seen, self.total_images)
        set_rate(optimiser, rate)

    def clipped_norm(self, network: nn.Module) -> Tensor:
        """Clip the gradients and return their norm before."""
        limit = self._pace.optimiser.max_grad_norm or math.inf
        return torch.nn.utils.clip_grad_norm_(network.parameters(), limit)

    def is_useful(self, loss: float, norm: float = 0.0) -> bool:
        """Whether a loss and the norm of its gradient are finite, and the loss has not exploded."""
        usual = self.counters.usual_loss
        return math.isfinite(loss) and math.isfinite(norm) and loss <= EXPLODED * usual

    def count(self, loss: float, *, is_useful: bool) -> None:
        """Count a batch, and its loss if it was trained on.

        Raises:
            GravLensError: After `MAX_SKIPPED_IN_A_ROW` batches that were not.
        """
        counters = self.counters
        counters.images_seen += self._pace.batch_size
        if is_useful:
            counters.losses.append(loss)
            self.last_loss = float(np.mean(counters.losses))
            counters.skipped_in_a_row = 0
            return
        counters.num_skipped += 1
        counters.skipped_in_a_row += 1
        if counters.skipped_in_a_row >= MAX_SKIPPED_IN_A_ROW:
            raise GravLensError(self._divergence(loss))

    def _divergence(self, loss: float) -> str:
        """Say what has happened and what can be done."""
        usual, rate = self.counters.usual_loss, self._pace.optimiser.learning_rate
        what = "not finite"
        if math.isfinite(loss) and math.isfinite(usual):
            what = f"{loss:.3g} where {usual:.3g} is usual"
        found = checkpoints(self._folder)
        kept = "nothing was saved yet: try"
        if found:
            kept = (
                f"the checkpoint of {found[-1].images_seen:,} images is kept: start from it with "
                f"`init` {found[-1].folder}, another `out` and"
            )
        return (
            f"the loss was {what} {MAX_SKIPPED_IN_A_ROW} times in a row, at "
            f"{self.counters.images_seen:,} images; {kept} a lower `learning_rate`, {rate / 3:.2g} "
            "say, or `precision` fp32, after a look at the data with `gravlens inspect`"
        )

    def _progress(self, started: float, images_before: int) -> Progress:
        counters = self.counters
        done = counters.images_seen - images_before
        return Progress(
            images_seen=counters.images_seen,
            total_images=self.total_images,
            loss=self.last_loss,
            images_per_s=done / max(time.monotonic() - started, 1e-9),
            num_skipped=counters.num_skipped,
            held_out_loss=self.standing.last,
            start_loss=self.standing.start,
            best_loss=self.standing.best,
            best_images=self.standing.best_images,
            ended_early=self.is_exhausted,
            num_different=counters.num_different,
            doubt=self.doubt,
        )

    def _numbers(self, progress: Progress) -> dict[str, float]:
        return {
            "loss": progress.loss,
            "learning_rate": self.rate,
            "images_per_s": progress.images_per_s,
            "num_skipped": progress.num_skipped,
        }
