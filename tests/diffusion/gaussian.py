"""The exact denoiser of Gaussian data, against which samplers and losses are measured."""

import torch
from torch import Tensor

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.diffusion.denoise import Denoiser
from gravlensdiffusion.diffusion.noise import Schedule
from gravlensdiffusion.diffusion.randomness import Streams
from gravlensdiffusion.diffusion.sampler import Sampler, Spacing, trajectory


class GaussianDenoiser(Denoiser):
    """The posterior mean of normal data of known mean and covariance.

        x_hat = mean + alpha_t S (alpha_t^2 S + sigma_t^2 I)^-1 (x_t - alpha_t mean)

    Args:
        mean: Mean, shape ``(C, H, W)``.
        covariance: Covariance S of the flattened images, shape ``(D, D)``, D = C H W.
        schedule: Any schedule.
    """

    def __init__(self, mean: Tensor, covariance: Tensor, schedule: Schedule) -> None:
        super().__init__()
        self.schedule = schedule
        values, vectors = torch.linalg.eigh(covariance.to(torch.float64))
        self.mean = mean.to(torch.float64)
        self.variances = values.clamp(min=0)
        self.directions = vectors

    def forward(self, x_t: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Estimate the clean images; see `Denoiser.forward`."""
        alpha_t, sigma_t = self._levels(t)
        gain = alpha_t * self.variances / (alpha_t**2 * self.variances + sigma_t**2)
        modes = self._modes(x_t) - alpha_t * self._modes(self.mean[None])
        return self._images(self._modes(self.mean[None]) + gain * modes, x_t)

    def loss(self, x: Tensor, t: Tensor, eps: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the mean square error of ``x_hat``; its expectation is `expected_loss`."""
        alpha_t, sigma_t = (level.to(x.dtype)[..., None, None] for level in self._levels(t))
        x_hat = self(alpha_t * x + sigma_t * eps, t)
        return (x_hat - x).square().flatten(1).mean(1)

    def expected_loss(self, t: Tensor) -> Tensor:
        """Return the mean posterior variance per pixel at times of shape ``(B,)``."""
        alpha_t, sigma_t = self.schedule(t.to(torch.float64)[:, None])
        posterior = self.variances * sigma_t**2 / (alpha_t**2 * self.variances + sigma_t**2)
        return posterior.mean(1)

    def sample_t(self, u: Tensor) -> Tensor:
        """Return times uniform between ``t_min`` and 1."""
        return self.schedule.t_min + (1 - self.schedule.t_min) * u.to(torch.float64)

    def flow(self, x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """Carry images from time t to s along the probability-flow equation, exactly.

        Each mode keeps its distance from the mean in units of its standard deviation,
        ``sqrt(alpha^2 variance + sigma^2)``.
        """
        alpha_t, sigma_t = self._levels(t)
        alpha_s, sigma_s = self._levels(s)
        mean = self._modes(self.mean[None])
        spread_t = torch.sqrt(alpha_t**2 * self.variances + sigma_t**2)
        spread_s = torch.sqrt(alpha_s**2 * self.variances + sigma_s**2)
        modes = alpha_s * mean + spread_s / spread_t * (self._modes(x_t) - alpha_t * mean)
        return self._images(modes, x_t)

    def _levels(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return self.schedule(t.to(torch.float64).reshape(-1, 1))

    def _modes(self, images: Tensor) -> Tensor:
        return images.to(torch.float64).flatten(1) @ self.directions

    def _images(self, modes: Tensor, like: Tensor) -> Tensor:
        return (modes @ self.directions.T).reshape(like.shape).to(like.dtype)


def spaced(sampler: Sampler, spacing: Spacing) -> Sampler:
    """Return a sampler whose times are spaced otherwise."""
    sampler.spacing = spacing
    return sampler


def sample(
    denoiser: Denoiser,
    sampler: Sampler,
    x_T: Tensor,
    num_steps: int,
    condition: Condition | None = None,
    streams: Streams | None = None,
) -> Tensor:
    """Return the finished images of a trajectory."""
    finished = x_T
    times = sampler.times(denoiser.schedule, num_steps)
    for _, x_t, _ in trajectory(denoiser, sampler, x_T, times, condition, streams):
        finished = x_t
    return finished
