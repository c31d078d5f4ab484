"""Sampling in a few steps with a distilled denoiser."""

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.diffusion.denoise import Denoiser
from gravlensdiffusion.diffusion.noise import Schedule
from gravlensdiffusion.diffusion.randomness import Streams
from gravlensdiffusion.diffusion.samplers.base import Sampler, State, draw_noise
from gravlensdiffusion.errors import GravLensError


class Consistency(Sampler):
    """Takes ``x_hat`` for a finished image, and puts fresh noise on it for the next step.

        x_s = alpha_s x_hat + sigma_s z

    It suits a denoiser that has been distilled: one whose ``x_hat`` is a sharp image rather than
    the mean of many.

    Args:
        levels: Noise-to-signal ratios of the steps after the first, falling, length L. L + 1 steps
            use all of them; a number of steps that divides L + 1 uses every so manieth.

    References:
        Song, Dhariwal, Chen and Sutskever 2023, arXiv:2303.01469, algorithm 1.
    """

    default_num_steps: ClassVar[int] = 1

    def __init__(self, levels: Sequence[float] = ()) -> None:
        if any(b >= a for a, b in pairwise(levels)):
            raise GravLensError(f"the noise levels must fall, got {tuple(levels)}")
        self.levels = tuple(levels)

    def times(self, schedule: Schedule, num_steps: int) -> Tensor:
        """Return the times of the levels; see `Sampler.times`.

        Raises:
            GravLensError: If the levels do not divide among the steps.
        """
        most = len(self.levels) + 1
        if num_steps < 1 or most % num_steps:
            raise GravLensError(f"the levels allow {most} steps and its divisors, not {num_steps}")
        ratios = torch.tensor(self.levels, dtype=torch.float64)
        inner = schedule.t_from_log_snr(-2 * ratios.log())
        ends = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
        return torch.cat([torch.cat([ends[0], inner])[:: most // num_steps], ends[1]])

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
        alpha_s, sigma_s = denoiser.schedule(s)
        x_hat: Tensor = denoiser(x_t, t, condition)
        x_s = x_hat
        if s > 0:
            x_s = alpha_s * x_hat + sigma_s * draw_noise(noise, state, x_t)
        return x_s, x_hat, State(step=state.step + 1)
