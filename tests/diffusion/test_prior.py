"""What sampling starts from."""

import pytest
import torch
from torch import Tensor, nn

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.diffusion.denoise import Denoiser, PreconditionedDenoiser
from gravlensdiffusion.diffusion.guidance import GuidedDenoiser
from gravlensdiffusion.diffusion.noise import VariancePreservingLogSNR
from gravlensdiffusion.diffusion.randomness import Stream, Streams
from gravlensdiffusion.diffusion.sampler import (
    Sampler,
    conditional_prior,
    prior,
    trajectory,
)
from gravlensdiffusion.diffusion.solvers import DPMSolverPP, Heun
from tests.diffusion.gaussian import GaussianDenoiser, sample


@pytest.mark.parametrize("sampler", [DPMSolverPP(), Heun()])
@pytest.mark.parametrize("shifted", [True, False])
def test_starting_from_the_mean_of_the_data_keeps_their_flux(
    sampler: Sampler, shifted: bool
) -> None:
    """Noise of 40 over 144 pixels does not hide a mean of -0.87 that all pixels share.

    In the direction of that mean the data vary by sqrt(2); started at zero instead of the mean,
    the flow ends off by ``mean sqrt(2) alpha / sqrt(2 alpha^2 + sigma^2)``, 3.5% of the flux.
    """
    schedule = VariancePreservingLogSNR(sigma_min=1e-3, sigma_max=40.0)
    mean = torch.full((1, 12, 12), -0.87, dtype=torch.float64)
    shared = mean.flatten() / mean.norm()
    covariance = 0.01 * torch.eye(144, dtype=torch.float64) + 1.99 * torch.outer(shared, shared)
    denoiser = GaussianDenoiser(mean, covariance, schedule)
    quiet = torch.zeros(1, 1, 12, 12, dtype=torch.float64)
    image = sample(denoiser, sampler, prior(schedule, quiet, mean if shifted else 0.0), 60)
    excess = (image.mean() / -0.87 - 1).item()
    expected = 0.0 if shifted else -(2**0.5) / (2 + 40**2) ** 0.5
    assert excess == pytest.approx(expected, abs=5e-4)


class Nothing(nn.Module):
    """A network that puts out zeros: exact for normal data of the mean and variance that are expected."""

    def forward(self, x: Tensor, noise: Tensor, condition: Condition | None) -> Tensor:
        return torch.zeros_like(x)


@pytest.mark.parametrize("is_guided", [False, True])
def test_sampling_starts_from_what_is_expected_of_the_condition(is_guided: bool) -> None:
    def expected(condition: Condition | None, like: Tensor) -> tuple[Tensor, Tensor, None]:
        assert condition is not None
        assert condition.parameters is not None
        mean = condition.parameters[:, :, None, None].expand_as(like)
        return mean, torch.full_like(like, 0.1), None

    schedule = VariancePreservingLogSNR(sigma_min=1e-3, sigma_max=20.0)
    denoiser: Denoiser = PreconditionedDenoiser(Nothing(), schedule, expected=expected)
    if is_guided:
        denoiser = GuidedDenoiser(denoiser, 2.0, keeps_parameters=True)
    parameters = torch.tensor([[3.0], [-5.0]], dtype=torch.float64)
    condition = Condition(label=torch.zeros(2, dtype=torch.int64), parameters=parameters)
    quiet = torch.zeros(2, 1, 4, 4, dtype=torch.float64)
    x_1 = conditional_prior(denoiser, quiet, condition)
    times = DPMSolverPP().times(schedule, 40)
    *_, (_, image, _) = trajectory(denoiser, DPMSolverPP(), x_1, times, condition)
    assert torch.allclose(image, parameters[:, :, None, None].expand_as(image), atol=1e-6)
    *_, (_, image, _) = trajectory(denoiser, DPMSolverPP(), quiet, times, condition)
    assert (image[:, 0, 0, 0] - parameters[:, 0]).abs().min() > 0.01


def test_prior_has_the_moments_of_noisy_data() -> None:
    schedule = VariancePreservingLogSNR(sigma_max=3.0)
    eps = Streams(0, range(50)).normal(Stream.PRIOR, (1, 40, 40))
    assert torch.allclose(prior(schedule, eps), eps)
    x_1 = prior(schedule, eps, mean=2.0, std=0.5)
    assert x_1.mean().item() == pytest.approx(2 / 10**0.5, abs=0.01)
    assert x_1.var().item() == pytest.approx((0.25 + 9) / 10, abs=0.01)
