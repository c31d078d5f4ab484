"""Implicit sampling, deterministic or with a chosen share of noise."""

import math
from typing import ClassVar

import torch
from torch import Tensor

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.diffusion.denoise import Denoiser
from gravlensdiffusion.diffusion.noise import Schedule
from gravlensdiffusion.diffusion.randomness import Streams
from gravlensdiffusion.diffusion.samplers.base import Sampler, State, draw_noise, time_grid
from gravlensdiffusion.errors import GravLensError


class DDIM(Sampler):
    """Keeps the noise that ``x_hat`` leaves and renews part of it.

    With ``eps_hat = (x_t - alpha_t x_hat) / sigma_t`` and ``v = eta^2`` times the variance of
    `DDPM`:

        x_s = alpha_s x_hat + sqrt(sigma_s^2 - v) eps_hat + sqrt(v) z

    Args:
        eta: 0 for the deterministic first-order method, 1 for `DDPM`.

    References:
        Song, Meng and Ermon 2020, arXiv:2010.02502, equations 12 and 16.
    """

    default_num_steps: ClassVar[int] = 50

    def __init__(self, eta: float = 0.0) -> None:
        if not 0 <= eta <= 1 or math.isnan(eta):
            raise GravLensError(f"eta must lie from 0 to 1, got {eta}")
        self.eta = eta

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
        eps_hat = (x_t - alpha_t * x_hat) / sigma_t
        ratio = alpha_t * sigma_s / (alpha_s * sigma_t)
        renewed = self.eta**2 * sigma_s**2 * (1 - ratio**2)
        x_s = alpha_s * x_hat + torch.sqrt(sigma_s**2 - renewed) * eps_hat
        if s > 0 and self.eta > 0:
            x_s = x_s + torch.sqrt(renewed) * draw_noise(noise, state, x_t)
        return x_s, x_hat, State(step=state.step + 1)
