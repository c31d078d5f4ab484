"""Samplers: times, the driver, batch independence, and what they refuse."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.diffusion.denoise import Denoiser, IndexedDenoiser, PreconditionedDenoiser
from gravlensdiffusion.diffusion.guidance import GuidedDenoiser
from gravlensdiffusion.diffusion.noise import (
    CosineSchedule,
    DDPMSchedule,
    Schedule,
    VariancePreservingLogSNR,
)
from gravlensdiffusion.diffusion.randomness import Stream, Streams
from gravlensdiffusion.diffusion.sampler import (
    Sampler,
    Spacing,
    prior,
    trajectory,
)
from gravlensdiffusion.diffusion.solvers import DDIM, DDPM, Consistency, DPMSolverPP, Heun
from gravlensdiffusion.errors import GravLensError
from tests.diffusion.gaussian import GaussianDenoiser, sample, spaced

SAMPLERS = [DDPM(), DDIM(), DDIM(eta=0.5), DPMSolverPP(), spaced(DPMSolverPP(), "karras"), Heun()]
SCHEDULES = [DDPMSchedule(), CosineSchedule(), VariancePreservingLogSNR()]
SHAPE = (1, 8, 8)


class SmallNet(nn.Module):
    """A random network that mixes pixels and heeds noise level and label."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.first = nn.Conv2d(1, 16, 3, padding=1)
            self.norm = nn.GroupNorm(4, 16)
            self.last = nn.Conv2d(16, 1, 3, padding=1)
        self.num_evaluations = 0

    def forward(self, x: Tensor, noise: Tensor, condition: Condition | None) -> Tensor:
        self.num_evaluations += 1
        out = self.first(x) + torch.sin(noise).reshape(-1, 1, 1, 1)
        if condition is not None:
            out = out + condition.label.reshape(-1, 1, 1, 1)
        return self.last(torch.nn.functional.silu(self.norm(out)))


def run(
    sampler: Sampler,
    denoiser: Denoiser,
    indices: list[int],
    labels: list[int] | None = None,
    num_steps: int = 12,
) -> Tensor:
    streams = Streams(5, indices)
    x_1 = prior(denoiser.schedule, streams.normal(Stream.PRIOR, SHAPE))
    condition = None if labels is None else Condition(label=torch.tensor(labels))
    return sample(denoiser, sampler, x_1, num_steps, condition, streams)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("spacing", ["time", "log_snr", "karras"])
@pytest.mark.parametrize("num_steps", [1, 2, 20])
def test_times_fall_from_noise_over_the_lowest_level_to_clean(
    schedule: Schedule, spacing: Spacing, num_steps: int
) -> None:
    times = spaced(DPMSolverPP(), spacing).times(schedule, num_steps)
    assert times.dtype == torch.float64
    assert len(times) == num_steps + 1
    assert (times.diff() < 0).all()
    assert times[0] == 1
    assert times[-1] == 0
    if num_steps > 1:
        assert times[-2] == schedule.t_min


def test_all_steps_of_a_discrete_schedule_are_its_indices() -> None:
    times = DDPM().times(DDPMSchedule(), 1000)
    assert torch.equal(times, torch.arange(1000, -1, -1, dtype=torch.float64) / 1000)
    fewer = DDIM().times(DDPMSchedule(), 37)
    assert torch.equal(fewer * 1000, torch.round(fewer * 1000))


def test_spacings_are_even_in_what_they_say() -> None:
    schedule = VariancePreservingLogSNR(sigma_min=0.002, sigma_max=80.0)
    steps = schedule.log_snr(spaced(DPMSolverPP(), "log_snr").times(schedule, 9)[:-1]).diff()
    assert torch.allclose(steps, steps[:1], rtol=1e-9)
    ratios = torch.exp(
        -0.5 * schedule.log_snr(spaced(DPMSolverPP(), "karras").times(schedule, 9)[:-1])
    )
    i = torch.arange(9, dtype=torch.float64)
    # Equation 5 of arXiv:2206.00364.
    expected = (80 ** (1 / 7) + i / 8 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    assert torch.allclose(ratios, expected, rtol=1e-9)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_driver_shows_noise_first_and_the_image_last(sampler: Sampler) -> None:
    denoiser = IndexedDenoiser(SmallNet(), DDPMSchedule(), "epsilon")
    streams = Streams(0, [0, 1])
    x_1 = streams.normal(Stream.PRIOR, SHAPE)
    times = sampler.times(denoiser.schedule, 6)
    frames = list(trajectory(denoiser, sampler, x_1, times, None, streams))
    assert [i for i, _, _ in frames] == list(range(7))
    assert torch.equal(frames[0][1], x_1)
    for (_, x_t, x_hat), t in zip(frames, times[:-1], strict=False):
        assert torch.equal(x_hat, denoiser(x_t, t))
    assert torch.equal(frames[-1][1], frames[-1][2])
    # Nothing of the noise is left at t = 0: the last step gives the estimate itself.
    assert torch.allclose(frames[-1][1], frames[-2][2], atol=1e-6)
    assert torch.equal(sample(denoiser, sampler, x_1, 6, None, streams), frames[-1][1])
    assert not frames[-1][1].requires_grad


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_an_image_does_not_depend_on_the_batch_it_is_in(sampler: Sampler) -> None:
    denoiser = GuidedDenoiser(PreconditionedDenoiser(SmallNet(), VariancePreservingLogSNR()), 2.0)
    labels = [0, 1, 2, 1, 0, 2, 1]
    together = run(sampler, denoiser, list(range(7)), labels)
    peak = together.abs().max()
    for part in ([0], [4, 2], [6, 5, 4, 3, 2, 1, 0]):
        apart = run(sampler, denoiser, part, [labels[k] for k in part])
        assert (apart - together[part]).abs().max() < 1e-5 * peak
    assert torch.equal(run(sampler, denoiser, list(range(7)), labels), together)
    assert not torch.allclose(together[1], together[3])


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("num_steps", [1, 7, 60])
def test_ddim_with_all_its_noise_is_ddpm(schedule: Schedule, num_steps: int) -> None:
    mean = torch.linspace(-1, 1, 64).reshape(SHAPE)
    denoiser = GaussianDenoiser(mean, 0.3 * torch.eye(64), schedule)
    ancestral = run(DDPM(), denoiser, [0, 1], num_steps=num_steps)
    implicit = run(DDIM(eta=1.0), denoiser, [0, 1], num_steps=num_steps)
    assert torch.allclose(ancestral, implicit, atol=1e-5)


def test_ancestral_variance_is_that_of_the_posterior() -> None:
    """One step with ``x_hat`` = 0: the rest is ``c x_t`` plus noise of the published variance."""
    schedule = DDPMSchedule()
    denoiser = GaussianDenoiser(torch.zeros(SHAPE), torch.zeros(64, 64), schedule)
    streams = Streams(0, range(300))
    abar = torch.cumprod(1 - schedule.betas, 0)
    for index in (1, 400, 999):
        t = torch.tensor((index + 1) / 1000, dtype=torch.float64)
        s = torch.tensor(index / 1000, dtype=torch.float64)
        x_t = torch.zeros(300, *SHAPE, dtype=torch.float64)
        x_s, _, _ = DDPM().step(denoiser, x_t, t, s, DDPM().init(), None, streams)
        expected = schedule.betas[index] * (1 - abar[index - 1]) / (1 - abar[index])
        assert x_s.var().item() == pytest.approx(expected.item(), rel=0.03)


def test_multistep_solver_weighs_uneven_steps() -> None:
    """Against algorithm 2 of arXiv:2211.01095, where the step before was three times as long."""
    schedule = VariancePreservingLogSNR()
    denoiser = PreconditionedDenoiser(SmallNet(), schedule)
    half_log_snr = torch.tensor([-1.0, 0.5, 1.0], dtype=torch.float64)
    t_0, t_1, t_2 = schedule.t_from_log_snr(2 * half_log_snr)
    x_0 = Streams(0, [0]).normal(Stream.PRIOR, SHAPE).double()
    denoiser.double()
    walk = trajectory(denoiser, DPMSolverPP(), x_0, torch.stack([t_0, t_1, t_2]))
    (_, _, x_hat_0), (_, x_1, x_hat_1), (_, x_2, _) = walk
    r = 1.5 / 0.5
    estimate = (1 + 1 / (2 * r)) * x_hat_1 - 1 / (2 * r) * x_hat_0
    (_, sigma_1), (alpha_2, sigma_2) = schedule(t_1), schedule(t_2)
    expected = sigma_2 / sigma_1 * x_1 - alpha_2 * (math.exp(-0.5) - 1) * estimate
    assert torch.allclose(x_2, expected, atol=1e-9)


@pytest.mark.parametrize("sampler", [DDPM(), DDIM(eta=1.0)])
def test_each_step_adds_noise_of_its_own(sampler: Sampler) -> None:
    """For images that are all zero, the noise of step i is what it adds to ``c x_t``."""
    schedule = DDPMSchedule()
    denoiser = GaussianDenoiser(torch.zeros(SHAPE), torch.zeros(64, 64), schedule)
    streams = Streams(0, [0, 1])
    x_1 = torch.zeros(2, *SHAPE, dtype=torch.float64)
    times = sampler.times(schedule, 5)
    frames = [x_t for _, x_t, _ in trajectory(denoiser, sampler, x_1, times, None, streams)]
    for i in range(4):
        (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule(times[i]), schedule(times[i + 1])
        kept = (alpha_t / alpha_s) * (sigma_s / sigma_t) ** 2
        added = frames[i + 1] - kept * frames[i]
        drawn = streams.normal(Stream.SAMPLER, SHAPE, draw=i)
        assert torch.allclose(added / added.std(), (drawn / drawn.std()).double(), atol=1e-6)


@pytest.mark.parametrize(("sampler", "expected"), [(DPMSolverPP(), 10), (Heun(), 19), (DDIM(), 10)])
def test_number_of_network_evaluations(sampler: Sampler, expected: int) -> None:
    net = SmallNet()
    run(sampler, IndexedDenoiser(net, DDPMSchedule(), "epsilon"), [0], num_steps=10)
    assert net.num_evaluations == expected


def test_deterministic_samplers_need_no_random_numbers() -> None:
    denoiser = IndexedDenoiser(SmallNet(), DDPMSchedule(), "epsilon")
    x_1 = Streams(0, [0]).normal(Stream.PRIOR, SHAPE)
    for sampler in (DDIM(), DPMSolverPP(), Heun()):
        assert sample(denoiser, sampler, x_1, 3).isfinite().all()
    with pytest.raises(ValueError, match="random streams"):
        sample(denoiser, DDPM(), x_1, 3)


def test_own_times_can_be_given() -> None:
    denoiser = IndexedDenoiser(SmallNet(), DDPMSchedule(), "epsilon")
    x_1 = Streams(0, [0]).normal(Stream.PRIOR, SHAPE)
    times = torch.tensor([1.0, 0.6, 0.3], dtype=torch.float64)
    frames = list(trajectory(denoiser, DDIM(), x_1, times))
    state = DDIM().init()
    for t, s in pairwise(times):
        x_1, _, state = DDIM().step(denoiser, x_1, t, s, state)
    assert torch.equal(frames[-1][1], x_1)


@pytest.mark.parametrize(
    ("act", "word"),
    [
        (lambda: DDPM().times(DDPMSchedule(), 0), "at least 1"),
        (lambda: DDPM().times(DDPMSchedule(), 1001), "1000 steps of noise, 1001"),
        (lambda: DPMSolverPP().times(DDPMSchedule(), -3), "at least 1"),
        (lambda: Heun().times(VariancePreservingLogSNR(), 10**9), "at most 100000, got 1000000000"),
        (lambda: DDIM(eta=1.5), "eta"),
        (lambda: DDIM(eta=float("nan")), "eta"),
    ],
)
def test_impossible_steps_are_refused(act: object, word: str) -> None:
    with pytest.raises(GravLensError, match=word):
        act()


def test_consistency_uses_every_so_manieth_of_its_levels() -> None:
    schedule = VariancePreservingLogSNR()
    sampler = Consistency((30.0, 5.0, 0.5))
    ratios = [
        torch.exp(-0.5 * schedule.log_snr(sampler.times(schedule, num)[:-1])).tolist()
        for num in (1, 2, 4)
    ]
    assert ratios[0] == pytest.approx([100.0])
    assert ratios[1] == pytest.approx([100.0, 5.0])
    assert ratios[2] == pytest.approx([100.0, 30.0, 5.0, 0.5])
    with pytest.raises(GravLensError, match="4 steps and its divisors, not 3"):
        sampler.times(schedule, 3)


def test_consistency_puts_fresh_noise_on_the_estimate() -> None:
    schedule = VariancePreservingLogSNR()
    constant = GaussianDenoiser(torch.full(SHAPE, 0.7), torch.zeros(64, 64), schedule)
    streams = Streams(0, range(200))
    x_T = prior(schedule, streams.normal(Stream.PRIOR, SHAPE))
    sampler = Consistency((1.0,))
    walk = trajectory(constant, sampler, x_T, sampler.times(schedule, 2), None, streams)
    (_, _, _), (_, x_s, _), (_, x_0, _) = walk
    # Half signal, half noise that has nothing to do with the noise of the start.
    assert x_s.mean() == pytest.approx(0.7 * 0.5**0.5, abs=0.02)
    assert x_s.std() == pytest.approx(0.5**0.5, rel=0.02)
    together = torch.corrcoef(torch.stack([x_s.flatten(), x_T.flatten()]))
    assert together[0, 1].abs() < 0.03
    assert (x_0 - 0.7).abs().max() < 1e-6
