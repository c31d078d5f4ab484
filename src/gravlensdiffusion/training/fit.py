"""The driver of all trainings: counting in images, logging, saving, stopping, going on."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.progress import shown_progress
from gravlensdiffusion.training.counters import MAX_SKIPPED_IN_A_ROW, Progress
from gravlensdiffusion.training.optimiser import MovingAverage, build_optimiser, learning_rate
from gravlensdiffusion.training.run import Config, MetricsLog, RunDirectory, Saved


class Training:
    """A training in memory; what is learned, a subclass says.

    To go through it is to train. After each step it yields where it stands, and whoever drives it
    may show that, draw samples with `averaged`, or ask for the end with `stop`. At the end, or when
    patience runs out, or when it is asked, all is saved. To break out of the loop saves nothing.

        for progress in training:
            print(progress.loss)

    Args:
        model: What is learned.
        config: Size of a batch, optimiser, moving average, and when it is logged and saved.
        accelerator: Where it computes.
        total_images: Images after which it ends; rounded up to whole steps.
        optimiser: The optimiser of its weights; None for that of the network by the configuration.
        run: Where it is saved; None for nowhere.
        saved: What it goes on from; ``model`` is the one in there.
        tell: Called with each line that the user should know.
    """

    exploded: float = 0.0
    """A loss this many times the mean between the last two lines of the log is of no use; 0 for none."""
    patience: int = 0
    """Measurements without a new lowest validation loss after which it ends; 0 for no end."""
    num_images: int = 0
    """Images in the set that is learned from; 0 for none."""
    config: Config

    def __init__(
        self,
        model: Any,
        config: Config,
        accelerator: Accelerator,
        total_images: int,
        *,
        optimiser: torch.optim.Optimizer | None = None,
        run: RunDirectory | None = None,
        saved: Saved | None = None,
        tell: Callable[[str], object] = lambda _: None,
    ) -> None:
        if optimiser is None:
            optimiser = build_optimiser(model.network, config.optimiser, config.precision)
        self.model, self.config = model, config
        self.optimiser, self.accelerator = optimiser, accelerator
        self.batch_size = config.batch_size
        self.total_images = math.ceil(total_images / self.batch_size) * self.batch_size
        self.run, self.tell = run, tell
        self.ema = MovingAverage(model, config.ema) if config.ema.halflife_images else None
        self.state = Progress()
        if saved is not None:
            self._go_on_from(saved)
        self.state.total_images = self.total_images
        has_dropout = any(isinstance(m, nn.Dropout) and m.p for m in model.modules())
        self._ties_dropout = has_dropout and run is not None
        self._wrapped: Any = None
        self._began, self._seen_before = time.monotonic(), self.state.images_seen
        self._is_asked_to_stop = False

    def _go_on_from(self, saved: Saved) -> None:
        """Stand where a checkpoint does.

        Raises:
            GravLensError: If it is not one of this training.
        """
        try:
            self.state = Progress.saved(saved.state)
            self.optimiser.load_state_dict(saved.state["optimiser"])
            for weight, moments in self.optimiser.state.items():
                # A fused step would not notice, and read beyond the end.
                if any(value.shape not in ((), weight.shape) for value in moments.values()):
                    raise ValueError("moments of other weights")
            if self.ema is not None:
                self.ema.load(saved.average)
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise GravLensError(
                f"{saved.folder}: holds no state of this training ({reason:.100}); remove "
                f"{saved.folder} to go on from the checkpoint before"
            ) from None

    def loss(self, first: int) -> Tensor:
        """Return the loss of the batch that begins with image ``first``."""
        raise NotImplementedError

    def rate(self, seen: int) -> float:
        """Return the learning rate of the step that begins after a number of images."""
        return learning_rate(self.config.optimiser, seen, self.total_images)

    def validation_loss(self) -> float | None:
        """Measure the loss of images that are not trained on, if there are any and it is due."""
        return None

    def check_data(self) -> None:
        """Look whether what is learned from is still what it was; called before each checkpoint.

        Raises:
            GravLensError: If the steps since the last checkpoint are not to be trusted.
        """

    def close(self) -> None:
        """Let go of the wrapped model, which may abort its process at exit if it outlives the process group."""
        self._wrapped = None

    def stop(self) -> None:
        """Ask for the end after this step; several processes end together."""
        self._is_asked_to_stop = True

    @property
    def has_ended(self) -> bool:
        """Whether there is nothing left to do."""
        return self.state.images_seen >= self.total_images or self._is_exhausted

    @property
    def _is_exhausted(self) -> bool:
        return 0 < self.patience <= self.state.waited

    @property
    def is_main(self) -> bool:
        """Whether this process writes."""
        return bool(self.accelerator.is_main_process)

    def due(self, every: int) -> bool:
        """Whether a multiple of ``every`` images was passed in this step, or the training ended."""
        seen = self.state.images_seen
        passed = seen // every > (seen - self.batch_size) // every
        return passed or self.has_ended

    @property
    def length(self) -> str:
        """How long the training is, in a few words."""
        return self.state.length(self.batch_size, self.num_images)

    @property
    def note(self) -> str:
        """What the user should know of its end, in one line; empty for nothing."""
        seen, total = self.state.images_seen, self.total_images
        if seen <= total or self.run is None:
            return self.state.doubt
        told = f"{self.run.folder} has seen {seen:,} images already, more than the {total:,}"
        return f"{told} asked for: nothing is left to do"

    @property
    def progress(self) -> Progress:
        """Where the training stands."""
        num_done = self.state.images_seen - self._seen_before
        speed = num_done / max(time.monotonic() - self._began, 1e-9)
        return replace(self.state, images_per_s=speed, ended_early=self._is_exhausted)

    def __iter__(self) -> Iterator[Progress]:
        state = self.state
        self._began, self._seen_before = time.monotonic(), state.images_seen
        log = None
        if self.run is not None and self.is_main:
            log = MetricsLog(self.run.folder, state.images_seen)
        if not self.has_ended:
            self.tell(self.length)
        if self.note and (not self.has_ended or self._seen_before > self.total_images):
            self.tell(f"note: {self.note}")
        is_owed = False
        try:
            if not state.images_seen:
                self._record(log)
            while not self.has_ended:
                self.step()
                self._record(log)
                yield self.progress
                if self._agree(self._is_asked_to_stop):
                    break
                is_owed |= self.run is not None and self.due(self.config.checkpoint_images)
                is_best = state.best_images == state.images_seen
                # Weights that may be spoilt must not take the place of good ones.
                if is_best or (is_owed and not state.skipped_in_a_row and not self.has_ended):
                    self.save()
                    is_owed = False
            self.save()
        finally:
            self.close()
            if log is not None:
                log.close()

    def step(self) -> None:
        """Train on one batch; skip it if its loss or gradient is of no use."""
        seen, state = self.state.images_seen, self.state
        for group in self.optimiser.param_groups:
            # A run of an earlier version has one group, without a share.
            group["lr"] = self.rate(seen) * group.get("share", 1.0)
        if self._ties_dropout:
            # Its masks come from torch's own generator, and a run goes on with the same ones.
            own = self.accelerator.process_index * self.batch_size // self.accelerator.num_processes
            torch.manual_seed(hash((self.config.seed, seen + own)))
        loss, is_useful = self._update(self.loss(seen))
        state.images_seen += self.batch_size
        if not is_useful:
            state.num_skipped += 1
            state.skipped_in_a_row += 1
            if state.skipped_in_a_row >= MAX_SKIPPED_IN_A_ROW:
                folder = None if self.run is None else self.run.folder
                raise GravLensError(
                    state.divergence(loss, self.config.optimiser.learning_rate, folder)
                )
            return
        state.skipped_in_a_row = 0
        state.losses.append(loss)
        state.loss = float(np.mean(state.losses))
        if self.ema is not None:
            self.ema.update(self.model, state.images_seen, self.batch_size)

    def _update(self, loss: Tensor) -> tuple[float, bool]:
        """Make a step of the optimiser, unless the loss or its gradient is of no use.

        Return the loss, as the mean over all processes, and whether it was of use.
        """
        self.accelerator.backward(loss)
        limit = self.config.optimiser.max_grad_norm or math.inf
        norm = float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit))
        mean = float(self.accelerator.reduce(loss.detach(), reduction="mean"))
        has_exploded = self.exploded > 0 and mean > self.exploded * self.state.usual_loss
        is_useful = math.isfinite(mean) and math.isfinite(norm) and not has_exploded
        if is_useful:
            self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return mean, is_useful

    def _record(self, log: MetricsLog | None) -> None:
        """Measure the validation loss where it is due, and write a line of the log."""
        state, numbers = self.state, dict[str, float]()
        validation_loss = self.validation_loss()
        if validation_loss is not None:
            state.measured(validation_loss)
        if state.images_seen and self.due(self.config.log_images):
            numbers = {
                "loss": state.loss,
                "learning_rate": float(self.optimiser.param_groups[0]["lr"]),
                "images_per_s": self.progress.images_per_s,
                "num_skipped": state.num_skipped,
            }
            if state.losses:
                state.usual_loss = float(np.mean(state.losses))
            state.losses.clear()
        if validation_loss is not None:
            numbers["held_out_loss"] = validation_loss
        if log is not None and numbers:
            log.log(state.images_seen, numbers)

    def save(self) -> None:
        """Write a checkpoint, from the main process."""
        if self.run is None:
            return
        self.check_data()
        self.accelerator.wait_for_everyone()
        if self.is_main:
            saved = {"optimiser": self.optimiser.state_dict()} | self.state.kept()
            average = None if self.ema is None else self.ema.state
            best = self.state.best_images, self.state.best_loss
            self.run.save(self.state.images_seen, self.model, average, saved, best)
        # A launcher ends all processes soon after the first has left.
        self.accelerator.wait_for_everyone()

    def _agree(self, wish: bool) -> bool:
        """Whether any of the processes that train together wishes so; all ask after every step."""
        if self.accelerator.num_processes == 1:
            return wish
        wishes = torch.tensor(float(wish), device=self.accelerator.device)
        return float(self.accelerator.reduce(wishes, reduction="sum")) > 0


def shown(training: Training, *, is_shown: bool = True) -> Iterator[Progress]:
    """Go through a training, and show on stderr how far it is."""
    with shown_progress(training.total_images, is_shown=is_shown) as bar:
        for k, progress in enumerate(training):
            if not k and training.run is not None:
                # What came before, by another process or while the first step was compiled.
                bar.begin(progress.images_seen)
            measured = progress.held_out_loss
            held_out = f", held out {measured:.4f}" if math.isfinite(measured) else ""
            total = progress.images_seen if progress.ended_early else progress.total_images
            bar.update(progress.images_seen, f"loss {progress.loss:.4f}{held_out}", total)
            yield progress
