"""The samplers: ancestral, implicit, two of second order, and that of distilled models."""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from gravlensdiffusion.diffusion.noise import Schedule
from gravlensdiffusion.diffusion.sampler import Sampler, Spacing, Step
from gravlensdiffusion.errors import GravLensError


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

    def _x_s(self, at: Step) -> Tensor:
        (alpha_t, sigma_t), (alpha_s, sigma_s) = at.levels
        a = alpha_t / alpha_s
        variance = sigma_t**2 - a**2 * sigma_s**2
        x_s = a * (sigma_s / sigma_t) ** 2 * at.x_t + alpha_s * variance / sigma_t**2 * at.x_hat
        if at.s > 0:
            x_s = x_s + torch.sqrt(variance) * sigma_s / sigma_t * at.noise()
        return x_s


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

    def _x_s(self, at: Step) -> Tensor:
        (alpha_t, sigma_t), (alpha_s, sigma_s) = at.levels
        eps_hat = (at.x_t - alpha_t * at.x_hat) / sigma_t
        ratio = alpha_t * sigma_s / (alpha_s * sigma_t)
        renewed = self.eta**2 * sigma_s**2 * (1 - ratio**2)
        x_s = alpha_s * at.x_hat + torch.sqrt(sigma_s**2 - renewed) * eps_hat
        if at.s > 0 and self.eta > 0:
            x_s = x_s + torch.sqrt(renewed) * at.noise()
        return x_s


class DPMSolverPP(Sampler):
    """Extrapolates ``x_hat`` linearly in the log signal-to-noise ratio; one evaluation per step.

    With ``lambda = log(alpha / sigma)``, ``h = lambda_s - lambda_t`` and ``h'`` that of the step
    before:

        D = x_hat + h / (2 h') (x_hat - x_hat')
        x_s = sigma_s / sigma_t x_t + alpha_s (1 - exp(-h)) D

    The first step and the last, whose h is infinite, take ``D = x_hat``.

    References:
        Lu, Zhou, Bao, Chen, Li and Zhu 2022, arXiv:2211.01095, algorithm 2.
    """

    default_num_steps: ClassVar[int] = 20
    spacing: Spacing = "log_snr"

    def _x_s(self, at: Step) -> Tensor:
        if at.s == 0:
            return at.x_hat
        before, log_snr = at.state, at.denoiser.schedule.log_snr
        (_, sigma_t), (alpha_s, sigma_s) = at.levels
        h = 0.5 * (log_snr(at.s) - log_snr(at.t))
        estimate = at.x_hat
        if before.x_hat is not None and before.t is not None:
            h_before = 0.5 * (log_snr(at.t) - log_snr(before.t))
            estimate = at.x_hat + h / (2 * h_before) * (at.x_hat - before.x_hat)
        return sigma_s / sigma_t * at.x_t - alpha_s * torch.expm1(-h) * estimate


class Heun(Sampler):
    """Second order in the noise-to-signal ratio; two evaluations per step, one in the last.

    With ``y = x_t / alpha_t`` and ``r = sigma_t / alpha_t`` the flow is ``dy/dr = (y - x_hat) / r``.
    A step takes the mean of the slopes at both ends; the last step, to r = 0, where there is no
    slope, is Euler's and gives ``x_hat``.

    References:
        Karras, Aittala, Aila and Laine 2022, arXiv:2206.00364, algorithm 1.
    """

    default_num_steps: ClassVar[int] = 18
    spacing: Spacing = "karras"

    def _x_s(self, at: Step) -> Tensor:
        if at.s == 0:
            return at.x_hat
        (alpha_t, sigma_t), (alpha_s, sigma_s) = at.levels
        r_t, r_s = sigma_t / alpha_t, sigma_s / alpha_s
        y_t = at.x_t / alpha_t
        slope = (y_t - at.x_hat) / r_t
        y_s = y_t + (r_s - r_t) * slope
        slope_s = (y_s - at.denoiser(alpha_s * y_s, at.s, at.condition)) / r_s
        y_s = y_t + 0.5 * (r_s - r_t) * (slope + slope_s)
        return alpha_s * y_s


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

    def _x_s(self, at: Step) -> Tensor:
        _, (alpha_s, sigma_s) = at.levels
        return alpha_s * at.x_hat + sigma_s * at.noise() if at.s > 0 else at.x_hat
