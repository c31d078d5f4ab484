"""Distillation: a student that draws in a few steps what its teacher draws in many."""

import copy
import math
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
from gravlensdiffusion.training.accelerator import build_accelerator
from gravlensdiffusion.training.batches import hide_parameters
from gravlensdiffusion.training.ema import MovingAverage
from gravlensdiffusion.training.fit import Counters, Hooks, Loop, Plan, Progress
from gravlensdiffusion.training.objectives import (
    FollowSolver,
    MatchDistribution,
    Task,
    default_levels,
)
from gravlensdiffusion.training.optimiser import build_optimiser
from gravlensdiffusion.training.run import RunFolder, held_run

FRESH = 1000
"""Draws of noise between two batches of images for the critic alone."""


def distill(
    config: DistillationConfig,
    teacher: Model,
    folder: Path,
    *,
    device: str = "auto",
    hooks: Hooks | None = None,
) -> Progress:
    """Distill a model, or go on with a run that was broken off.

    On a CPU a run that was stopped and resumed ends with the same bits as an unbroken one.

    Args:
        config: How.
        teacher: The model to learn from.
        folder: The run directory, which `checkpoint.load_model` reads.
        device: ``cpu``, ``cuda`` or ``auto``.
        hooks: What to call on the way.

    Returns:
        Where the run stood when it ended; short of the total if it was told to stop.

    Raises:
        GravLensError: If the teacher or the run directory does not fit, another process works
            there, or the loss diverges.
    """
    accelerator = alone(device, config.precision)
    with held_run(folder):
        return Distiller(config, teacher, folder, accelerator).fit(hooks or Hooks())


def plan(config: DistillationConfig, teacher: Model, folder: Path, *, device: str = "auto") -> Plan:
    """Say what `distill` would do, after all that it does before its first step; write nothing.

    Args:
        config: How.
        teacher: The model to learn from.
        folder: The run directory, which need not exist.
        device: ``cpu``, ``cuda`` or ``auto``.

    Raises:
        GravLensError: Where `distill` would raise it before its first step.
    """
    accelerator = alone(device, config.precision)
    with held_run(folder, writes=False):
        return Distiller(config, teacher, folder, accelerator, writes=False).plan


def alone(device: str, precision: str) -> Accelerator:
    """Return what one process computes with; see `build_accelerator`.

    Raises:
        GravLensError: If there is no such device, or the process is not alone.
    """
    accelerator = build_accelerator(device, precision)
    if accelerator.num_processes > 1:
        raise GravLensError("distillation runs in one process; start it without a launcher")
    return accelerator


class Distiller(Loop):
    """A distillation in memory: student, critic, their optimisers, moving average, counters.

    Args:
        config: How.
        teacher: The model to learn from.
        folder: The run directory.
        accelerator: Where it computes.
        writes: Whether the run directory is made.
    """

    def __init__(
        self,
        config: DistillationConfig,
        teacher: Model,
        folder: Path,
        accelerator: Accelerator,
        *,
        writes: bool = True,
    ) -> None:
        student_config = distilled(teacher, config)
        self.accelerator = accelerator
        self.config = config
        self.run = RunFolder.open(folder, config, writes=writes)
        self.run.record_environment(fingerprint(teacher), str(self.device), writes=writes)
        total = math.ceil(config.total_images / config.batch_size) * config.batch_size
        super().__init__(config, folder, total)
        self.teacher = frozen(teacher.to(self.device))
        self._restore(student_config)

    def _restore(self, student_config: ModelConfig) -> None:
        """Take up the last checkpoint, or start with the teacher's weights."""
        config, device = self.config, self.device
        checkpoint = self.run.last_checkpoint()
        average: dict[str, Tensor] = {}
        state: dict[str, Any] | None = None
        if checkpoint is None:
            self.student = build_model(student_config)
            self.student.load_state_dict(self.teacher.state_dict())
        else:
            self.student, average, state = self.run.load(checkpoint)
        self.student.to(device).train()
        self.optimiser = build_optimiser(self.student.network, config.optimiser)
        self.ema = MovingAverage(self.student, config.ema) if config.ema.halflife_images else None
        self.critic: Model | None = None
        if config.method == "distribution":
            self.critic = copy.deepcopy(self.teacher).requires_grad_(True).train()
            self.critic_optimiser = build_optimiser(self.critic.network, config.optimiser)
        if state is not None:
            self.optimiser.load_state_dict(state["optimiser"])
            self.counters = Counters(**state["counters"])
            if self.ema is not None:
                self.ema.load(average)
            if self.critic is not None:
                self.critic.network.load_state_dict(state["critic"])
                self.critic_optimiser.load_state_dict(state["critic_optimiser"])
        student, teacher = self.student.denoiser, self.teacher.denoiser
        levels = self.student.config.sampling.levels
        self.solver = FollowSolver(
            student, teacher, levels, config.teacher_steps, along=config.method == "consistency"
        )
        self.match: MatchDistribution | None = None
        if self.critic is not None:
            critic = self.critic.denoiser
            self.match = MatchDistribution(student, teacher, critic, levels, config.steps)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.accelerator.device

    @property
    def rate(self) -> float:
        """Learning rate of the last step."""
        return float(self.optimiser.param_groups[0]["lr"])

    def after_step(self, hooks: Hooks) -> None:
        """Nothing else is due after a step."""

    def finish(self, hooks: Hooks) -> None:
        """Nothing is due at the end."""

    def check_data(self, hooks: Hooks) -> None:
        """No data are read."""

    def close(self) -> None:
        """Nothing is held."""

    def step(self) -> None:
        """Train on one batch; skip it if its loss or gradient is not finite."""
        self.set_rate(self.optimiser)
        task = self._task()
        x: Tensor | None = None
        with self.accelerator.autocast():
            if self.match is None or self.counters.images_seen < self.config.warmup_images:
                loss = self.solver.loss(task)
            else:
                x = self.match.images(task)
                loss = self.match.loss(task, x)
        is_finite = self._update(self.student, self.optimiser, loss)
        if x is not None:
            is_finite &= self._teach_critic(task, x)
        self.count(float(loss.detach()), is_useful=is_finite)
        if is_finite and self.ema is not None:
            self.ema.update(self.student, self.counters.images_seen, self.config.batch_size)

    def _teach_critic(self, task: Task, x: Tensor) -> bool:
        """Let the critic see the student's images; return whether all went well."""
        assert self.match is not None
        assert self.critic is not None
        for group in self.critic_optimiser.param_groups:
            group["lr"] = self.config.critic_rate * self.rate
        is_finite = True
        for k in range(self.config.critic_updates):
            with self.accelerator.autocast():
                if k:
                    with torch.no_grad():
                        x = self.match.images(task, offset=FRESH * k)
                loss = self.match.critic_loss(task, x, offset=FRESH * k)
            is_finite &= self._update(self.critic, self.critic_optimiser, loss)
        return is_finite

    def _update(self, model: Model, optimiser: torch.optim.Optimizer, loss: Tensor) -> bool:
        """Make a step of one network; return False, and make none, where it is not finite."""
        self.accelerator.backward(loss)
        norm = self.clipped_norm(model.network)
        is_finite = math.isfinite(float(loss.detach())) and math.isfinite(float(norm))
        if is_finite:
            optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        return is_finite

    def _task(self) -> Task:
        """Return what the next batch works on."""
        first, size = self.counters.images_seen, self.config.batch_size
        streams = Streams(self.config.seed, range(first, first + size))
        config = self.teacher.config
        shape = (config.num_channels, config.image_size, config.image_size)
        condition = draw_condition(self.teacher, self.config, streams)
        return Task(streams, condition, shape, self.device)

    def save(self) -> None:
        """Write a checkpoint."""
        state: dict[str, Any] = {
            "optimiser": self.optimiser.state_dict(),
            "counters": {name: getattr(self.counters, name) for name in Counters.__slots__},
        }
        if self.critic is not None:
            state["critic"] = self.critic.network.state_dict()
            state["critic_optimiser"] = self.critic_optimiser.state_dict()
        average = None if self.ema is None else self.ema.state
        self.run.save(self.counters.images_seen, self.student, average, state)


def distilled(teacher: Model, config: DistillationConfig) -> ModelConfig:
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


def frozen(model: Model) -> Model:
    """Return a model whose weights nothing changes."""
    return model.eval().requires_grad_(False)


def draw_condition(model: Model, config: DistillationConfig, streams: Streams) -> Condition | None:
    """Return what a batch is asked to be: as the training set was, some of it left out.

    Args:
        model: The teacher, with its table of classes and parameters if it has one.
        config: How often something is left out.
        streams: Random numbers of the batch.

    Returns:
        None for a model that takes no condition.
    """
    known = model.config
    if not (known.class_names or known.parameters):
        return None
    u = streams.uniform(Stream.TRAIN_ORDER)
    parameters: Tensor | None = None
    if known.prior_size:
        rows = model.prior.cpu()[(u * known.prior_size).long()]
        label = rows[:, 0].long()
        if known.parameters:
            parameters = hide_parameters(rows[:, 1:].double(), config, streams)
    else:
        label = (u * max(len(known.class_names), 1)).long()
        if known.parameters:
            parameters = torch.full((len(u), len(known.parameters)), torch.nan).double()
    hidden = streams.uniform(Stream.TRAIN_CONDITION) < config.label_dropout
    label = label.masked_fill(hidden | (not known.class_names), UNLABELLED)
    return Condition(label=label, parameters=parameters).to(model.transform.mean.device)
