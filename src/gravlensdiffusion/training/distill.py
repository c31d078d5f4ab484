"""Distillation: a student that draws in a few steps what its teacher draws in many."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.config.bounds import UNLABELLED
from gravlensdiffusion.config.model import ModelConfig, SamplingConfig
from gravlensdiffusion.config.training import DistillationConfig
from gravlensdiffusion.diffusion.randomness import Stream, Streams
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.model.build import Model, build_model
from gravlensdiffusion.model.checkpoint import fingerprint
from gravlensdiffusion.parallel import build_accelerator
from gravlensdiffusion.training.batches import hide_parameters
from gravlensdiffusion.training.fit import Training
from gravlensdiffusion.training.objectives import (
    FollowSolver,
    MatchDistribution,
    Task,
    default_levels,
)
from gravlensdiffusion.training.optimiser import build_optimiser, learning_rate
from gravlensdiffusion.training.run import RunDirectory, held_run

FRESH = 1000
"""Draws of noise between two batches of images for the critic alone."""


@contextmanager
def open_distillation(
    config: DistillationConfig,
    teacher: Model,
    folder: Path,
    *,
    device: str = "auto",
    writes: bool = True,
    tell: Callable[[str], object] = lambda _: None,
) -> Iterator["_Distillation"]:
    """Hold a run directory, and yield its distillation; see `diffusion.open_training`.

    Raises:
        GravLensError: If the teacher or the run directory does not fit, another process works
            there, or this one is not alone.
    """
    accelerator = build_accelerator(device, config.precision)
    if accelerator.num_processes > 1:
        raise GravLensError("distillation runs in one process; start it without a launcher")
    with held_run(folder, writes=writes):
        yield _Distillation(config, teacher, folder, accelerator, writes=writes, tell=tell)


class _Distillation(Training):
    """The training of a student, and of a critic beside it; see `open_distillation`."""

    def __init__(
        self,
        config: DistillationConfig,
        teacher: Model,
        folder: Path,
        accelerator: Accelerator,
        *,
        writes: bool = True,
        tell: Callable[[str], object] = lambda _: None,
    ) -> None:
        student_config = _distilled(teacher, config)
        device = accelerator.device
        run = RunDirectory.open(folder, config, writes=writes)
        run.record_environment(fingerprint(teacher), str(device), writes=writes)
        self.config = config
        self.teacher = teacher.to(device).eval().requires_grad_(False)
        saved = run.load()
        if saved is None:
            student = build_model(student_config)
            student.load_state_dict(self.teacher.state_dict())
        else:
            student = saved.model
        student.to(device).train()
        super().__init__(
            student,
            build_optimiser(student.network, config.optimiser, config.precision),
            accelerator=accelerator,
            batch_size=config.batch_size,
            total_images=config.total_images,
            rate=lambda seen: learning_rate(config.optimiser, seen, self.total_images),
            max_grad_norm=config.optimiser.max_grad_norm,
            log_images=config.log_images,
            run=run,
            checkpoint_images=config.checkpoint_images,
            ema=config.ema,
            saved=saved,
            tell=tell,
        )
        levels = student.config.sampling.levels
        self._solver = FollowSolver(
            student.denoiser,
            self.teacher.denoiser,
            levels,
            config.teacher_steps,
            along=config.method == "consistency",
        )
        self._drawn: tuple[Task, Tensor] | None = None
        self._critic: Model | None = None
        if config.method == "distribution":
            critic = copy.deepcopy(self.teacher).requires_grad_(True).train()
            self._critic = critic
            self._critic_optimiser = build_optimiser(
                critic.network, config.optimiser, config.precision
            )
            if saved is not None:
                critic.network.load_state_dict(saved.state["critic"])
                self._critic_optimiser.load_state_dict(saved.state["critic_optimiser"])
            self._match = MatchDistribution(
                student.denoiser, self.teacher.denoiser, critic.denoiser, levels, config.steps
            )

    def loss(self, first: int) -> Tensor:
        """Return the student's loss on a batch."""
        streams = Streams(self.config.seed, range(first, first + self.batch_size))
        known = self.teacher.config
        shape = (known.num_channels, known.image_size, known.image_size)
        condition = _draw_condition(self.teacher, self.config, streams)
        task = Task(streams, condition, shape, self.accelerator.device)
        self._drawn = None
        with self.accelerator.autocast():
            if self._critic is None or first < self.config.warmup_images:
                return self._solver.loss(task)
            x = self._match.images(task)
            self._drawn = task, x
            return self._match.loss(task, x)

    def after_update(self) -> bool:
        """Let the critic see the student's images; return whether all went well."""
        if self._critic is None or self._drawn is None:
            return True
        task, x = self._drawn
        rate = float(self.optimiser.param_groups[0]["lr"])
        for group in self._critic_optimiser.param_groups:
            group["lr"] = self.config.critic_rate * rate
        is_useful = True
        for k in range(self.config.critic_updates):
            with self.accelerator.autocast():
                if k:
                    with torch.no_grad():
                        x = self._match.images(task, offset=FRESH * k)
                loss = self._match.critic_loss(task, x, offset=FRESH * k)
            is_useful &= self.update(self._critic, self._critic_optimiser, loss)[1]
        return is_useful

    def extra_state(self) -> dict[str, Any]:
        """Return the critic and its optimiser."""
        if self._critic is None:
            return {}
        return {
            "critic": self._critic.network.state_dict(),
            "critic_optimiser": self._critic_optimiser.state_dict(),
        }


def _distilled(teacher: Model, config: DistillationConfig) -> ModelConfig:
    """Return the configuration of a student.

    Raises:
        GravLensError: If this teacher cannot be distilled.
    """
    known = teacher.config
    if known.sampling.few_steps:
        raise GravLensError(f"model '{config.teacher}' is distilled already")
    if known.denoiser.prediction == "epsilon":
        raise GravLensError(
            f"model '{config.teacher}' predicts the noise, which says nothing of the image at the "
            "first step; distillation needs one that predicts v, x0 or 'preconditioned'"
        )
    if not known.denoiser.keeps_noise:
        known = replace(known, denoiser=replace(known.denoiser, noise=0.0, keeps_noise=True))
    if known.denoiser.noise:
        raise GravLensError(
            f"model '{config.teacher}' was adapted, and the noise of its images goes past the "
            "network: a few steps would draw images without it"
        )
    most = max(config.steps)
    levels = config.levels or default_levels(teacher.denoiser.schedule, most)
    sampling = SamplingConfig(
        sampler="consistency",
        num_steps=most,
        few_steps=tuple(sorted(set(config.steps))),
        levels=levels,
    )
    return replace(known, sampling=sampling)


def _draw_condition(model: Model, config: DistillationConfig, streams: Streams) -> Condition | None:
    """Return what a batch is asked to be: as the training set was, some of it left out."""
    known = model.config
    if not (known.class_names or known.parameters):
        return None
    if model.expected is not None:
        # Of the lenses that it draws all is given.
        config = replace(config, parameter_dropout=0.0, parameters_dropout=0.0)
    u = streams.uniform(Stream.TRAIN_ORDER)
    parameters: Tensor | None = None
    if known.prior_size:
        rows = model.prior.cpu()[(u * known.prior_size).long()]
        label = rows[:, 0].long()
        if known.parameters:
            names = [each.name for each in known.parameters]
            parameters = hide_parameters(rows[:, 1:].double(), names, config, streams)
    else:
        label = (u * max(len(known.class_names), 1)).long()
        if known.parameters:
            parameters = torch.full((len(u), len(known.parameters)), torch.nan).double()
    hidden = streams.uniform(Stream.TRAIN_CONDITION) < config.label_dropout
    label = label.masked_fill(hidden | (not known.class_names), UNLABELLED)
    return Condition(label=label, parameters=parameters).to(model.transform.mean.device)
