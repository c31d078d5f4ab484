"""Denoisers around a denoiser, which change its estimate for sampling: guidance, and epsilon scaling."""

import torch
from torch import Tensor

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.diffusion.denoise import Denoiser, per_image, shaped


class WrappedDenoiser(Denoiser):
    """A denoiser that holds another one, whose schedule and training it keeps.

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


class GuidedDenoiser(WrappedDenoiser):
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
        self.scale, self.weak, self.keeps_parameters = scale, weak, keeps_parameters

    def forward(self, x_t: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Estimate the clean images; see `Denoiser.forward`."""
        own: Tensor
        if self.scale == 1 or (condition is None and self.weak is None):
            own = self.denoiser(x_t, t, condition)
            return own
        if self.weak is not None:
            own, worse = self.denoiser(x_t, t, condition), self.weak(x_t, t, condition)
        else:
            assert condition is not None
            t = per_image(t, x_t)
            both = _joined(condition, condition.dropped(keeps_parameters=self.keeps_parameters))
            x_hat = self.denoiser(torch.cat([x_t, x_t]), torch.cat([t, t]), both)
            own, worse = x_hat.chunk(2)
        return worse + self.scale * (own - worse)


class ScaledDenoiser(WrappedDenoiser):
    """Epsilon scaling: the noise that an estimate stands for is divided by a number above 1.

    With ``y = x_t / alpha_t``, the estimate of the noise is ``(y - x_hat) alpha_t / sigma_t``. A network
    gives the mean of what the clean image may be, where it is unsure: the images that steps along such
    estimates lead to differ too little. So

        x_hat' = y - (y - x_hat) / scale

    Args:
        denoiser: The denoiser.
        scale: What the noise is divided by.
        lowest: Noise-to-signal ratio ``sigma_t / alpha_t`` from which on it is; 0 for all.

    References:
        Ning, Li, Su, Salah and Ertugrul 2024, arXiv:2308.15321, section 4.
    """

    def __init__(self, denoiser: Denoiser, scale: float, lowest: float = 0.0) -> None:
        super().__init__(denoiser)
        self.scale, self.lowest = scale, lowest

    def forward(self, x_t: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Estimate the clean images; see `Denoiser.forward`."""
        x_hat: Tensor = self.denoiser(x_t, t, condition)
        alpha_t, sigma_t = (shaped(level, x_t) for level in self.schedule(per_image(t, x_t)))
        share = (1 - 1 / self.scale) * (sigma_t >= self.lowest * alpha_t)
        return x_hat + share.to(x_t.dtype) * (x_t / alpha_t.to(x_t.dtype) - x_hat)


def _joined(first: Condition, second: Condition) -> Condition:
    """Return one condition for two batches."""
    label = torch.cat([first.label, second.label])
    if first.parameters is None or second.parameters is None:
        return Condition(label=label)
    return Condition(label=label, parameters=torch.cat([first.parameters, second.parameters]))
