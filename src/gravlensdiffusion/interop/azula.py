"""A denoiser of ours as one of azula, so that its samplers and posterior samplers take it.

azula is an extra; docs/interop.md says how it is installed without torchvision, which nothing here uses.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.diffusion.denoise import Denoiser
from gravlensdiffusion.diffusion.noise import Schedule
from gravlensdiffusion.errors import GravLensError

try:
    from azula.denoise import Denoiser as TheirDenoiser
    from azula.denoise import DiracPosterior
    from azula.guidance import MMPSDenoiser
    from azula.linalg.covariance import DiagonalCovariance
    from azula.noise import Schedule as TheirSchedule
    from azula.sample import DDIMSampler
except ImportError:
    raise GravLensError(
        "pip install --no-deps azula einops brings azula, which this needs"
    ) from None


class _Schedule(TheirSchedule):  # type: ignore[misc]
    """A noise schedule of ours, its lowest level at time 0.

    A sampler of azula divides by the noise at the end of its way, which must not be zero. So its time
    u is ours at ``t = t_min + u (1 - t_min)``.
    """

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return alpha and sigma, each of the shape and dtype of `t`."""
        alpha, sigma = self.schedule(self.time(t))
        return alpha.to(t.dtype), sigma.to(t.dtype)

    def time(self, t: Tensor) -> Tensor:
        """Return our time at one of theirs, float64."""
        return self.schedule.t_min + t.double() * (1 - self.schedule.t_min)


class AzulaDenoiser(TheirDenoiser):  # type: ignore[misc]
    """A denoiser of ours, in model space.

    What it returns at time 0 has no noise left: the last step of a sampler leaves that of the lowest
    level.

    Args:
        denoiser: The denoiser, ``generator.model.denoiser``, say.

    Example:
        >>> prior = AzulaDenoiser(generator.model.denoiser)  # doctest: +SKIP
        >>> sampler = azula.sample.DDIMSampler(prior, steps=32)  # doctest: +SKIP
        >>> x = sampler(sampler.init((8, *generator.image_shape)))  # doctest: +SKIP
        >>> generator.to_flux(x)  # doctest: +SKIP
    """

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.schedule = _Schedule(denoiser.schedule)

    def forward(
        self, x_t: Tensor, t: Tensor, condition: Condition | None = None, **_: Any
    ) -> DiracPosterior:
        """Estimate the clean images.

        Args:
            x_t: Noisy images, shape ``(B, C, H, W)``.
            t: Times, shape ``()`` or ``(B,)``.
            condition: What the images are asked to be; None for anything.
        """
        return DiracPosterior(mean=self.denoiser(x_t, self.schedule.time(t), condition))


def draw_posterior(
    denoiser: Denoiser,
    start: Tensor,
    observed: Tensor,
    observe: Callable[[Tensor], Tensor],
    variance: Tensor,
    *,
    num_steps: int = 32,
    iterations: int = 3,
    condition: Condition | None = None,
) -> Tensor:
    """Draw images from what a model and an observation say together.

    The observation is ``y = A(x) + n`` with Gaussian noise n. Each estimate of the clean image is moved
    to that of the posterior by moment matching, and the flow of probability is followed from noise to images. For Gaussian data and a linear A that is
    exact, up to steps and iterations.

    Args:
        denoiser: The prior.
        start: Standard normal noise, shape ``(B, C, H, W)``: one image is drawn of each.
        observed: The observation y, shape ``(B, D)``.
        observe: A, from model space ``(B, C, H, W)`` to ``(B, D)``.
        variance: Variance of n, shape ``(D,)`` or ``(B, D)``, positive.
        num_steps: Number of steps.
        iterations: Iterations of the linear solver in each.
        condition: What the images are asked to be; None for anything.

    Returns:
        Images in model space, shape ``(B, C, H, W)``.

    References:
        Rozet, Andry, Lanusse and Louppe 2024, arXiv:2405.13712, section 4.
    """
    prior = AzulaDenoiser(denoiser)
    guided = MMPSDenoiser(
        prior,
        y=observed,
        A=observe,
        cov_y=DiagonalCovariance(variance),
        iterations=iterations,
    )
    sampler = DDIMSampler(guided, steps=num_steps, silent=True, dtype=torch.float64)
    x = sampler(start, condition=condition)
    # What the lowest level leaves is taken off.
    mean: Tensor = guided(x, torch.zeros((), dtype=torch.float64), condition=condition).mean
    return mean.detach()
