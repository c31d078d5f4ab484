"""Distillation: a student that draws in a few steps what its teacher draws in many."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.config.bounds import UNLABELLED
from gravlensdiffusion.config.model import ModelConfig
from gravlensdiffusion.config.sampling import SamplingConfig
from gravlensdiffusion.config.training import DistillationConfig
from gravlensdiffusion.diffusion.denoise import Denoiser
from gravlensdiffusion.diffusion.noise import Schedule
from gravlensdiffusion.diffusion.randomness import Stream, Streams, generator
from gravlensdiffusion.diffusion.sampler import conditional_prior, trajectory
from gravlensdiffusion.diffusion.solvers import Consistency, DPMSolverPP
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.model.build import Model, build_model
from gravlensdiffusion.model.checkpoint import fingerprint
from gravlensdiffusion.parallel import build_accelerator
from gravlensdiffusion.training.batches import hidden_in_part
from gravlensdiffusion.training.fit import Training
from gravlensdiffusion.training.run import RunDirectory

HIGHEST, LOWEST = 0.03, 0.003
"""Ends of the default noise levels between steps, in units of the highest noise-to-signal ratio."""
HIDDEN = 7.0
"""Noise-to-signal ratio for each pixel of a side at which nothing of an image is left; the largest principal component grows so."""
CHOICE = 300
"""Draw of the step that a batch learns."""


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
    with RunDirectory.held(folder, writes=writes):
        yield _Distillation(config, teacher, folder, accelerator, writes=writes, tell=tell)


class _Distillation(Training):
    """The training of a student; see `open_distillation`."""

    config: DistillationConfig

    def __init__(
        self,
        config: DistillationConfig,
        teacher: Model,
        folder: Path,
        accelerator: Accelerator,
        *,
        writes: bool,
        tell: Callable[[str], object],
    ) -> None:
        student_config = _distilled(teacher, config)
        device = accelerator.device
        run = RunDirectory.open(folder, config, writes=writes)
        run.record_environment(fingerprint(teacher), str(device), option="teacher")
        self.teacher = teacher.to(device).eval().requires_grad_(False)
        saved = run.load()
        if saved is None:
            student = build_model(student_config)
            student.load_state_dict(self.teacher.state_dict())
        else:
            student = saved.model
        student.to(device).train()
        super().__init__(
            student, config, accelerator, config.total_images, run=run, saved=saved, tell=tell
        )
        levels, num_steps = student.config.sampling.levels, config.teacher_steps
        self._endpoint = _Endpoint(student.denoiser, self.teacher.sampled, levels, num_steps)

    def loss(self, first: int) -> Tensor:
        """Return the student's loss on a batch."""
        seed = self.config.seed
        streams = Streams(seed, range(first, first + self.batch_size))
        known = self.teacher.config
        shape = (known.num_channels, known.image_size, known.image_size)
        condition = _draw_condition(self.teacher, self.config, streams)
        noise = streams.normal(Stream.TRAIN_NOISE, shape)
        noise = noise.to(self.accelerator.device, memory_format=torch.channels_last)
        with self.accelerator.autocast():
            rng = generator(seed, first, Stream.TRAIN_TIME, CHOICE)
            return self._endpoint.loss(noise, condition, rng)


class _Endpoint:
    """The student learns where the teacher's solver arrives: ``|f(x_t) - x_0|^2``.

    The x_t lie on the way of the solver to x_0, at the levels that the student will draw from.

    Args:
        levels: Noise-to-signal ratios of the student's steps after the first.
        num_steps: Steps of the teacher's solver.

    References:
        Luhman and Luhman 2021, arXiv:2101.02388.
    """

    def __init__(
        self, student: Denoiser, teacher: Denoiser, levels: Sequence[float], num_steps: int
    ) -> None:
        self.student, self.teacher = student, teacher
        own = Consistency(levels).times(teacher.schedule, len(levels) + 1)[:-1].tolist()
        solver = DPMSolverPP().times(teacher.schedule, num_steps).tolist()
        times = sorted({*solver, *own}, reverse=True)
        self.times = torch.tensor(times, dtype=torch.float64)
        self.starts = [times.index(t) for t in own]

    def loss(self, noise: Tensor, condition: Condition | None, rng: np.random.Generator) -> Tensor:
        """Return the loss of a batch that begins with noise ``(B, C, H, W)``, at a level drawn for all of it."""
        times = self.times
        with torch.no_grad():
            x_1 = conditional_prior(self.teacher, noise, condition)
            walk = trajectory(self.teacher, DPMSolverPP(), x_1, times, condition)
            points = [x_t for _, x_t, _ in walk]
        place = self.starts[rng.integers(len(self.starts))]
        x_hat: Tensor = self.student(points[place], times[place], condition)
        return (x_hat - points[-1]).square().mean()


def _default_levels(schedule: Schedule, most: int, size: int) -> tuple[float, ...]:
    """Return noise-to-signal ratios of the steps after the first, even in their logarithm, for images of a size [pixel]."""
    if most == 1:
        return ()
    # Some schedules end far beyond the level that hides the largest principal component.
    highest = torch.exp(-0.5 * schedule.log_snr(torch.ones((), dtype=torch.float64)))
    highest = highest.clamp(max=HIDDEN * size)
    ends = torch.tensor([HIGHEST, LOWEST], dtype=torch.float64).log()
    shares = (torch.arange(most - 1) + 0.5 * (most == 2)) / max(most - 2, 1)
    ratios = highest * torch.exp(ends[0] + (ends[1] - ends[0]) * shares)
    return tuple(round(float(ratio), 6) for ratio in ratios)


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
    levels = config.levels or _default_levels(teacher.denoiser.schedule, most, known.image_size)
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
    if known.prior_size:
        rows = model.prior.cpu()[(u * known.prior_size).long()]
        labels, values = rows[:, 0].long(), rows[:, 1:].double()
    else:
        labels = (u * max(len(known.class_names), 1)).long()
        values = torch.full((len(u), len(known.parameters)), torch.nan, dtype=torch.float64)
    if not known.class_names:
        labels = torch.full_like(labels, UNLABELLED)
    names = [each.name for each in known.parameters]
    condition = hidden_in_part(labels, values, names, config, streams)
    return condition.to(model.transform.mean.device)
