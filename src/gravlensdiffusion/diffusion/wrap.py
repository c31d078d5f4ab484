"""Denoisers around denoisers: guidance and clipping, so that every sampler takes them unchanged."""

import math

import torch
from torch import Tensor

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.diffusion.denoise import Denoiser, per_image
from gravlensdiffusion.errors import GravLensError


class _WrappedDenoiser(Denoiser):
    """A denoiser that changes the estimates of another; training is that of the one inside.

    Args:
        denoiser: The denoiser inside.
    """

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.schedule, self.expected = denoiser.schedule, denoiser.expected

    def loss(self, x: Tensor, t: Tensor, eps: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the loss of the denoiser inside; see `Denoiser.loss`."""
        return self.denoiser.loss(x, t, eps, condition)

    def sample_t(self, u: Tensor) -> Tensor:
        """Return training times of the denoiser inside; see `Denoiser.sample_t`."""
        return self.denoiser.sample_t(u)


class GuidedDenoiser(_WrappedDenoiser):
    """Guidance away from a worse estimate: ``x_hat = worse + scale (own - worse)``.

    The worse estimate is that of a weaker denoiser of the same condition (autoguidance), or, where
    there is none, the denoiser's own with the condition dropped (classifier-free guidance, one
    evaluation of a doubled batch). A scale of 1 is the denoiser's own estimate itself, 0 the worse one.

    Args:
        denoiser: The denoiser; without ``weak``, one trained with conditions dropped at random.
        scale: Strength of guidance.
        weak: A weaker denoiser of the same images and times, or None.
        keeps_parameters: Whether only the class is dropped, and not what tells the images' mean.

    References:
        Ho and Salimans 2022, arXiv:2207.12598, equation 6; Karras et al. 2024, arXiv:2406.02507,
        equation 3 (a weaker model).
    """

    def __init__(
        self,
        denoiser: Denoiser,
        scale: float,
        weak: Denoiser | None = None,
        *,
        keeps_parameters: bool = False,
    ) -> None:
        super().__init__(denoiser)
        if not 0 <= scale < math.inf:
            raise GravLensError(f"the guidance scale must not be negative, got {scale}")
        self.scale = scale
        self.weak = weak
        self.keeps_parameters = keeps_parameters

    def forward(self, x_t: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Estimate the clean images; see `Denoiser.forward`."""
        if self.scale == 1 or (condition is None and self.weak is None):
            return self.denoiser(x_t, t, condition)
        if self.weak is not None:
            worse: Tensor = self.weak(x_t, t, condition)
            return worse + self.scale * (self.denoiser(x_t, t, condition) - worse)
        assert condition is not None
        t = per_image(t, x_t)
        both = _joined(condition, condition.dropped(keeps_parameters=self.keeps_parameters))
        x_hat: Tensor = self.denoiser(torch.cat([x_t, x_t]), torch.cat([t, t]), both)
        conditioned, free = x_hat.chunk(2)
        return free + self.scale * (conditioned - free)


class ClippedDenoiser(_WrappedDenoiser):
    """A denoiser whose estimates are held inside the range of the data, -1 to 1 in model units."""

    def forward(self, x_t: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Estimate the clean images; see `Denoiser.forward`."""
        x_hat: Tensor = self.denoiser(x_t, t, condition)
        return x_hat.clamp(-1.0, 1.0)


def _joined(first: Condition, second: Condition) -> Condition:
    """Return one condition for two batches."""
    label = torch.cat([first.label, second.label])
    if first.parameters is None or second.parameters is None:
        return Condition(label=label)
    return Condition(label=label, parameters=torch.cat([first.parameters, second.parameters]))
