"""What samplers share: the contract, grids of times, and the one loop that drives them."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar, Literal

import torch
from torch import Tensor

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.config.bounds import MAX_STEPS
from gravlensdiffusion.diffusion.denoise import Denoiser
from gravlensdiffusion.diffusion.noise import DiscreteSchedule, Schedule
from gravlensdiffusion.diffusion.randomness import Stream, Streams
from gravlensdiffusion.errors import GravLensError

Spacing = Literal["time", "log_snr", "karras"]
RHO = 7.0


@dataclass(frozen=True, slots=True)
class State:
    """What a sampler carries from step to step.

    Attributes:
        step: Number of steps made.
        t: Time of the step before, shape ``()``; None at the start.
        x_hat: Estimate of the step before, shape ``(B, C, H, W)``; None at the start.
    """

    step: int = 0
    t: Tensor | None = None
    x_hat: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What is known when a step is made: the arguments of `Sampler.step`, and the estimate ``x_hat``."""

    denoiser: Denoiser
    x_t: Tensor
    t: Tensor
    s: Tensor
    state: State
    condition: Condition | None
    streams: Streams | None
    x_hat: Tensor

    @property
    def levels(self) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """``alpha`` and ``sigma`` at time t, and those at time s."""
        return self.denoiser.schedule(self.t), self.denoiser.schedule(self.s)

    def noise(self) -> Tensor:
        """Return the noise of this step, standard normal, of the shape and device of the images."""
        if self.streams is None or len(self.streams) != len(self.x_t):
            raise ValueError("a stochastic sampler needs random streams, one for each image")
        shape = self.x_t.shape[1:]
        return self.streams.normal(Stream.SAMPLER, shape, draw=self.state.step).to(self.x_t)


class Sampler(ABC):
    """One step from time t to an earlier time s, and the times that suit it.

    Samplers know the schedule's alpha and sigma and the denoiser's ``x_hat``, nothing else.

    Attributes:
        default_num_steps: Number of steps where the caller does not say.
        spacing: Spacing of the times. ``time``: even in t, on the knots of a discrete schedule.
            ``log_snr``: even in log signal-to-noise ratio. ``karras``: even in
            ``(sigma / alpha)^(1 / RHO)``.
    """

    default_num_steps: ClassVar[int]
    spacing: Spacing = "time"

    def times(self, schedule: Schedule, num_steps: int) -> Tensor:
        """Return falling times: the first 1, the last but one ``schedule.t_min``, the last 0.

        Args:
            schedule: The schedule.
            num_steps: Number of steps T.

        Returns:
            Times, float64 of shape ``(T + 1,)``.

        Raises:
            GravLensError: If the number of steps is less than 1, or more than the schedule has or any
                sampler takes.

        References:
            Karras, Aittala, Aila and Laine 2022, arXiv:2206.00364, equation 5.
        """
        if num_steps < 1:
            raise GravLensError(f"the number of steps must be at least 1, got {num_steps}")
        if num_steps > MAX_STEPS:
            raise GravLensError(f"the number of steps must be at most {MAX_STEPS}, got {num_steps}")
        ends = torch.tensor([1.0, schedule.t_min], dtype=torch.float64)
        if self.spacing == "time":
            if isinstance(schedule, DiscreteSchedule) and num_steps > schedule.num_steps:
                raise GravLensError(
                    f"the model has {schedule.num_steps} steps of noise, {num_steps} were asked for"
                )
            inner = schedule.snap(_linspace(ends, num_steps))
        elif self.spacing == "log_snr":
            inner = schedule.t_from_log_snr(_linspace(schedule.log_snr(ends), num_steps))
        else:
            roots = torch.exp(-0.5 * schedule.log_snr(ends) / RHO)
            inner = schedule.t_from_log_snr(-2 * RHO * torch.log(_linspace(roots, num_steps)))
        inner[0] = 1.0
        if num_steps > 1:
            inner[-1] = schedule.t_min
        return torch.cat([inner, torch.zeros(1, dtype=torch.float64)])

    def init(self) -> State:
        """Return the state before the first step."""
        return State()

    def step(
        self,
        denoiser: Denoiser,
        x_t: Tensor,
        t: Tensor,
        s: Tensor,
        state: State,
        condition: Condition | None = None,
        streams: Streams | None = None,
    ) -> tuple[Tensor, Tensor, State]:
        """Go from time t to time s.

        Args:
            denoiser: The denoiser.
            x_t: Images at time t, shape ``(B, C, H, W)``.
            t: Time, float64 on the CPU, shape ``()``.
            s: Earlier time, likewise.
            state: What `init` or the step before returned.
            condition: What the images are asked to be; None for anything.
            streams: Random numbers of the batch; a deterministic sampler needs none.

        Returns:
            Images at time s, the estimate of the clean images made at time t, and the state.
        """
        x_hat: Tensor = denoiser(x_t, t, condition)
        x_s = self._x_s(Step(denoiser, x_t, t, s, state, condition, streams, x_hat))
        return x_s, x_hat, replace(state, step=state.step + 1, t=t, x_hat=x_hat)

    @abstractmethod
    def _x_s(self, at: Step) -> Tensor:
        """Return the images at time s."""


def prior(
    schedule: Schedule, eps: Tensor, mean: Tensor | float = 0.0, std: Tensor | float = 1.0
) -> Tensor:
    """Return the images at t = 1 that sampling starts from.

    ``x_1 = alpha_1 mean + sqrt(alpha_1^2 std^2 + sigma_1^2) eps``, the first two moments of data
    of that mean and standard deviation. For data of zero mean and unit variance it is `eps`. The
    mean matters: alpha_1 is not zero, and the mean of a whole image stands out of the noise.

    Args:
        schedule: The schedule.
        eps: Standard normal noise, shape ``(B, C, H, W)``.
        mean: Mean of the data, a number or of a shape that goes with that of the noise.
        std: Standard deviation of the data about that mean, likewise.
    """
    alpha_1, sigma_1 = schedule(torch.ones((), dtype=torch.float64))
    spread = torch.sqrt(alpha_1**2 * std**2 + sigma_1**2)
    return alpha_1 * mean + spread * eps


def conditional_prior(denoiser: Denoiser, eps: Tensor, condition: Condition | None) -> Tensor:
    """Return the `prior` of what a denoiser expects of the images of a condition."""
    if denoiser.expected is None:
        return prior(denoiser.schedule, eps)
    mean, std, _ = denoiser.expected(condition, eps)
    return prior(denoiser.schedule, eps, mean, std)


def trajectory(
    denoiser: Denoiser,
    sampler: Sampler,
    x_T: Tensor,
    times: Tensor,
    condition: Condition | None = None,
    streams: Streams | None = None,
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Follow a batch from noise to images.

    Args:
        denoiser: The denoiser, in evaluation mode.
        sampler: The sampler.
        x_T: Images at t = 1, shape ``(B, C, H, W)``, from `prior`.
        times: T + 1 falling times, those of the sampler, say.
        condition: What the images are asked to be; None for anything.
        streams: Random numbers of the batch; a deterministic sampler needs none.

    Yields:
        T + 1 times ``(i, x_t, x_hat)``: the images after i steps and the estimate of the clean
        images made there; at the end, i = T, the finished images twice.
    """
    x_t, state = x_T, sampler.init()
    for i, (t, s) in enumerate(pairwise(times)):
        with torch.no_grad():
            x_s, x_hat, state = sampler.step(denoiser, x_t, t, s, state, condition, streams)
        yield i, x_t, x_hat
        x_t = x_s
    yield len(times) - 1, x_t, x_t


def _linspace(ends: Tensor, num: int) -> Tensor:
    return torch.linspace(ends[0].item(), ends[1].item(), num, dtype=torch.float64)
