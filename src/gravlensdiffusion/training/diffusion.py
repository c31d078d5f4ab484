"""Training of a diffusion model: its loss, its data, and what goes on when the command is repeated."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from gravlensdiffusion.codec import read_json
from gravlensdiffusion.config.training import TrainingConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.files import FileWatch
from gravlensdiffusion.formats.open import as_set
from gravlensdiffusion.model.build import Model
from gravlensdiffusion.model.checkpoint import load_model
from gravlensdiffusion.model.folders import CONFIG, checkpoints, find_model
from gravlensdiffusion.parallel import Processes, build_accelerator
from gravlensdiffusion.presets.training import training_preset
from gravlensdiffusion.sets.copies import group, sign
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.sets.training_set import TrainingSet
from gravlensdiffusion.training.adapt import adapt
from gravlensdiffusion.training.augment import check_names
from gravlensdiffusion.training.batches import (
    PREFIX,
    Batch,
    FreshSet,
    Prefetcher,
    load_batch,
)
from gravlensdiffusion.training.counters import Progress
from gravlensdiffusion.training.data import fresh_model, prepare_data
from gravlensdiffusion.training.fit import Training, shown
from gravlensdiffusion.training.run import RunDirectory
from gravlensdiffusion.training.start import start_from
from gravlensdiffusion.training.validation import ValidationLoss, split_validation


def train(
    recipe: TrainingConfig | str | None,
    images: LensSet | str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    device: str = "auto",
    init: str | Path | None = None,
    progress: bool = False,
    tell: Callable[[str], object] = lambda _: None,
) -> Progress:
    """Train a model, or go on with a run that was broken off, or with one that is to be longer.

    On a CPU a run that was stopped and resumed ends with the same bits as an unbroken one.

    Args:
        recipe: The recipe: a configuration, the name of a preset, or a JSON file; None for the one
            that adapts ``init`` to the images.
        images: The training images: a set, the path of one, or ``preset:NAME`` for images that are
            simulated on the way, none of them twice.
        folder: The run directory.
        device: ``cpu``, ``cuda`` or ``auto``.
        init: A model whose weights to start from; ignored where the run resumes.
        progress: Whether to show on stderr how far it is.
        tell: Called with each line that the user should know.

    Returns:
        Where the run stood when it ended.

    Raises:
        GravLensError: If there is no such recipe, the run directory or the data do not fit, another
            process trains there, or the loss diverges.

    Example:
        >>> train("cutouts28", "lenses.h5", "runs/mine", progress=True)  # doctest: +SKIP
    """
    if recipe is None and init is None:
        raise GravLensError("`recipe` names what is trained; only with `init` may it be left out")
    config = training_preset(recipe) if isinstance(recipe, str) else recipe
    if config is None and init is not None:
        config = begun_recipe(Path(folder), init)
    source: LensSet
    if isinstance(images, str) and images.startswith(PREFIX):
        source = FreshSet.open(images, config)
    else:
        source = as_set(images).with_present_classes()
    if config is None:
        assert init is not None
        adaptation = adapt(init, source)
        config = adaptation.config
        for line in adaptation.notes:
            tell(line)
    opening = open_training(config, source, Path(folder), device=device, init=init, tell=tell)
    with opening as training:
        for _ in shown(training, is_shown=progress):
            pass
        return training.progress


def begun_recipe(folder: Path, init: str | Path) -> TrainingConfig | None:
    """Return the recipe of a run that can go on though the model that it started from is gone; None for any other."""
    try:
        find_model(init)
    except GravLensError:
        return read_json(TrainingConfig, folder / CONFIG) if checkpoints(folder) else None
    return None


@contextmanager
def open_training(
    config: TrainingConfig,
    source: LensSet,
    folder: Path,
    *,
    device: str = "auto",
    init: str | Path | None = None,
    writes: bool = True,
    tell: Callable[[str], object] = lambda _: None,
) -> Iterator["DiffusionTraining"]:
    """Hold a run directory, and yield its training, which goes on where it is gone through; see `train`.

    Where nothing is written the folder need not exist; the training can be asked what it would do.

    Raises:
        GravLensError: If the run directory or the data do not fit, or another process trains there.
    """
    accelerator = build_accelerator(device, config.precision, config.batch_size)
    processes = Processes.launched()
    with ExitStack() as stack:
        # The processes of one launch share one run: the main one holds it for all of them.
        held = RunDirectory.held(folder, writes=writes) if processes.is_main else nullcontext()
        processes.main_first(lambda: stack.enter_context(held))
        if not checkpoints(folder):  # a mistake is told before the run directory is made
            if init is not None:
                load_model(init)
            elif config.model.prior_size:
                raise GravLensError(
                    "the recipe keeps the parameters of a model that it adapts: name it with `init`"
                )
        asked = config, source, folder, accelerator, init
        training = DiffusionTraining(*asked, writes=writes, tell=tell)
        stack.callback(training.close)
        yield training


class DiffusionTraining(Training):
    """The training of a diffusion model; see `open_training`."""

    exploded = 1000.0
    config: TrainingConfig

    def __init__(
        self,
        config: TrainingConfig,
        source: LensSet,
        folder: Path,
        accelerator: Accelerator,
        init: str | Path | None,
        *,
        writes: bool,
        tell: Callable[[str], object],
    ) -> None:
        processes = Processes.launched()
        present = source.with_present_classes().header.class_names
        source = source.with_classes(dict.fromkeys((*config.model.class_names, *present)))
        self._fresh = source if isinstance(source, FreshSet) else None
        check_names(config.augment, config.parameters)
        self.config = config
        run, self.data, held_out = processes.main_first(
            lambda: self._open(source, folder, accelerator, writes=writes)
        )
        saved = run.load()
        num_different = _count_different(self.data) if saved is None else 0

        def fresh() -> Model:
            model = fresh_model(config, source, self.data, num_different)
            if init is not None:
                start_from(model, init, keeps_prior=config.model.prior_size > 0)
            return model

        model = processes.together(fresh) if saved is None else saved.model
        model.to(accelerator.device)
        super().__init__(
            model,
            config,
            accelerator,
            config.total_images or config.epochs * len(self.data),
            run=run,
            saved=saved,
            tell=tell,
        )
        if run.writes:
            # A run that was killed between its best checkpoint and the record of it.
            run.record_best(self.state.best_images, self.state.best_loss)
        # A run of an earlier version has not counted them.
        counted = num_different or self.state.num_different or _count_different(self.data)
        self.num_images, self.state.num_different = len(self.data), counted
        if self._fresh is not None:
            self.num_images, self.state.num_different = 0, self.total_images
        # A model of the smooth lens knows lenses from the start, as one that is adapted does.
        knows_lenses = init is not None or model.expected is not None
        self.state.doubt = self.state.doubt_about(config, starts_from_model=knows_lenses)
        self._wrapped = accelerator.prepare(model)
        if config.compile:
            # The network in place, so that its weights keep their names.
            model.network.compile()
        self._is_conditional = bool(model.config.class_names or model.config.parameters)
        share = config.batch_size // accelerator.num_processes
        self._places = accelerator.process_index * share + np.arange(share)
        self.batches = Prefetcher(self.load, config.batch_size, config.prefetch)
        self._source_files: FileWatch | None = FileWatch(source.files)
        self._validation_loss: ValidationLoss | None = None
        if held_out is not None:
            self._validation_loss = ValidationLoss(held_out, config.seed, self._is_conditional)
            self.patience = config.early_stopping.patience

    def _open(
        self, source: LensSet, folder: Path, accelerator: Accelerator, *, writes: bool
    ) -> tuple[RunDirectory, TrainingSet, TrainingSet | None]:
        """Open the run directory, where the main process alone writes, and prepare the images."""
        writes_here = writes and accelerator.is_main_process
        run = RunDirectory.open(folder, self.config, writes=writes_here)
        whole = prepare_data(self.config, source, folder, writes=writes_here, keeps=writes)
        if accelerator.is_main_process:
            device, given = str(accelerator.device), whole.parameters_fingerprint
            run.record_environment(whole.fingerprint, device, given)
        names = list(map(source.name, range(len(source))))
        return run, *split_validation(self.config, whole, names)

    def load(self, first: int) -> Batch:
        """Return this process's part of the batch that begins with image ``first``."""
        places = first + self._places
        return load_batch(self.data, self.config, places, self._is_conditional, self._fresh)

    def loss(self, first: int) -> Tensor:
        """Return the mean loss of this process's part of a batch."""
        batch = self.batches.take(first)
        self._wrapped.train()
        losses: Tensor = self._wrapped(*batch.inputs(self.model, self.accelerator.device))
        return losses.mean()

    def validation_loss(self) -> float | None:
        """Measure the loss of the averaged weights on all validation images, of which each process takes a part."""
        measured, accelerator = self._validation_loss, self.accelerator
        if measured is None or not self.due(self.config.early_stopping.every_images):
            return None
        with self.averaged() as model:
            total = measured.total(model, accelerator.process_index, accelerator.num_processes)
        return float(accelerator.reduce(total, reduction="sum")) / measured.num_draws

    @property
    def is_sample_due(self) -> bool:
        """Whether samples of the averaged model are due; at an early end those of the best are."""
        every = self.config.sample_images
        is_best_due = self.has_ended and self.state.best_images > 0
        return self.is_main and every > 0 and self.due(every) and not is_best_due

    def check_data(self) -> None:
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
            self.tell(
                f"note: {changed} has changed since the training began; this training goes on with "
                "the images as they were, of which it has a copy, but will not resume with others"
            )

    def close(self) -> None:
        """Stop the threads that load batches, and let go of what ties the processes together."""
        self.batches.close()
        super().close()

    @contextmanager
    def averaged(self) -> Iterator[Model]:
        """Lend the model with its averaged weights, then give it back the trained ones."""
        model: Any = self.model
        own = {name: value.clone() for name, value in model.state_dict().items()}
        try:
            if self.ema is not None:
                model.load_state_dict(self.ema.state)
            model.eval()
            # Batches of another shape would be compiled once more, for a few steps.
            with torch.no_grad(), torch.compiler.set_stance("force_eager"):
                yield model
        finally:
            model.load_state_dict(own)


def _count_different(data: TrainingSet) -> int:
    """Return how many of the images are no copy of another."""
    return group([sign(data.images.blocks())]).num_different
