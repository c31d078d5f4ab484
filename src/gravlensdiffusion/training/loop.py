"""The training loop: progress in images, resuming by running the same command again."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from gravlensdiffusion.build import Model
from gravlensdiffusion.config.training import TrainingConfig
from gravlensdiffusion.data.dataset import ImageSource, PreparedSet
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.training.augment import check_names
from gravlensdiffusion.training.ema import MovingAverage
from gravlensdiffusion.training.optimiser import build_optimiser, learning_rate
from gravlensdiffusion.training.order import Batch, BatchesAhead, draw_batch
from gravlensdiffusion.training.run import RunDirectory
from gravlensdiffusion.training.start import start_from
from gravlensdiffusion.training.tracking import Tracker

MAX_SKIPPED_IN_A_ROW = 10
"""Steps with a loss or gradient that is not finite, in a row, after which a run stops."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Where a run stands.

    Attributes:
        images_seen: Images seen.
        total_images: Images after which it ends.
        loss: Mean loss since the last line of the log began.
        images_per_s: Speed of this process group [image/s].
        num_skipped: Steps skipped because the loss was not finite.
    """

    images_seen: int
    total_images: int
    loss: float
    images_per_s: float
    num_skipped: int

    @property
    def seconds_left(self) -> float:
        """Time until the end at this speed [s]."""
        return (self.total_images - self.images_seen) / max(self.images_per_s, 1e-9)


@dataclass(slots=True)
class Counters:
    """What a run counts, kept in its checkpoints."""

    images_seen: int = 0
    num_skipped: int = 0
    skipped_in_a_row: int = 0
    losses: list[float] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True, slots=True)
class Hooks:
    """What the caller of `train` wants to hear.

    Attributes:
        progress: Called after every step.
        sample: Called with the averaged model and the images seen when a sample grid is due.
        should_stop: Asked after every step; True saves and ends.
    """

    progress: Callable[[Progress], None] = lambda _: None
    sample: Callable[[Model, int], None] = lambda *_: None
    should_stop: Callable[[], bool] = lambda: False


def train(
    config: TrainingConfig,
    source: ImageSource,
    folder: Path,
    *,
    device: str = "auto",
    init: str | Path | None = None,
    hooks: Hooks | None = None,
) -> Progress:
    """Train a model, or go on with a run that was broken off.

    On a CPU a run that was stopped and resumed ends with the same bits as an unbroken one.

    Args:
        config: The recipe.
        source: The training images.
        folder: The run directory.
        device: ``cpu``, ``cuda`` or ``auto``.
        init: A model whose weights to start from; ignored where the run resumes.
        hooks: What to call on the way.

    Returns:
        Where the run stood when it ended; short of the total if it was told to stop.

    Raises:
        GravLensError: If the run directory or the data do not fit, or the loss diverges.
    """
    trainer = Trainer(config, source, folder, device, init)
    return trainer.fit(hooks or Hooks())


class Trainer:
    """A run in memory: model, optimiser, moving average, counters.

    Args:
        config: The recipe.
        source: The training images.
        folder: The run directory.
        device: ``cpu``, ``cuda`` or ``auto``.
        init: A model whose weights to start from, or None.
    """

    def __init__(
        self,
        config: TrainingConfig,
        source: ImageSource,
        folder: Path,
        device: str,
        init: str | Path | None,
    ) -> None:
        if device == "cuda" and not torch.cuda.is_available():
            raise GravLensError("no CUDA device here; use --device cpu or auto")
        precision = "bf16" if config.precision == "bf16" else "no"
        self.accelerator = Accelerator(cpu=device == "cpu", mixed_precision=precision)
        if config.batch_size % self.accelerator.num_processes:
            raise GravLensError(
                f"batch size {config.batch_size} does not divide among "
                f"{self.accelerator.num_processes} processes"
            )
        check_names(config.augment, config.parameters)
        self.config = config
        self.run = RunDirectory.open(folder, config)
        self.data: PreparedSet = self.run.prepare_data(source, str(self.accelerator.device))
        epochs_images = config.total_images or config.epochs * len(self.data)
        self.total_images = math.ceil(epochs_images / config.batch_size) * config.batch_size
        self._restore(source, init)

    def _restore(self, source: ImageSource, init: str | Path | None) -> None:
        """Take up the last checkpoint, or start fresh."""
        checkpoint = self.run.last_checkpoint()
        average: dict[str, Any] = {}
        state: dict[str, Any] | None = None
        if checkpoint is None:
            self.model = self.run.fresh_model(source, self.data)
            if init is not None:
                start_from(self.model, init)
        else:
            self.model, average, state = self.run.load(checkpoint)
        self.model.to(self.accelerator.device)
        optimiser = self.config.optimiser
        self.optimiser = build_optimiser(self.model.network.parameters(), optimiser)
        self.ema: MovingAverage | None = None
        if self.config.ema.halflife_images:
            self.ema = MovingAverage(self.model, self.config.ema)
        self.counters = Counters()
        if state is not None:
            self.optimiser.load_state_dict(state["optimiser"])
            self.counters = Counters(**state["counters"])
            if self.ema is not None:
                self.ema.load(average)
        self.last_loss = math.nan
        self.wrapped = self.accelerator.prepare(self.model)
        if self.config.compile:
            # The network in place, so that its weights keep their names.
            self.model.network.compile()
        self.batches = BatchesAhead(self._draw, self.config.batch_size, self.config.prefetch)

    def fit(self, hooks: Hooks) -> Progress:
        """Train to the end, or until told to stop; both save."""
        counters, config = self.counters, self.config
        tracker = Tracker(self.run.folder, counters.images_seen) if self._is_main else None
        started, images_before = time.monotonic(), counters.images_seen
        try:
            while counters.images_seen < self.total_images:
                self.step()
                progress = self._progress(started, images_before)
                hooks.progress(progress)
                if tracker is not None and self._due(config.log_images):
                    tracker.log(counters.images_seen, self._numbers(progress))
                if self._due(config.log_images):
                    counters.losses.clear()
                if self._is_main and config.sample_images and self._due(config.sample_images):
                    self._sample(hooks)
                stop = hooks.should_stop()
                if stop or self._due(config.checkpoint_images):
                    self.save()
                if stop:
                    break
            self.save()
        finally:
            self.batches.close()
            if tracker is not None:
                tracker.close()
        return self._progress(started, images_before)

    def step(self) -> None:
        """Train on one batch; skip it if its loss or gradient is not finite.

        Raises:
            GravLensError: After `MAX_SKIPPED_IN_A_ROW` skipped batches.
        """
        config, counters = self.config, self.counters
        loss = self._loss()
        self.accelerator.backward(loss)
        limit = config.optimiser.max_grad_norm or math.inf
        norm = torch.nn.utils.clip_grad_norm_(self.model.network.parameters(), limit)
        mean_loss = float(self.accelerator.reduce(loss.detach(), reduction="mean"))
        counters.images_seen += config.batch_size
        if math.isfinite(mean_loss) and math.isfinite(float(norm)):
            self.optimiser.step()
            if self.ema is not None:
                self.ema.update(self.model, counters.images_seen, config.batch_size)
            counters.losses.append(mean_loss)
            self.last_loss = float(np.mean(counters.losses))
            counters.skipped_in_a_row = 0
        else:
            counters.num_skipped += 1
            counters.skipped_in_a_row += 1
        self.optimiser.zero_grad(set_to_none=True)
        if counters.skipped_in_a_row >= MAX_SKIPPED_IN_A_ROW:
            raise GravLensError(
                f"the loss was not finite {MAX_SKIPPED_IN_A_ROW} times in a row, at "
                f"{counters.images_seen:,} images; try a lower learning rate or --precision fp32, "
                "and look at the data with `gravlens inspect`; the last checkpoint is kept"
            )

    def _loss(self) -> torch.Tensor:
        config, device = self.config, self.accelerator.device
        seen = self.counters.images_seen
        rate = learning_rate(config.optimiser, seen, self.total_images)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        batch = self.batches.take(seen)
        if getattr(config.model.network, "dropout", 0):
            # Dropout masks come from torch's own generator; tie them to the place in the run.
            torch.manual_seed(hash((config.seed, seen + self._offset)))
        condition = None if batch.condition is None else batch.condition.to(device)
        x = self.model.transform(batch.flux.to(device))
        t = self.model.denoiser.sample_t(batch.u).to(device)
        layout = torch.channels_last
        x, eps = x.to(memory_format=layout), batch.eps.to(device, memory_format=layout)
        self.wrapped.train()
        losses: torch.Tensor = self.wrapped(x, t, eps, condition)
        return losses.mean()

    def _draw(self, seen: int) -> Batch:
        """Assemble this process's part of the batch that begins with image ``seen``."""
        share = self.config.batch_size // self.accelerator.num_processes
        first = seen + self._offset
        known = self.model.config
        conditional = bool(known.class_names or known.parameters)
        return draw_batch(self.data, self.config, np.arange(first, first + share), conditional)

    def save(self) -> None:
        """Write a checkpoint, from the main process."""
        self.accelerator.wait_for_everyone()
        if self._is_main:
            state = {
                "optimiser": self.optimiser.state_dict(),
                "counters": {name: getattr(self.counters, name) for name in Counters.__slots__},
            }
            average = None if self.ema is None else self.ema.state
            self.run.save(self.counters.images_seen, self.model, average, state)

    @property
    def _offset(self) -> int:
        """Place of this process's first image within a batch."""
        processes = self.accelerator.num_processes
        return int(self.accelerator.process_index * (self.config.batch_size // processes))

    @property
    def _is_main(self) -> bool:
        return bool(self.accelerator.is_main_process)

    def _due(self, every: int) -> bool:
        """Whether a multiple of ``every`` images was passed in this step, or the run ended."""
        seen = self.counters.images_seen
        passed = seen // every > (seen - self.config.batch_size) // every
        return passed or seen >= self.total_images

    def _progress(self, started: float, images_before: int) -> Progress:
        counters = self.counters
        done = counters.images_seen - images_before
        return Progress(
            images_seen=counters.images_seen,
            total_images=self.total_images,
            loss=self.last_loss,
            images_per_s=done / max(time.monotonic() - started, 1e-9),
            num_skipped=counters.num_skipped,
        )

    def _numbers(self, progress: Progress) -> dict[str, float]:
        return {
            "loss": progress.loss,
            "learning_rate": self.optimiser.param_groups[0]["lr"],
            "images_per_s": progress.images_per_s,
            "num_skipped": progress.num_skipped,
        }

    def _sample(self, hooks: Hooks) -> None:
        """Hand the averaged model to the caller, then take the trained weights back."""
        own = {name: value.clone() for name, value in self.model.state_dict().items()}
        try:
            if self.ema is not None:
                self.model.load_state_dict(self.ema.state)
            self.model.eval()
            # Batches of another shape would be compiled once more, for a few steps.
            with torch.no_grad(), torch.compiler.set_stance("force_eager"):
                hooks.sample(self.model, self.counters.images_seen)
        finally:
            self.model.load_state_dict(own)
