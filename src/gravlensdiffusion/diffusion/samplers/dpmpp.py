"""DPM-Solver++, the multistep method of second order."""

from typing import ClassVar

import torch
from torch import Tensor

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.diffusion.denoise import Denoiser
from gravlensdiffusion.diffusion.noise import Schedule
from gravlensdiffusion.diffusion.randomness import Streams
from gravlensdiffusion.diffusion.samplers.base import Sampler, Spacing, State, time_grid


class DPMSolverPP(Sampler):
    """Extrapolates ``x_hat`` linearly in the log signal-to-noise ratio; one evaluation per step.

    With ``lambda = log(alpha / sigma)``, ``h = lambda_s - lambda_t`` and ``h'`` that of the step
    before:

        D = x_hat + h / (2 h') (x_hat - x_hat')
        x_s = sigma_s / sigma_t x_t + alpha_s (1 - exp(-h)) D

    The first step and the last, whose h is infinite, take ``D = x_hat``.

    Args:
        spacing: Spacing of the times; see `time_grid`.
        rho: Exponent of ``karras``.

    References:
        Lu, Zhou, Bao, Chen, Li and Zhu 2022, arXiv:2211.01095, algorithm 2.
    """

    default_num_steps: ClassVar[int] = 20

    def __init__(self, spacing: Spacing = "log_snr", rho: float = 7.0) -> None:
        self.spacing = spacing
        self.rho = rho

    def times(self, schedule: Schedule, num_steps: int) -> Tensor:
        """Return the times; see `Sampler.times`."""
        return time_grid(schedule, num_steps, self.spacing, self.rho)

    def step(
        self,
        denoiser: Denoiser,
        x_t: Tensor,
        t: Tensor,
        s: Tensor,
        state: State,
        condition: Condition | None = None,
        noise: Streams | None = None,
    ) -> tuple[Tensor, Tensor, State]:
        """Go from time t to time s; see `Sampler.step`."""
        schedule = denoiser.schedule
        x_hat: Tensor = denoiser(x_t, t, condition)
        next_state = State(step=state.step + 1, t=t, x_hat=x_hat)
        if s == 0:
            return x_hat, x_hat, next_state
        _, sigma_t = schedule(t)
        alpha_s, sigma_s = schedule(s)
        h = 0.5 * (schedule.log_snr(s) - schedule.log_snr(t))
        estimate = x_hat
        if state.x_hat is not None and state.t is not None:
            h_before = 0.5 * (schedule.log_snr(t) - schedule.log_snr(state.t))
            estimate = x_hat + h / (2 * h_before) * (x_hat - state.x_hat)
        x_s = sigma_s / sigma_t * x_t - alpha_s * torch.expm1(-h) * estimate
        return x_s, x_hat, next_state
