"""Heun's method on the probability-flow equation."""

from typing import ClassVar

from torch import Tensor

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.diffusion.denoise import Denoiser
from gravlensdiffusion.diffusion.noise import Schedule
from gravlensdiffusion.diffusion.randomness import Streams
from gravlensdiffusion.diffusion.samplers.base import Sampler, Spacing, State, time_grid


class Heun(Sampler):
    """Second order in the noise-to-signal ratio; two evaluations per step, one in the last.

    With ``y = x_t / alpha_t`` and ``r = sigma_t / alpha_t`` the flow is ``dy/dr = (y - x_hat) / r``.
    A step takes the mean of the slopes at both ends; the last step, to r = 0, where there is no
    slope, is Euler's and gives ``x_hat``.

    Args:
        spacing: Spacing of the times; see `time_grid`.
        rho: Exponent of ``karras``.

    References:
        Karras, Aittala, Aila and Laine 2022, arXiv:2206.00364, algorithm 1.
    """

    default_num_steps: ClassVar[int] = 18

    def __init__(self, spacing: Spacing = "karras", rho: float = 7.0) -> None:
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
        alpha_t, sigma_t = denoiser.schedule(t)
        x_hat: Tensor = denoiser(x_t, t, condition)
        next_state = State(step=state.step + 1)
        if s == 0:
            return x_hat, x_hat, next_state
        alpha_s, sigma_s = denoiser.schedule(s)
        r_t, r_s = sigma_t / alpha_t, sigma_s / alpha_s
        y_t = x_t / alpha_t
        slope = (y_t - x_hat) / r_t
        y_s = y_t + (r_s - r_t) * slope
        slope_s = (y_s - denoiser(alpha_s * y_s, s, condition)) / r_s
        y_s = y_t + 0.5 * (r_s - r_t) * (slope + slope_s)
        return alpha_s * y_s, x_hat, next_state
