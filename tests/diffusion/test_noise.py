"""Noise schedules: identities, the published betas, clean ends, inverse."""

import math

import pytest
import torch

from gravlensdiffusion.config.model import ScheduleConfig
from gravlensdiffusion.config.sampling import SamplingConfig
from gravlensdiffusion.diffusion.noise import (
    CosineSchedule,
    DDPMSchedule,
    Schedule,
    VariancePreservingLogSNR,
)
from gravlensdiffusion.errors import GravLensError

SCHEDULES = [
    DDPMSchedule(),
    CosineSchedule(),
    VariancePreservingLogSNR(sigma_min=1e-3, sigma_max=100.0),
    DDPMSchedule(num_steps=1),
    CosineSchedule(num_steps=50),
]


def float64(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_variance_is_preserved_and_noise_grows(schedule: Schedule) -> None:
    alpha, sigma = schedule(torch.linspace(0, 1, 5001, dtype=torch.float64))
    assert torch.allclose(alpha**2 + sigma**2, torch.ones_like(alpha), atol=1e-14)
    assert (sigma.diff() > 0).all()


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_time_zero_is_clean_exactly(schedule: Schedule) -> None:
    alpha, sigma = schedule(float64(0.0))
    assert alpha.item() == 1
    assert sigma.item() == 0
    assert schedule.log_snr(float64(0.0)).item() == math.inf


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_time_comes_back_from_log_snr(schedule: Schedule) -> None:
    t = torch.linspace(0, 1, 3001, dtype=torch.float64)
    assert torch.allclose(schedule.t_from_log_snr(schedule.log_snr(t)), t, rtol=0, atol=1e-13)


def test_noise_below_the_lowest_level_is_proportional_to_time() -> None:
    schedule = DDPMSchedule()
    alpha, sigma = schedule(float64(0.001, 0.0005, 0.00025))
    ratio = sigma / alpha
    assert torch.allclose(ratio / ratio[0], float64(1, 0.5, 0.25), rtol=1e-12)


def test_linear_schedule_has_the_published_betas() -> None:
    schedule = DDPMSchedule()
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    alpha, sigma = schedule(torch.arange(1, 1001, dtype=torch.float64) / 1000)
    abar = torch.cumprod(1 - betas, 0)
    assert torch.allclose(alpha**2, abar, rtol=1e-12)
    assert torch.allclose(sigma**2, 1 - abar, rtol=1e-11)
    # Ho et al. 2020, section 4: sqrt(abar_T) leaves next to no signal, beta_1 next to no noise.
    assert alpha[-1].item() == pytest.approx(0.00635, abs=1e-5)
    assert sigma[0].item() == pytest.approx(0.01)


def test_log_snr_is_linear_between_discrete_steps() -> None:
    schedule = DDPMSchedule()
    log_snr = schedule.log_snr(float64(0.4, 0.40025, 0.401))
    assert (log_snr[1] - log_snr[0]).item() == pytest.approx(
        0.25 * (log_snr[2] - log_snr[0]).item()
    )


def test_indices_are_whole_on_the_steps() -> None:
    schedule = DDPMSchedule()
    t = torch.arange(1, 1001, dtype=torch.float64) / 1000
    assert torch.equal(schedule.index(t).to(torch.float32), torch.arange(1000.0))
    assert torch.equal(schedule.snap(t + 3e-4), t)
    assert schedule.snap(float64(0.0, 2.0)).tolist() == [0.001, 1.0]


def test_cosine_schedule_follows_its_formula() -> None:
    alpha, _ = CosineSchedule()(float64(0.25, 0.5, 0.9))
    f = [math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2 for t in (0.0, 0.25, 0.5, 0.9)]
    assert (alpha**2).tolist() == pytest.approx([v / f[0] for v in f[1:]], rel=1e-9)
    assert CosineSchedule().betas.max().item() == 0.999


def test_log_linear_schedule_spans_its_levels() -> None:
    schedule = VariancePreservingLogSNR(sigma_min=0.002, sigma_max=50.0)
    alpha, sigma = schedule(float64(schedule.t_min, (1 + schedule.t_min) / 2, 1))
    middle = math.sqrt(0.002 * 50)
    assert (sigma / alpha).tolist() == pytest.approx([0.002, middle, 50.0], rel=1e-12)


def test_results_keep_the_precision_of_the_times() -> None:
    schedule = DDPMSchedule()
    alpha, _ = schedule(torch.tensor([0.5], dtype=torch.float32))
    assert alpha.dtype == torch.float32
    assert schedule.log_snr(float64(0.5)).dtype == torch.float64


@pytest.mark.parametrize(
    "numbers",
    [
        {"num_steps": 0},
        {"beta_min": 0.0},
        {"beta_min": 0.02, "beta_max": 0.01},
        {"beta_max": 1.0},
        {"sigma_min": 0.0},
        {"sigma_min": 2.0, "sigma_max": 1.0},
        {"sigma_max": math.inf},
    ],
)
def test_impossible_schedules_are_refused(numbers: dict[str, float]) -> None:
    with pytest.raises(GravLensError, match=r"^schedule "):
        ScheduleConfig(**numbers)


@pytest.mark.parametrize("levels", [(1.0, 2.0), (1.0, 1.0), (1.0, -1.0), (1.0, math.nan)])
def test_levels_of_distilled_models_fall_and_are_positive(levels: tuple[float, ...]) -> None:
    with pytest.raises(GravLensError, match="levels must fall"):
        SamplingConfig(sampler="consistency", few_steps=(3,), levels=levels)
