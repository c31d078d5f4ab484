"""What a student learns from its teacher: three ways to draw in a few steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.diffusion.denoise import Denoiser
from gravlensdiffusion.diffusion.noise import Schedule
from gravlensdiffusion.diffusion.randomness import Stream, Streams, generator
from gravlensdiffusion.diffusion.sampler import conditional_prior, trajectory
from gravlensdiffusion.diffusion.solvers import Consistency, DPMSolverPP

HIGHEST, LOWEST = 0.03, 0.003
"""Ends of the default noise levels between steps, in units of the highest noise-to-signal ratio."""
SMALLEST_SCALE = 0.03
"""Difference from the teacher below which no gradient is enlarged, in model units."""

START, MATCH, CRITIC = 0, 100, 200
"""First draws of a batch's noise: of the start, of the comparison, of the critic's training."""


@dataclass(frozen=True, slots=True)
class Task:
    """What one step works on: random numbers, what is asked, the shape ``(C, H, W)`` of an image."""

    streams: Streams
    condition: Condition | None
    shape: tuple[int, int, int]
    device: torch.device

    def normal(self, draw: int) -> Tensor:
        """Return standard normal noise, shape ``(B, C, H, W)``."""
        noise = self.streams.normal(Stream.TRAIN_NOISE, self.shape, draw=draw)
        return noise.to(self.device, memory_format=torch.channels_last)

    def spread(self, draw: int) -> Tensor:
        """Return uniform numbers evenly spread over the batch, shape ``(B,)``."""
        num = len(self.streams)
        u = self.streams.uniform(Stream.TRAIN_TIME, draw=draw)
        return (torch.arange(num) + u) / num

    def choice(self, num: int) -> int:
        """Return a number below ``num``, the same for the whole batch."""
        first = self.streams.indices[0]
        return int(generator(self.streams.seed, first, Stream.TRAIN_TIME, 300).integers(num))


class FollowSolver:
    """The student learns from the way of the teacher's solver.

    ``endpoint``: ``|f(x_t) - x_0|^2`` at the levels that the student will draw from, with the x_0
    at which the solver arrives. ``consistency``: ``|f(x_t) - sg f(x_s)|^2`` with the next point x_s
    of the same way, all along it.

    Args:
        levels: Noise-to-signal ratios of the student's steps after the first.
        num_steps: Steps of the teacher's solver.
        along: Whether the student learns all along the way.

    References:
        Luhman and Luhman 2021, arXiv:2101.02388 (endpoint); Song, Dhariwal, Chen and Sutskever
        2023, arXiv:2303.01469, algorithm 2 (consistency).
    """

    def __init__(
        self,
        student: Denoiser,
        teacher: Denoiser,
        levels: Sequence[float],
        num_steps: int,
        *,
        along: bool,
    ) -> None:
        self.student, self.teacher, self.along = student, teacher, along
        own = Consistency(levels).times(teacher.schedule, len(levels) + 1)[:-1]
        solver = DPMSolverPP().times(teacher.schedule, num_steps)
        times = sorted({*solver.tolist(), *own.tolist()}, reverse=True)
        self.times = torch.tensor(times, dtype=torch.float64)
        self.starts = [times.index(t) for t in own.tolist()]

    def loss(self, task: Task) -> Tensor:
        """Return the loss of a batch."""
        with torch.no_grad():
            x_1 = conditional_prior(self.teacher, task.normal(START), task.condition)
            num_steps, times = len(self.times) - 1, self.times
            walk = trajectory(
                self.teacher, DPMSolverPP(), x_1, num_steps, task.condition, times=times
            )
            points = [x_t for _, x_t, _ in walk]
        place = task.choice(num_steps) if self.along else self.starts[task.choice(len(self.starts))]
        x_hat: Tensor = self.student(points[place], self.times[place], task.condition)
        target = points[-1]
        if self.along and place < num_steps - 1:
            with torch.no_grad():
                later = self.times[place + 1]
                target = self.student(points[place + 1], later, task.condition)
        return (x_hat - target).square().mean()


class MatchDistribution:
    """The student's images get the distribution of the teacher's.

    An image ``x`` of the student is made noisy, ``x_s``, and seen by the teacher and by a critic,
    a denoiser that learns the student's own images. Where they differ, the student's images are too
    many or too few, and x moves by

        g = (critic(x_s) - teacher(x_s)) / mean |x - teacher(x_s)|

    through the loss ``|x - sg(x - g)|^2 / 2``. The images are made as they will be drawn: by the
    student, step by step, of which the last is trained.

    Args:
        levels: Noise-to-signal ratios of the student's steps after the first, where the most are
            made.
        steps: Numbers of steps that the student draws in.

    References:
        Yin et al. 2024, arXiv:2311.18828, equations 7 and 8; Yin et al. 2024, arXiv:2405.14867,
        section 4.4 (several steps).
    """

    def __init__(
        self,
        student: Denoiser,
        teacher: Denoiser,
        critic: Denoiser,
        levels: Sequence[float],
        steps: Sequence[int],
    ) -> None:
        self.student, self.teacher, self.critic = student, teacher, critic
        grids = [Consistency(levels).times(teacher.schedule, num)[:-1] for num in steps]
        self.chains = [grid[: last + 1] for grid in grids for last in range(len(grid))]

    def images(self, task: Task, *, offset: int = 0) -> Tensor:
        """Return images of the student, of noise from draw ``offset`` on; gradients go through the last step alone."""
        chain = self.chains[task.choice(len(self.chains))]
        schedule, noise = self.student.schedule, task.normal(START + offset)
        x_t = conditional_prior(self.student, noise, task.condition)
        with torch.no_grad():
            for i, (t, s) in enumerate(pairwise(chain)):
                alpha_s, sigma_s = schedule(s)
                noise = task.normal(START + offset + i + 1)
                x_t = alpha_s * self.student(x_t, t, task.condition) + sigma_s * noise
        x: Tensor = self.student(x_t, chain[-1], task.condition)
        return x

    def loss(self, task: Task, x: Tensor) -> Tensor:
        """Return the loss of a batch of the student's images, shape ``(B, C, H, W)``."""
        with torch.no_grad():
            s = self.teacher.sample_t(task.spread(MATCH)).to(task.device)
            alpha_s, sigma_s = (
                level.to(x)[:, None, None, None] for level in self.teacher.schedule(s)
            )
            x_s = alpha_s * x + sigma_s * task.normal(MATCH)
            real = self.teacher(x_s, s, task.condition)
            difference = self.critic(x_s, s, task.condition) - real
            scale = (x - real).abs().mean((1, 2, 3), keepdim=True).clamp(min=SMALLEST_SCALE)
            target = x - difference / scale
        return 0.5 * (x - target).square().mean()

    def critic_loss(self, task: Task, x: Tensor, *, offset: int = 0) -> Tensor:
        """Return the critic's loss on a batch of the student's images."""
        t = self.critic.sample_t(task.spread(CRITIC + offset)).to(task.device)
        eps = task.normal(CRITIC + offset)
        return self.critic.loss(x.detach(), t, eps, task.condition).mean()


def default_levels(schedule: Schedule, most: int) -> tuple[float, ...]:
    """Return noise-to-signal ratios of the steps after the first, even in their logarithm."""
    if most == 1:
        return ()
    highest = torch.exp(-0.5 * schedule.log_snr(torch.ones((), dtype=torch.float64)))
    ends = torch.tensor([HIGHEST, LOWEST], dtype=torch.float64).log()
    shares = (torch.arange(most - 1) + 0.5 * (most == 2)) / max(most - 2, 1)
    ratios = highest * torch.exp(ends[0] + (ends[1] - ends[0]) * shares)
    return tuple(round(float(ratio), 6) for ratio in ratios)
