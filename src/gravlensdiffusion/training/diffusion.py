"""The training loop: progress in images, resuming by running the same command again."""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from gravlensdiffusion.config.training import TrainingConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.files import FileWatch
from gravlensdiffusion.model.build import Model
from gravlensdiffusion.model.checkpoint import load_model
from gravlensdiffusion.model.folders import checkpoints
from gravlensdiffusion.parallel import Processes
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.sets.training_set import TrainingSet
from gravlensdiffusion.training.accelerator import build_accelerator, refuse_unequal
from gravlensdiffusion.training.augment import check_names
from gravlensdiffusion.training.batches import Batch, BatchesAhead, draw_batch
from gravlensdiffusion.training.data import RunDirectory
from gravlensdiffusion.training.ema import MovingAverage
from gravlensdiffusion.training.fit import Counters, Hooks, Loop, Plan, Progress
from gravlensdiffusion.training.length import count_different, doubt
from gravlensdiffusion.training.optimiser import build_optimiser
from gravlensdiffusion.training.run import held_run
from gravlensdiffusion.training.start import start_from
from gravlensdiffusion.training.validation import HeldOutLoss, Standing


def train(
    config: TrainingConfig,
    source: LensSet,
    folder: Path,
    *,
    device: str = "auto",
    init: str | Path | None = None,
    hooks: Hooks | None = None,
) -> Progress:
    """Train a model, or go on with a run that was broken off, or with one that is to be longer.

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
        GravLensError: If the run directory or the data do not fit, another process trains there, or
            the loss diverges.
    """
    accelerator = build_accelerator(device, config.precision)
    processes = Processes.launched()
    with ExitStack() as stack:

        def hold() -> None:
            # The processes of one launch share one run: the main one holds it for all of them.
            if processes.is_main:
                stack.enter_context(held_run(folder))

        processes.main_first(hold)
        trainer = Trainer(config, source, folder, accelerator, init)
        return trainer.fit(hooks or Hooks())


def plan(
    config: TrainingConfig,
    source: LensSet,
    folder: Path,
    *,
    device: str = "auto",
    init: str | Path | None = None,
) -> Plan:
    """Say what `train` would do, after all that it does before its first step; write nothing.

    Args:
        config: The recipe.
        source: The training images.
        folder: The run directory, which need not exist.
        device: ``cpu``, ``cuda`` or ``auto``.
        init: A model whose weights to start from, or None.

    Raises:
        GravLensError: Where `train` would raise it before its first step.
    """
    accelerator = build_accelerator(device, config.precision)
    with held_run(folder, writes=False):
        trainer = Trainer(config, source, folder, accelerator, init, writes=False)
        trainer.close()
        return trainer.plan


class Trainer(Loop):
    """A run in memory: model, optimiser, moving average, counters.

    Args:
        config: The recipe.
        source: The training images.
        folder: The run directory.
        accelerator: Where it computes.
        init: A model whose weights to start from, or None.
        writes: Whether the run directory is made, and the images are prepared there.
    """

    def __init__(
        self,
        config: TrainingConfig,
        source: LensSet,
        folder: Path,
        accelerator: Accelerator,
        init: str | Path | None,
        *,
        writes: bool = True,
    ) -> None:
        self.processes = Processes.launched()
        self.accelerator = accelerator
        source = source.with_present_classes()
        refuse_unequal(config.batch_size, accelerator)
        check_names(config.augment, config.parameters)
        if init is not None and not checkpoints(folder):
            load_model(init)  # a bad one is refused before the run directory is made
        self.config = config
        self.is_main = bool(self.accelerator.is_main_process)
        self._writes = writes and self.is_main
        self.run, self.data, held_out = self.processes.main_first(
            lambda: self._open(source, folder, keeps=writes)
        )
        epochs_images = config.total_images or config.epochs * len(self.data)
        total_images = math.ceil(epochs_images / config.batch_size) * config.batch_size
        super().__init__(config, folder, total_images)
        self._restore(source, init)
        self.num_images = len(self.data)
        self.doubt = doubt(
            config,
            max(total_images, self.counters.images_seen),
            self.counters.num_different,
            starts_from_model=init is not None,
        )
        self._source_files: FileWatch | None = FileWatch(source.files)
        self.held_out: HeldOutLoss | None = None
        if held_out is not None:
            self.held_out = HeldOutLoss(held_out, config.seed, self._is_conditional)
            self.patience = config.early_stopping.patience

    def _open(
        self, source: LensSet, folder: Path, *, keeps: bool
    ) -> tuple[RunDirectory, TrainingSet, TrainingSet | None]:
        """Open the run directory, where the main process alone writes, and prepare the images."""
        run = RunDirectory.open(folder, self.config, writes=self._writes)
        whole = run.prepare_data(source, writes=self._writes, keeps=keeps)
        if self.is_main:
            run.record_environment(
                whole.fingerprint,
                str(self.accelerator.device),
                whole.parameters_fingerprint,
                writes=self._writes,
            )
        return run, *run.hold_out(whole, list(map(source.name, range(len(source)))))

    def _restore(self, source: LensSet, init: str | Path | None) -> None:
        """Take up the last checkpoint, or start fresh."""
        checkpoint = self.run.last_checkpoint()
        average: dict[str, Any] = {}
        state: dict[str, Any] | None = None
        if checkpoint is None:
            self.model = self.processes.together(lambda: self._fresh_model(source, init))
        else:
            self.model, average, state = self.run.load(checkpoint)
        self.model.to(self.accelerator.device)
        optimiser = self.config.optimiser
        self.optimiser = build_optimiser(self.model.network, optimiser)
        self.ema: MovingAverage | None = None
        if self.config.ema.halflife_images:
            self.ema = MovingAverage(self.model, self.config.ema)
        if state is not None:
            self.optimiser.load_state_dict(state["optimiser"])
            self.counters = Counters(**state["counters"])
            self.standing = Standing(**state.get("held_out", {}))
            if self._writes:
                # A run that was killed between its best checkpoint and the record of it.
                self.run.record_best(self.standing)
            if self.ema is not None:
                self.ema.load(average)
        if not self.counters.num_different:
            # A run of an earlier version has not counted them.
            self.counters.num_different = count_different(self.data.images.blocks())
        self.wrapped = self.accelerator.prepare(self.model)
        if self.config.compile:
            # The network in place, so that its weights keep their names.
            self.model.network.compile()
        self.batches = BatchesAhead(self._draw, self.config.batch_size, self.config.prefetch)

    def _fresh_model(self, source: LensSet, init: str | Path | None) -> Model:
        self.counters.num_different = count_different(self.data.images.blocks())
        model = self.run.fresh_model(source, self.data, self.counters.num_different)
        if init is not None:
            start_from(model, init)
        return model

    def after_step(self, hooks: Hooks) -> None:
        """Hand out the averaged model where a sample grid is due."""
        every = self.config.sample_images
        if self.has_ended and self.standing.best_images:
            return
        if self.is_main and every and self.due(every):
            with self._averaged():
                hooks.sample(self.model, self.counters.images_seen)

    def finish(self, hooks: Hooks) -> None:
        """Hand out the model with the lowest held-out loss, where that was measured."""
        if self.is_main and self.config.sample_images and self.standing.best_images:
            best = load_model(self.run.folder, self.accelerator.device)
            with torch.no_grad():
                hooks.sample(best, self.standing.best_images)

    def held_out_loss(self) -> float | None:
        """Measure the loss of the averaged weights on the held-out images, where it is due.

        Every process looks at a part of them and gets the mean of all.
        """
        if self.held_out is None or not self.due(self.config.early_stopping.every_images):
            return None
        processes = self.accelerator.num_processes
        with self._averaged():
            total = self.held_out.total(self.model, self.accelerator.process_index, processes)
        return float(self.accelerator.reduce(total, reduction="sum")) / self.held_out.num_draws

    def agree(self, wish: bool) -> bool:
        """Whether any process wishes so; all of them ask after every step."""
        if self.accelerator.num_processes == 1:
            return wish
        wishes = torch.tensor(float(wish), device=self.accelerator.device)
        return float(self.accelerator.reduce(wishes, reduction="sum")) > 0

    def check_data(self, hooks: Hooks) -> None:
        """Refuse to go on with prepared images that have changed; tell of a set that has."""
        changed = self.data.watch.changed()
        if changed is not None:
            raise GravLensError(
                f"{changed}: has changed while it was trained on; the steps since the last "
                "checkpoint are dropped; the same command prepares the images anew and goes on"
            )
        changed = None if self._source_files is None else self._source_files.changed()
        if changed is not None:
            self._source_files = None
            hooks.tell(
                f"note: {changed} has changed since the training began; this training goes on with "
                "the images as they were, of which it has a copy, but will not resume with others"
            )

    def close(self) -> None:
        """Stop the threads that assemble batches."""
        self.batches.close()

    @property
    def rate(self) -> float:
        """Learning rate of the last step."""
        return float(self.optimiser.param_groups[0]["lr"])

    def step(self) -> None:
        """Train on one batch; skip it if its loss or gradient is of no use.

        Raises:
            GravLensError: After `MAX_SKIPPED_IN_A_ROW` skipped batches.
        """
        loss = self._loss()
        self.accelerator.backward(loss)
        norm = self.clipped_norm(self.model.network)
        mean_loss = float(self.accelerator.reduce(loss.detach(), reduction="mean"))
        is_useful = self.is_useful(mean_loss, float(norm))
        if is_useful:
            self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.count(mean_loss, is_useful=is_useful)
        if is_useful and self.ema is not None:
            self.ema.update(self.model, self.counters.images_seen, self.config.batch_size)

    def _loss(self) -> torch.Tensor:
        config, device = self.config, self.accelerator.device
        seen = self.counters.images_seen
        self.set_rate(self.optimiser)
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
        counts = np.arange(first, first + share)
        return draw_batch(self.data, self.config, counts, self._is_conditional)

    def save(self) -> None:
        """Write a checkpoint, from the main process."""
        self.accelerator.wait_for_everyone()
        if self.is_main:
            state = {
                "optimiser": self.optimiser.state_dict(),
                "counters": {name: getattr(self.counters, name) for name in Counters.__slots__},
                "held_out": asdict(self.standing),
            }
            average = None if self.ema is None else self.ema.state
            seen = self.counters.images_seen
            self.run.save(seen, self.model, average, state, self.standing)
        # A launcher ends all processes soon after the first has left.
        self.accelerator.wait_for_everyone()

    @property
    def _is_conditional(self) -> bool:
        """Whether the model knows classes or parameters."""
        return bool(self.model.config.class_names or self.model.config.parameters)

    @property
    def _offset(self) -> int:
        """Place of this process's first image within a batch."""
        processes = self.accelerator.num_processes
        return int(self.accelerator.process_index * (self.config.batch_size // processes))

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Lend the model its averaged weights, then take the trained ones back."""
        own = {name: value.clone() for name, value in self.model.state_dict().items()}
        try:
            if self.ema is not None:
                self.model.load_state_dict(self.ema.state)
            self.model.eval()
            # Batches of another shape would be compiled once more, for a few steps.
            with torch.no_grad(), torch.compiler.set_stance("force_eager"):
                yield
        finally:
            self.model.load_state_dict(own)
