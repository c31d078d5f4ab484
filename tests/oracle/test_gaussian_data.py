"""Samplers and losses against Gaussian data, where everything is known in closed form."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.diffusion.denoise import Denoiser, IndexedDenoiser, PreconditionedDenoiser
from gravlensdiffusion.diffusion.guidance import GuidedDenoiser, ScaledDenoiser
from gravlensdiffusion.diffusion.noise import (
    CosineSchedule,
    DDPMSchedule,
    Schedule,
    VariancePreservingLogSNR,
)
from gravlensdiffusion.diffusion.randomness import Streams
from gravlensdiffusion.diffusion.sampler import Sampler, prior, trajectory
from gravlensdiffusion.diffusion.solvers import DDIM, DDPM, DPMSolverPP, Heun
from tests.diffusion.gaussian import GaussianDenoiser, sample, spaced

SCHEDULES = [DDPMSchedule(), CosineSchedule(), VariancePreservingLogSNR(sigma_max=80.0)]
NAMES = ["linear", "cosine", "log-linear"]
SHAPE = (1, 2, 2)
MEAN = torch.tensor([0.5, -0.3, 0.2, 0.0], dtype=torch.float64).reshape(SHAPE)
ONE = torch.ones((), dtype=torch.float64)


def covariance() -> Tensor:
    """A covariance with variances from 0.05 to 2 along directions that no pixel follows."""
    source = torch.Generator().manual_seed(0)
    directions, _ = torch.linalg.qr(torch.randn(4, 4, generator=source, dtype=torch.float64))
    variances = torch.tensor([2.0, 1.0, 0.3, 0.05], dtype=torch.float64)
    return directions @ torch.diag(variances) @ directions.T


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class GivenStreams(Streams):
    """Noise that is given, the same in every step."""

    def __init__(self, noise: Tensor) -> None:
        super().__init__(0, range(len(noise)))
        self.noise = noise

    def normal(self, stream: int, shape: tuple[int, ...], *, draw: int = 0) -> Tensor:
        return self.noise


def moments(sampler: Sampler, denoiser: GaussianDenoiser, num_steps: int) -> tuple[Tensor, Tensor]:
    """Return the exact mean and covariance of a sampler's images.

    With a Gaussian denoiser a step is linear in image and noise, so it is known from what it makes
    of zero, of each pixel, and of each pixel's noise.
    """
    schedule = denoiser.schedule
    nothing, unit = torch.zeros(1, 4).double(), torch.eye(4).double()
    images = torch.cat([nothing, unit, 0 * unit]).reshape(9, *SHAPE)
    noise = GivenStreams(torch.cat([nothing, 0 * unit, unit]).reshape(9, *SHAPE))
    mean = prior(schedule, 0 * MEAN, MEAN).flatten()
    spread = prior(schedule, unit)
    spread = spread @ spread.T
    for t, s in pairwise(sampler.times(schedule, num_steps)):
        moved, _, _ = sampler.step(denoiser, images, t, s, sampler.init(), None, noise)
        offset, rows = moved[0].flatten(), (moved[1:] - moved[:1]).flatten(1)
        mean = offset + mean @ rows[:4]
        spread = rows[:4].T @ spread @ rows[:4] + rows[4:].T @ rows[4:]
    return mean, spread


@pytest.mark.parametrize("schedule", SCHEDULES, ids=NAMES)
@pytest.mark.parametrize(
    ("sampler", "num_steps", "tolerance"),
    [(DDIM(), 200, 0.03), (DPMSolverPP(), 60, 0.01), (spaced(Heun(), "log_snr"), 60, 0.03)],
    ids=["ddim", "dpmpp", "heun"],
)
def test_deterministic_samplers_give_mean_and_covariance(
    schedule: Schedule, sampler: Sampler, num_steps: int, tolerance: float
) -> None:
    """For Gaussian data a deterministic sampler is a linear map, so its moments are exact."""
    denoiser = GaussianDenoiser(MEAN, covariance(), schedule)
    basis = torch.cat([torch.zeros(1, 4), torch.eye(4)]).double().reshape(5, *SHAPE)
    images = sample(denoiser, sampler, prior(schedule, basis, MEAN), num_steps).flatten(1)
    mean, columns = images[0], images[1:] - images[0]
    assert (mean - MEAN.flatten()).abs().max() < 1e-3
    difference = columns.T @ columns - covariance()
    assert torch.linalg.matrix_norm(difference, 2) < tolerance * 2


@pytest.mark.parametrize("scale", [1.0, 1.5, 2.0])
def test_guidance_by_a_wider_model_narrows_by_a_known_factor(scale: float) -> None:
    """Along the flow log(spread) is mixed as the estimates are: with r the first noise-to-signal ratio
    and v, u the variances of model and weaker model, an image keeps its distance from the mean times
    ``(v / (v + r^2))^(w/2) (u / (u + r^2))^((1-w)/2)``.
    """
    schedule = VariancePreservingLogSNR(sigma_max=80.0)
    wider = covariance() + 0.5 * torch.eye(4)
    exact, weak = (GaussianDenoiser(MEAN, each, schedule) for each in (covariance(), wider))
    guided = GuidedDenoiser(exact, scale, weak)
    basis = torch.cat([torch.zeros(1, 4), exact.directions.T]).double().reshape(5, *SHAPE)
    alpha_1, sigma_1 = schedule(ONE)
    images = sample(guided, DPMSolverPP(), basis + alpha_1 * MEAN, 400).flatten(1)
    assert torch.allclose(images[0], MEAN.flatten(), atol=1e-6)
    kept = (images[1:] - images[0]) @ exact.directions
    v, ratio = exact.variances, (sigma_1 / alpha_1) ** 2
    factor = (v / (v + ratio)) ** (scale / 2) * ((v + 0.5) / (v + 0.5 + ratio)) ** ((1 - scale) / 2)
    assert torch.allclose(kept, torch.diag(factor / alpha_1), rtol=0.01, atol=1e-6)


@pytest.mark.parametrize("lowest", [0.0, 1.5])
@pytest.mark.parametrize("scale", [0.9, 1.02])
def test_epsilon_scaling_widens_by_a_known_factor(scale: float, lowest: float) -> None:
    """With ``y = x_t / alpha_t`` and noise-to-signal ratio r, scaled steps follow ``dy / dr = (y - x_hat) / (r scale)``.

    Of data of variance v, ``y - x_hat`` is ``y r^2 / (v + r^2)``, so that y falls as
    ``(v + r^2)^(1 / (2 scale))`` down to the lowest ratio, and as the square root of it below.
    """
    schedule = VariancePreservingLogSNR(sigma_min=0.002, sigma_max=40.0)
    exact = GaussianDenoiser(torch.zeros(SHAPE), covariance(), schedule)
    denoiser = ScaledDenoiser(exact, scale, lowest)
    x_1, kept = normal(50, *SHAPE), exact.flow(normal(50, *SHAPE), ONE, torch.zeros(()).double())
    drawn = sample(denoiser, Heun(), x_1, 800)
    v = exact.variances
    factor = ((v + 40.0**2) / (v + lowest**2)) ** (0.5 - 0.5 / scale)
    expected = exact._images(exact._modes(kept) * factor, kept)
    assert not torch.allclose(kept, expected, atol=5e-3)
    assert torch.allclose(drawn, expected, atol=2e-3)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=NAMES)
@pytest.mark.parametrize("sampler", [DDPM(), DDIM(eta=0.5)], ids=["ddpm", "ddim"])
def test_stochastic_samplers_give_mean_and_covariance(schedule: Schedule, sampler: Sampler) -> None:
    """Their moments, worked out without drawing, converge to first order in the step's size."""
    denoiser = GaussianDenoiser(MEAN, covariance(), schedule)
    errors = []
    for num_steps in (100, 200, 400):
        mean, spread = moments(sampler, denoiser, num_steps)
        assert (mean - MEAN.flatten()).abs().max() < 1e-3
        errors.append(torch.linalg.matrix_norm(spread - covariance(), 2).item())
    assert errors[-1] < 0.06
    for coarse, fine in pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=NAMES)
@pytest.mark.parametrize(
    ("sampler", "order"),
    [
        (DDIM(), 1),
        (DPMSolverPP(), 2),
        (spaced(DPMSolverPP(), "karras"), 2),
        (Heun(), 2),
        (spaced(Heun(), "log_snr"), 2),
    ],
    ids=["ddim", "dpmpp", "dpmpp-karras", "heun", "heun-log-snr"],
)
def test_order_of_convergence(schedule: Schedule, sampler: Sampler, order: int) -> None:
    """Error at the lowest noise level against the exact flow, as the steps are halved twice.

    The last step, from the lowest level to zero, is left out: it is the same for all.
    """
    denoiser = GaussianDenoiser(MEAN, covariance(), schedule)
    x_1 = normal(8, *SHAPE)
    lowest = torch.tensor(schedule.t_min, dtype=torch.float64)
    exact = denoiser.flow(x_1, ONE, lowest)
    errors = []
    for num_steps in (101, 201, 401):
        times = sampler.times(schedule, num_steps)
        *_, (_, x_lowest, _), _ = trajectory(denoiser, sampler, x_1, times)
        errors.append((x_lowest - exact).abs().max().item())
    for coarse, fine in pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(order, abs=0.1)


def test_the_exact_flow_keeps_the_distribution() -> None:
    schedule = DDPMSchedule()
    denoiser = GaussianDenoiser(MEAN, covariance(), schedule)
    t, s = torch.tensor([0.7, 0.2], dtype=torch.float64)
    alpha_t, sigma_t = schedule(t)
    alpha_s, sigma_s = schedule(s)
    unit = torch.eye(4, dtype=torch.float64)
    root = torch.linalg.cholesky(alpha_t**2 * covariance() + sigma_t**2 * unit)
    points = torch.cat([torch.zeros(1, 4).double(), root.T]).reshape(5, *SHAPE) + alpha_t * MEAN
    moved = denoiser.flow(points, t, s).flatten(1)
    assert torch.allclose(moved[0], alpha_s * MEAN.flatten())
    columns = moved[1:] - moved[0]
    assert torch.allclose(columns.T @ columns, alpha_s**2 * covariance() + sigma_s**2 * unit)
    assert torch.allclose(denoiser.flow(denoiser.flow(points, t, s), s, t), points)


def test_the_exact_denoiser_is_the_posterior_mean() -> None:
    """Against the textbook formula of conditional normal distributions, solved directly."""
    schedule = VariancePreservingLogSNR()
    denoiser = GaussianDenoiser(MEAN, covariance(), schedule)
    t = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)
    x_t = normal(3, *SHAPE)
    for i, (alpha, sigma) in enumerate(zip(*schedule(t), strict=True)):
        total = alpha**2 * covariance() + sigma**2 * torch.eye(4)
        offset = x_t[i].flatten() - alpha * MEAN.flatten()
        expected = MEAN.flatten() + alpha * covariance() @ torch.linalg.solve(total, offset)
        assert torch.allclose(denoiser(x_t, t)[i].flatten(), expected)


class ExactNet(nn.Module):
    """What a perfectly trained network puts out, for each kind of denoiser, plus a fault."""

    def __init__(self, exact: GaussianDenoiser, kind: str, fault: float) -> None:
        super().__init__()
        self.exact = exact
        self.kind = kind
        self.fault = fault

    def forward(self, x: Tensor, noise: Tensor, condition: Condition | None) -> Tensor:
        preconditioned = self.kind == "preconditioned"
        if preconditioned:
            t = self.exact.schedule.t_from_log_snr(-8 * noise)
        else:
            t = (noise + 1) / 1000
        alpha, sigma = (level[:, None, None, None] for level in self.exact.schedule(t))
        # With data of unit deviation c_in y is x_t itself.
        x_hat = self.exact(x, t)
        output = {
            "epsilon": (x - alpha * x_hat) / sigma,
            "v": (alpha * x - x_hat) / sigma,
            "x0": x_hat,
            "preconditioned": (x_hat - alpha * x) / sigma,
        }[self.kind]
        return output + self.fault


def made(net: ExactNet, schedule: DDPMSchedule) -> Denoiser:
    if net.kind == "preconditioned":
        return PreconditionedDenoiser(net, schedule)
    return IndexedDenoiser(net, schedule, net.kind)


@pytest.mark.parametrize("index", [20, 300, 800])
@pytest.mark.parametrize("kind", ["epsilon", "v", "x0", "preconditioned"])
def test_the_exact_denoiser_has_the_least_loss_and_it_is_known(kind: str, index: int) -> None:
    number = 20_000
    schedule = DDPMSchedule()
    exact = GaussianDenoiser(MEAN, covariance(), schedule)
    root = torch.linalg.cholesky(covariance())
    x = MEAN + (normal(number, 4, seed=1) @ root.T).reshape(number, *SHAPE)
    eps = normal(number, *SHAPE, seed=2)
    t = torch.full((number,), (index + 1) / 1000, dtype=torch.float64)
    alpha, sigma = (level[0].item() for level in schedule(t))
    posterior = exact.expected_loss(t[:1]).item()
    weight = {
        "epsilon": alpha**2 / sigma**2,
        "v": 1 / sigma**2,
        "x0": 1.0,
        # 1 / c_out^2, which for unit deviation and alpha^2 + sigma^2 = 1 is 1 / sigma^2 as well.
        "preconditioned": 1 / sigma**2,
    }[kind]
    loss = made(ExactNet(exact, kind, 0.0), schedule).loss(x, t, eps)
    spread = loss.std().item() / math.sqrt(number)
    assert loss.mean().item() == pytest.approx(weight * posterior, abs=4.5 * spread)
    for fault in (-0.1, 0.1):
        worse = made(ExactNet(exact, kind, fault), schedule).loss(x, t, eps)
        assert worse.mean().item() == pytest.approx(loss.mean().item() + 0.01, abs=0.004)


def test_the_exact_denoiser_reports_its_own_loss() -> None:
    exact = GaussianDenoiser(MEAN, covariance(), VariancePreservingLogSNR())
    root = torch.linalg.cholesky(covariance())
    x = MEAN + (normal(20_000, 4, seed=1) @ root.T).reshape(20_000, *SHAPE)
    t = torch.full((20_000,), 0.55, dtype=torch.float64)
    loss = exact.loss(x, t, normal(20_000, *SHAPE, seed=2)).mean().item()
    assert loss == pytest.approx(exact.expected_loss(t[:1]).item(), rel=0.02)
    assert exact.sample_t(torch.tensor([0.0, 1.0])).tolist() == [exact.schedule.t_min, 1.0]
