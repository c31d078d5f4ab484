"""azula draws what we draw, and its posterior sampler meets the exact answer of Gaussian data."""

import pytest
import torch
from torch import Tensor

from gravlensdiffusion.diffusion.noise import DDPMSchedule, Schedule, VariancePreservingLogSNR
from gravlensdiffusion.diffusion.sampler import trajectory
from gravlensdiffusion.diffusion.solvers import DDIM
from tests.diffusion.gaussian import GaussianDenoiser
from tests.models import LEARNED, awake

azula = pytest.importorskip("azula", reason="needs azula, which make setup installs")
from azula import sample  # noqa: E402

from gravlensdiffusion.interop.azula import (  # noqa: E402
    AzulaDenoiser,
    _Schedule,
    draw_posterior,
)

pytestmark = [
    pytest.mark.parity,
    # What PyTorch's own derivatives are compiled with.
    pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning"),
]

SHAPE = (1, 3, 3)
NUM = 2000


def noise(num: int, shape: tuple[int, ...] = SHAPE) -> Tensor:
    source = torch.Generator().manual_seed(3)
    return torch.randn((num, *shape), generator=source, dtype=torch.float64)


def gaussian(schedule: Schedule) -> GaussianDenoiser:
    """Return the exact denoiser of correlated data of nine pixels."""
    root = torch.randn(9, 9, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    covariance = root @ root.T / 9 + 0.05 * torch.eye(9, dtype=torch.float64)
    return GaussianDenoiser(torch.linspace(-1, 1, 9).reshape(SHAPE), covariance, schedule)


@pytest.mark.parametrize("schedule", [DDPMSchedule(), VariancePreservingLogSNR()])
def test_times_run_from_the_lowest_level_to_the_highest(schedule: Schedule) -> None:
    theirs = _Schedule(schedule)
    for u, t in ((0.0, schedule.t_min), (1.0, 1.0), (0.5, (1 + schedule.t_min) / 2)):
        found = theirs(torch.tensor(u, dtype=torch.float64))
        expected = schedule(torch.tensor(t, dtype=torch.float64))
        assert torch.allclose(torch.stack(found), torch.stack(expected), atol=1e-12)
    alpha, sigma = theirs(torch.linspace(0, 1, 9))
    assert (sigma > 0).all()
    assert alpha.dtype == torch.float32


def test_ddim_of_azula_is_ours() -> None:
    model = awake(LEARNED)
    prior = AzulaDenoiser(model.denoiser)
    sampler = sample.DDIMSampler(prior, steps=7, silent=True, dtype=torch.float64)
    start = noise(3, (1, 8, 8)).float()
    found = sampler(start)
    times = prior.schedule.time(sampler.timesteps)
    *_, (_, expected, _) = trajectory(model.denoiser, DDIM(), start, times)
    assert expected.std() > 0.1
    assert torch.allclose(found, expected, atol=1e-5)


SAMPLERS = ["DDPM", "DDIM", "Euler", "Heun", "Ito", "zAB", "vAB", "zEAB", "xEAB", "REAB", "PC"]


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_of_azula_draw_the_data_of_our_denoiser(name: str) -> None:
    denoiser = gaussian(VariancePreservingLogSNR(1e-2, 30))
    sampler = getattr(sample, f"{name}Sampler")(
        AzulaDenoiser(denoiser), steps=60, silent=True, dtype=torch.float64
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = sampler(noise(NUM)).flatten(1)
    assert_moments(found, denoiser.mean.flatten(), covariance_of(denoiser))


def test_the_posterior_of_gaussian_data_is_the_exact_one() -> None:
    """Four of nine pixels are seen, with noise: Kalman's formulae give mean and covariance."""
    denoiser = gaussian(VariancePreservingLogSNR(1e-2, 30))
    mean, prior = denoiser.mean.flatten(), covariance_of(denoiser)
    seen = torch.tensor([0, 2, 4, 7])
    rows = torch.eye(9, dtype=torch.float64)[seen]
    y = torch.tensor([1.0, -1.5, 0.3, 2.0], dtype=torch.float64)
    variance = torch.tensor([0.01, 0.1, 0.04, 0.2], dtype=torch.float64)
    gain = prior @ rows.T @ torch.linalg.inv(rows @ prior @ rows.T + torch.diag(variance))
    found = draw_posterior(
        denoiser,
        noise(NUM),
        y.expand(NUM, 4),
        lambda x: x.flatten(1)[:, seen],
        variance,
        num_steps=60,
        iterations=4,
    ).flatten(1)
    assert_moments(found, mean + gain @ (y - rows @ mean), prior - gain @ rows @ prior)
    # The prior alone would be far off.
    assert (found.mean(0) - mean).abs().max() > 0.5


def covariance_of(denoiser: GaussianDenoiser) -> Tensor:
    return denoiser.directions @ torch.diag(denoiser.variances) @ denoiser.directions.T


def assert_moments(found: Tensor, mean: Tensor, covariance: Tensor) -> None:
    """Compare with what that many draws allow, and a little for the steps."""
    scale = covariance.diag().sqrt()
    assert ((found.mean(0) - mean).abs() / scale).max() < 0.05 + 4 / NUM**0.5
    difference = (found.T.cov() - covariance).abs() / (scale[:, None] * scale)
    assert difference.max() < 0.05 + 5 / NUM**0.5
