"""Ancestral sampling."""

from typing import ClassVar

import torch
from torch import Tensor

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.diffusion.denoise import Denoiser
from gravlensdiffusion.diffusion.noise import Schedule
from gravlensdiffusion.diffusion.randomness import Streams
from gravlensdiffusion.diffusion.samplers.base import Sampler, State, draw_noise, time_grid


class DDPM(Sampler):
    """Draws from the posterior of the forward process given ``x_hat``.

    With ``a = alpha_t / alpha_s`` and ``v = sigma_t^2 - a^2 sigma_s^2``:

        x_s = a sigma_s^2 / sigma_t^2 x_t + alpha_s v / sigma_t^2 x_hat
              + sqrt(v) sigma_s / sigma_t z

    On neighbouring discrete steps the variance is ``beta_t (1 - abar_{t-1}) / (1 - abar_t)``; the
    last step adds no noise. Fewer steps than the schedule has skip levels evenly.

    References:
        Ho, Jain and Abbeel 2020, arXiv:2006.11239, equations 6 and 7.
    """

    default_num_steps: ClassVar[int] = 1000

    def times(self, schedule: Schedule, num_steps: int) -> Tensor:
        """Return times even in t; see `Sampler.times`."""
        return time_grid(schedule, num_steps, "time")

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
        alpha_t, sigma_t = denoiser.schedule(t)
        alpha_s, sigma_s = denoiser.schedule(s)
        x_hat: Tensor = denoiser(x_t, t, condition)
        a = alpha_t / alpha_s
        variance = sigma_t**2 - a**2 * sigma_s**2
        x_s = a * (sigma_s / sigma_t) ** 2 * x_t + alpha_s * variance / sigma_t**2 * x_hat
        if s > 0:
            spread = torch.sqrt(variance) * sigma_s / sigma_t
            x_s = x_s + spread * draw_noise(noise, state, x_t)
        return x_s, x_hat, State(step=state.step + 1)
