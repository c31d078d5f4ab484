"""Noise schedules: how much signal and how much noise an image holds at time t.

Time t runs from 0, the clean image, to 1, noise. With standard normal ``eps`` of the image's shape

    x_t = alpha_t x + sigma_t eps,    alpha_t^2 + sigma_t^2 = 1

A schedule is a monotone curve from t to the noise-to-signal ratio ``r = sigma_t / alpha_t``, given
at knots. Between knots ``log r`` is linear in t. Below the first knot, at ``t_min``, ``r`` falls
linearly to zero, so t = 0 is clean exactly. Nothing is trained or evaluated between 0 and ``t_min``:
samplers end with one exact step from ``t_min`` to 0. What numbers are allowed, `config.model` says.
"""

import math

import torch
from torch import Tensor

from gravlensdiffusion.errors import GravLensError


class Schedule:
    """A variance-preserving noise schedule through given knots.

    Attributes:
        t_min: Time of the lowest noise level that a network meets.

    Args:
        times: Times of the knots, increasing from ``t_min`` > 0 to 1, shape ``(K,)``.
        log_ratios: ``log(sigma_t / alpha_t)`` at the knots, increasing, shape ``(K,)``.
    """

    def __init__(self, times: Tensor, log_ratios: Tensor) -> None:
        self._times = times.to(torch.float64)
        self._log_ratios = log_ratios.to(torch.float64)
        self.t_min = float(times[0])

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``alpha_t`` and ``sigma_t``, each of the shape and dtype of `t`."""
        log_snr = self.log_snr(t)
        return torch.sigmoid(log_snr).sqrt(), torch.sigmoid(-log_snr).sqrt()

    def log_snr(self, t: Tensor) -> Tensor:
        """Return ``log(alpha_t^2 / sigma_t^2)``, infinite at t = 0."""
        time = t.to(torch.float64)
        log_ratio = _interpolate(time, self._times, self._log_ratios)
        below = torch.log(time / self.t_min) + self._log_ratios[0].item()
        return (-2 * torch.where(time < self.t_min, below, log_ratio)).to(t.dtype)

    def t_from_log_snr(self, log_snr: Tensor) -> Tensor:
        """Return the time of a log signal-to-noise ratio; ratios below that of t = 1 give 1."""
        log_ratio = -0.5 * log_snr.to(torch.float64)
        lowest = self._log_ratios[0].item()
        time = _interpolate(log_ratio, self._log_ratios, self._times)
        below = self.t_min * torch.exp((log_ratio - lowest).clamp(max=0))
        return torch.where(log_ratio < lowest, below, time).to(log_snr.dtype)

    def snap(self, t: Tensor) -> Tensor:
        """Return the nearest time at which a network may have been trained."""
        return t.clamp(self.t_min, 1.0)


class DiscreteSchedule(Schedule):
    """A schedule of N discrete variances; the knot of index i lies at ``t = (i + 1) / N``.

    ``alpha_t^2`` at index i is the product of ``1 - beta_j`` over j up to i, which is written
    ``abar_i`` in the literature.

    Attributes:
        betas: The variances, float64 of shape ``(N,)``.
        num_steps: N.

    References:
        Ho, Jain and Abbeel 2020, arXiv:2006.11239, equation 4.
    """

    def __init__(self, betas: Tensor) -> None:
        self.betas = betas.to(torch.float64)
        self.num_steps = len(betas)
        times = torch.arange(1, self.num_steps + 1, dtype=torch.float64) / self.num_steps
        log_alpha_squared = torch.log1p(-self.betas).cumsum(0)
        log_sigma_squared = torch.log(-torch.expm1(log_alpha_squared))
        super().__init__(times, 0.5 * (log_sigma_squared - log_alpha_squared))

    def index(self, t: Tensor) -> Tensor:
        """Return the index of a time, ``t N - 1``: a whole number on the knots, never below 0."""
        return (t.to(torch.float64) * self.num_steps - 1).clamp(min=0)

    def snap(self, t: Tensor) -> Tensor:
        """Return the time of the nearest index."""
        index = torch.round(t * self.num_steps).clamp(1, self.num_steps)
        return index / self.num_steps


class DDPMSchedule(DiscreteSchedule):
    """The linear schedule: betas evenly spaced from `beta_min` to `beta_max`.

    References:
        Ho, Jain and Abbeel 2020, arXiv:2006.11239, section 4.
    """

    def __init__(
        self, num_steps: int = 1000, beta_min: float = 1e-4, beta_max: float = 0.02
    ) -> None:
        super().__init__(torch.linspace(beta_min, beta_max, num_steps, dtype=torch.float64))


class ScaledLinearSchedule(DiscreteSchedule):
    """The linear schedule of latent diffusion: roots of betas evenly spaced.

    References:
        Rombach, Blattmann, Lorenz, Esser and Ommer 2022, arXiv:2112.10752, in their code.
    """

    def __init__(
        self, num_steps: int = 1000, beta_min: float = 0.00085, beta_max: float = 0.012
    ) -> None:
        betas = DDPMSchedule(num_steps, math.sqrt(beta_min), math.sqrt(beta_max)).betas
        super().__init__(betas**2)


class CosineSchedule(DiscreteSchedule):
    """The cosine schedule, in discrete steps.

    ``abar(t) = cos^2((t + 0.008) / 1.008 pi / 2)`` up to normalisation at t = 0; betas are limited
    to 0.999, since abar(1) is zero.

    References:
        Nichol and Dhariwal 2021, arXiv:2102.09672, equation 17.
    """

    def __init__(self, num_steps: int = 1000) -> None:
        t = torch.linspace(0, 1, num_steps + 1, dtype=torch.float64)
        abar = torch.cos((t + 0.008) / 1.008 * (math.pi / 2)) ** 2
        super().__init__((1 - abar[1:] / abar[:-1]).clamp(max=0.999))


class VariancePreservingLogSNR(Schedule):
    """Log signal-to-noise ratio linear in time.

    ``log r`` goes linearly from ``log sigma_min`` at ``t_min = 0.001`` to ``log sigma_max`` at
    t = 1, with ``r = sigma_t / alpha_t``.

    Args:
        sigma_min: Lowest noise-to-signal ratio, in units of the model's data.
        sigma_max: Highest noise-to-signal ratio, in the same units.

    References:
        Kingma, Salimans, Poole and Ho 2021, arXiv:2107.00630, section 3.
    """

    def __init__(self, sigma_min: float = 1e-3, sigma_max: float = 100.0) -> None:
        times = torch.tensor([1e-3, 1.0], dtype=torch.float64)
        super().__init__(times, torch.tensor([sigma_min, sigma_max], dtype=torch.float64).log())


class NoiseLevelMixture:
    """The distribution of ``log r`` in training: uniform, mixed with a truncated normal.

    Uniform alone spends much on levels that are easily learned, the normal alone never sees the
    extremes: the low end sets the noise of the sky, the high end the total flux.

    Args:
        lowest: Lower end of ``log r``.
        highest: Upper end of ``log r``.
        uniform_fraction: Weight of the uniform part, in [0, 1].
        p_mean: Mean of the normal part before truncation to the range.
        p_std: Its standard deviation.
    """

    def __init__(
        self, lowest: float, highest: float, uniform_fraction: float, p_mean: float, p_std: float
    ) -> None:
        self._log_ratios = torch.linspace(lowest, highest, 4097, dtype=torch.float64)
        uniform = torch.linspace(0, 1, 4097, dtype=torch.float64)
        normal = torch.special.ndtr((self._log_ratios - p_mean) / p_std)
        mass = (normal[-1] - normal[0]).item()
        if mass < 1e-6:
            raise GravLensError(
                f"p_mean={p_mean} lies too far outside of the noise levels, whose log r goes from "
                f"{lowest:.3g} to {highest:.3g}"
            )
        normal = (normal - normal[0]) / mass
        self._cdf = uniform_fraction * uniform + (1 - uniform_fraction) * normal

    def quantile(self, u: Tensor) -> Tensor:
        """Return ``log r`` below which the fraction `u` lies, float64 of the shape of `u`."""
        return _interpolate(u.to(torch.float64), self._cdf, self._log_ratios)


def _interpolate(x: Tensor, knots: Tensor, values: Tensor) -> Tensor:
    """Interpolate linearly between knots that never decrease, constant beyond them."""
    if len(knots) == 1:
        return values.to(x.device).expand_as(x)
    knots, values = knots.to(x.device), values.to(x.device)
    x = torch.maximum(torch.minimum(x, knots[-1]), knots[0])
    right = torch.searchsorted(knots, x.contiguous()).clamp(1, len(knots) - 1)
    # Far out in the tails of a distribution neighbouring knots may be equal.
    weight = (x - knots[right - 1]) / (knots[right] - knots[right - 1]).clamp(min=1e-300)
    return torch.lerp(values[right - 1], values[right], weight)
