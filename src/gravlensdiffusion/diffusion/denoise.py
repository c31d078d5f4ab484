"""Denoisers: a bare network with its preconditioning, prediction type and loss.

A denoiser gives ``x_hat``, the mean of the clean image given the noisy one. Samplers see nothing
else, so epsilon, v and x0 networks end here, what sampling changes of them in `guidance`. A network is called as
``net(x, noise, condition)`` with ``noise`` of shape ``(B,)`` as its denoiser defines it.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.diffusion.noise import DiscreteSchedule, NoiseLevelMixture, Schedule

Expected = Callable[[Condition | None, Tensor], tuple[Tensor, Tensor, Tensor | None]]
"""What is known of images before any is seen: from a condition, and images of the shape, device and precision that is
wanted, their mean, standard deviation about it (that may be ``(B, 1, 1, 1)``), and greatest values, None for any."""

Prediction = Literal["epsilon", "v", "x0"]

HIDDEN_SCALE = 0.02
"""Standard deviation below which errors count for less, since the noise of an instrument hides them [data units]."""

MIN_LEVEL = 3.0
"""Lowest level at which a denoiser learns from images with noise of their own [their noise]: there an error of a
tenth in what their noise is taken for is one of a hundredth in what is learned."""


class Denoiser(nn.Module, ABC):
    """The contract of all denoisers.

    Attributes:
        schedule: The noise schedule that gives times their meaning.
        expected: What is known of the images of a condition; None for zero mean and unit variance.
    """

    schedule: Schedule
    expected: Expected | None

    def __init__(self) -> None:
        super().__init__()
        self.expected = None

    @abstractmethod
    def forward(self, x_t: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Estimate the clean images.

        Args:
            x_t: Noisy images, shape ``(B, C, H, W)``.
            t: Times in (0, 1], shape ``(B,)`` or ``()``.
            condition: What the images are asked to be; None for anything.

        Returns:
            ``x_hat``, shape ``(B, C, H, W)``.
        """

    @abstractmethod
    def loss(self, x: Tensor, t: Tensor, eps: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the training loss of each image, its mean over channels and pixels.

        Args:
            x: Clean images, shape ``(B, C, H, W)``.
            t: Times in (0, 1], shape ``(B,)``.
            eps: Standard normal noise, shape ``(B, C, H, W)``.
            condition: What the images are; None for anything.

        Returns:
            The losses, shape ``(B,)``.
        """

    @abstractmethod
    def sample_t(self, u: Tensor) -> Tensor:
        """Map uniform numbers in (0, 1), shape ``(B,)``, to training times, float64, not decreasing."""


class IndexedDenoiser(Denoiser):
    """A network that is told the discrete index ``t N - 1`` of the noise level.

    It predicts ``epsilon``, the noise, ``v = alpha_t eps - sigma_t x``, or ``x0``, the clean image:

        x_hat = (x_t - sigma_t eps) / alpha_t = alpha_t x_t - sigma_t v

    The loss is the plain mean square error of the network's own target, and training times are
    uniform over the N indices.

    Args:
        net: The network.
        schedule: A schedule with discrete steps.
        prediction: What the network predicts.
        clip: Whether estimates are held in the range of the data, -1 to 1 in model units.

    References:
        Ho, Jain and Abbeel 2020, arXiv:2006.11239, equation 14; Salimans and Ho 2022,
        arXiv:2202.00512, appendix D (v).
    """

    schedule: DiscreteSchedule

    def __init__(
        self, net: nn.Module, schedule: DiscreteSchedule, prediction: Prediction, clip: bool = False
    ) -> None:
        super().__init__()
        self.net, self.schedule, self.prediction, self.clip = net, schedule, prediction, clip

    def forward(self, x_t: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Estimate the clean images; see `Denoiser.forward`."""
        t = per_image(t, x_t)
        alpha_t, sigma_t = (shaped(level, x_t).to(x_t.dtype) for level in self.schedule(t))
        output: Tensor = self.net(x_t, self.schedule.index(t).to(x_t.dtype), condition)
        x_hat = output
        if self.prediction == "epsilon":
            x_hat = (x_t - sigma_t * output) / alpha_t
        elif self.prediction == "v":
            x_hat = alpha_t * x_t - sigma_t * output
        return x_hat.clamp(-1.0, 1.0) if self.clip else x_hat

    def loss(self, x: Tensor, t: Tensor, eps: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the loss of each image; see `Denoiser.loss`."""
        t = per_image(t, x)
        alpha_t, sigma_t = (shaped(level, x).to(x.dtype) for level in self.schedule(t))
        x_t = alpha_t * x + sigma_t * eps
        output = self.net(x_t, self.schedule.index(t).to(x.dtype), condition)
        target = {"epsilon": eps, "v": alpha_t * eps - sigma_t * x, "x0": x}[self.prediction]
        return _mean_square(output - target)

    def sample_t(self, u: Tensor) -> Tensor:
        """Return the time of index ``floor(u N)``; see `Denoiser.sample_t`."""
        num_steps = self.schedule.num_steps
        index = torch.floor(u.to(torch.float64) * num_steps).clamp(0, num_steps - 1)
        return (index + 1) / num_steps


class PreconditionedDenoiser(Denoiser):
    """A network whose input and target have unit variance at every noise level.

    With ``y = x_t / alpha_t`` and ``r = sigma_t / alpha_t``:

        x_hat = c_skip y + c_out net(c_in y, c_noise)
        c_skip = s^2 / (r^2 + s^2),  c_out = r s / sqrt(r^2 + s^2)
        c_in = 1 / sqrt(r^2 + s^2),  c_noise = log(r) / 4

    where s is 1. The loss is ``(x_hat - x)^2 / c_out^2``, that is the mean square error
    of the raw network against a target of unit variance. Training noise levels follow
    `NoiseLevelMixture`.

    Without `skip`, ``x_hat`` is s times the network's output, and the loss is
    ``(x_hat - x)^2 / (c_out^2 + s^2 f^2)`` with the ``c_out`` from above and f the `floor`. The network
    then never has to pass the noise of a patch through to its output.

    Where it is known what to expect, mean m and standard deviation s of an image, or of each of its pixels, follow
    from its condition, and all of the above is of ``x - m`` and that s, in the loss without `skip` of one of at
    least `HIDDEN_SCALE`. Estimates are held below the greatest values that images can have.

    Args:
        net: The network.
        schedule: Any schedule.
        uniform_fraction: Fraction of training with ``log r`` uniform over the schedule's range.
        p_mean: Mean of ``log r`` in the rest of training.
        p_std: Its standard deviation.
        skip: Whether the noisy image is part of the estimate.
        floor: Error of the estimate below which nothing is gained, in units of s (without `skip`
            only).
        noise: Standard deviation s of white noise in the images (without `skip` only). With r the
            noise-to-signal ratio, the network sees the image as one of ratio ``sqrt(r^2 + s^2)``
            and gives the image without its noise, ``F``; the estimate is
            ``F + s^2 / (r^2 + s^2) (x_t / alpha_t - F)``, which is exact where F is.
        keeps_noise: Whether the estimate is the image with that noise. If not, the loss is the
            same, and the estimate is F: a model of images without noise learns from noisy ones,
            at levels of `MIN_LEVEL` times their own noise or more.
        expected: What is known of the images of a condition; None for zero mean and unit variance.
        spectrum: Power of that noise over its mean where it is not white, at the frequencies of ``torch.fft.rfft2``,
            shape ``(H, W // 2 + 1)``: in the loss, ``s^2`` is that at each frequency.

    References:
        Karras, Aittala, Aila and Laine 2022, arXiv:2206.00364, table 1; Li and He 2025, arXiv:2511.13720
        (clean images of patches); Daras, Dimakis and Daskalakis 2024, arXiv:2404.10177 (known noise).
    """

    def __init__(
        self,
        net: nn.Module,
        schedule: Schedule,
        *,
        uniform_fraction: float = 0.3,
        p_mean: float = -0.5,
        p_std: float = 1.2,
        skip: bool = True,
        floor: float = 0.0,
        noise: float = 0.0,
        keeps_noise: bool = True,
        spectrum: Tensor | None = None,
        expected: Expected | None = None,
    ) -> None:
        super().__init__()
        self.net, self.schedule = net, schedule
        self.skip, self.floor, self.noise, self.keeps_noise = skip, floor, noise, keeps_noise
        self.spectrum, self.expected = spectrum, expected
        ends = (torch.tensor(t, dtype=torch.float64) for t in (schedule.t_min, 1.0))
        self._lowest, highest = (-0.5 * schedule.log_snr(t).item() for t in ends)
        own = math.log(MIN_LEVEL * noise) if noise and not keeps_noise else -math.inf
        first = max(self._lowest, own)
        self._levels = NoiseLevelMixture(first, highest, uniform_fraction, p_mean, p_std)

    def forward(self, x_t: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Estimate the clean images; see `Denoiser.forward`."""
        t = per_image(t, x_t)
        noise = self.noise if self.keeps_noise else 0.0
        mean, std, greatest = self._expected(condition, x_t)
        alpha_t, sigma_t = (shaped(level, x_t) for level in self.schedule(t))
        dtype = x_t.dtype
        if mean is not None:
            x_t = x_t - alpha_t.to(dtype) * mean
        variance = (sigma_t / alpha_t) ** 2 + std**2
        c_skip = std**2 / variance / alpha_t
        c_out = sigma_t / alpha_t * std * variance.rsqrt()
        c_in = (variance + noise**2).rsqrt() / alpha_t
        output = self.net(c_in.to(dtype) * x_t, self._c_noise(t, x_t, noise), condition)
        if self.skip:
            x_hat = c_skip.to(dtype) * x_t + c_out.to(dtype) * output
        else:
            kept = _kept(sigma_t / alpha_t, noise)
            x_hat = (std * (1 - kept)).to(dtype) * output
            if noise:
                x_hat = x_hat + (kept / alpha_t).to(dtype) * x_t
        x_hat = x_hat if mean is None else x_hat + mean
        return x_hat if greatest is None else torch.minimum(x_hat, greatest)

    def loss(self, x: Tensor, t: Tensor, eps: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the loss of each image; see `Denoiser.loss`."""
        t = per_image(t, x)
        alpha_t, sigma_t = self.schedule(t)
        ratio = shaped(sigma_t / alpha_t, x)
        mean, std, _ = self._expected(condition, x)
        if mean is not None:
            x = x - mean
        c_in = (ratio**2 + std**2 + self.noise**2).rsqrt()
        seen = c_in.to(x.dtype) * x + (c_in * ratio).to(x.dtype) * eps
        output = self.net(seen, self._c_noise(t, x, self.noise), condition)
        if not self.skip:
            error = output - x / std.to(x.dtype)
            if self.noise:
                noisy = error - (ratio / std).to(x.dtype) * eps
                error = error - self._share_of_images(noisy, ratio)
            c_out = ratio * (ratio**2 + std**2).rsqrt()
            share = 1.0 if mean is None else (std / HIDDEN_SCALE).clamp(max=1)
            return _mean_square(error * (share * (c_out**2 + self.floor**2).rsqrt()).to(x.dtype))
        # (x - c_skip y) / c_out, written without the difference that cancels at low noise.
        target = (c_in * ratio / std).to(x.dtype) * x - (c_in * std).to(x.dtype) * eps
        return _mean_square(output - target)

    def sample_t(self, u: Tensor) -> Tensor:
        """Return times of the training mixture; see `Denoiser.sample_t`."""
        return self.schedule.t_from_log_snr(-2 * self._levels.quantile(u))

    def _expected(
        self, condition: Condition | None, like: Tensor
    ) -> tuple[Tensor | None, Tensor, Tensor | None]:
        """Return what is `Expected`, None for a mean of zero; the standard deviation in float64."""
        if self.expected is None:
            return None, shaped(like.new_ones(len(like), dtype=torch.float64), like), None
        mean, std, greatest = self.expected(condition, like)
        return mean, std.double(), greatest

    def _share_of_images(self, noise: Tensor, ratio: Tensor) -> Tensor:
        """Return which part of noise, ``(B, C, H, W)``, is likely to be that of the images."""
        if self.spectrum is None:
            return _kept(ratio, self.noise).to(noise.dtype) * noise
        power = self.noise**2 * self.spectrum.to(noise)
        share = power / (ratio.to(noise.dtype) ** 2 + power)
        return torch.fft.irfft2(torch.fft.rfft2(noise.float()) * share, s=noise.shape[-2:])

    def _c_noise(self, t: Tensor, like: Tensor, noise: float) -> Tensor:
        log_ratio = (-0.5 * self.schedule.log_snr(t)).clamp(min=self._lowest)
        if noise:
            log_ratio = 0.5 * torch.log(torch.exp(2 * log_ratio) + noise**2)
        return (log_ratio / 4).to(like.dtype)


def _kept(ratio: Tensor, noise: float) -> Tensor:
    """Return which share of what the network takes for noise is that of the images."""
    return noise**2 / (ratio**2 + noise**2) if noise else torch.zeros_like(ratio)


def per_image(t: Tensor, x: Tensor) -> Tensor:
    """Return times as float64 of shape ``(B,)`` beside the images."""
    return t.to(device=x.device, dtype=torch.float64).expand(len(x))


def shaped(value: Tensor, x: Tensor) -> Tensor:
    """Return one number per image, shaped to multiply the images."""
    return value.reshape(-1, *(1,) * (x.ndim - 1))


def _mean_square(difference: Tensor) -> Tensor:
    """Return the mean square of each image, shape ``(B,)``, in single precision at least."""
    return difference.float().square().flatten(1).mean(1)
