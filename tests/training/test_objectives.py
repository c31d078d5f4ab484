"""What a student learns, against Gaussian data whose answers are known."""

import math

import pytest
import torch
from torch import Tensor, nn

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.diffusion.denoise import Denoiser
from gravlensdiffusion.diffusion.noise import Schedule, VariancePreservingLogSNR
from gravlensdiffusion.diffusion.randomness import Streams
from gravlensdiffusion.diffusion.sampler import prior
from gravlensdiffusion.diffusion.solvers import Consistency
from gravlensdiffusion.training.objectives import (
    FollowSolver,
    MatchDistribution,
    Task,
    default_levels,
)
from tests.diffusion.gaussian import GaussianDenoiser, sample

SHAPE = (1, 1, 2)
SCHEDULE = VariancePreservingLogSNR(0.02, 20.0)
MEAN = torch.tensor([[[0.6, -0.4]]])
COVARIANCE = torch.tensor([[1.0, 0.5], [0.5, 0.5]])


class Affine(Denoiser):
    """An affine map of the noisy image for each of some noise levels, to be learned.

    A map holds from its level down to the next lower one, the last of all above the highest level.
    """

    def __init__(self, schedule: Schedule, levels: tuple[float, ...]) -> None:
        super().__init__()
        self.schedule = schedule
        self.levels = torch.tensor(sorted(levels), dtype=torch.float64)
        self.matrices = nn.Parameter(torch.zeros(len(levels) + 1, 2, 2))
        self.shifts = nn.Parameter(torch.zeros(len(levels) + 1, 2))

    def forward(self, x_t: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        t = t.double().expand(len(x_t))
        ratio = torch.exp(-0.5 * self.schedule.log_snr(t))
        place = torch.searchsorted(self.levels, ratio * (1 - 1e-6))
        flat = torch.einsum("bij,bj->bi", self.matrices[place], x_t.flatten(1))
        return (flat + self.shifts[place]).reshape(x_t.shape)

    def loss(self, x: Tensor, t: Tensor, eps: Tensor, condition: Condition | None = None) -> Tensor:
        alpha_t, sigma_t = (level.float()[:, None, None, None] for level in self.schedule(t))
        error = self(alpha_t * x + sigma_t * eps, t) - x
        weight = (1 + (alpha_t / sigma_t) ** 2).clamp(max=1e3)
        return (weight * error.square()).flatten(1).mean(1)

    def sample_t(self, u: Tensor) -> Tensor:
        return SCHEDULE.t_min + (1 - SCHEDULE.t_min) * u.double()


def task(first: int, num: int = 256) -> Task:
    """Return the work of a step that begins with an image."""
    return Task(Streams(0, range(first, first + num)), None, SHAPE, torch.device("cpu"))


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and covariance of images."""
    flat = x.flatten(1)
    return flat.mean(0), torch.cov(flat.T)


@pytest.fixture(scope="module")
def teacher() -> GaussianDenoiser:
    """The exact denoiser."""
    return GaussianDenoiser(MEAN, COVARIANCE, SCHEDULE)


def test_the_endpoint_is_where_the_exact_flow_arrives(teacher: GaussianDenoiser) -> None:
    student = Affine(SCHEDULE, ())
    objective = FollowSolver(student, teacher, (), 64, along=False)
    optimiser = torch.optim.Adam(student.parameters(), lr=0.05)
    for step in range(120):
        optimiser.zero_grad()
        objective.loss(task(256 * step)).backward()
        optimiser.step()
    x_1 = prior(SCHEDULE, task(10**6).normal(0))
    exact = teacher.flow(x_1, torch.ones(()), torch.zeros(()))
    found = student(x_1, torch.ones(()))
    assert (found - exact).abs().max() < 0.02 * exact.std()


def test_an_exact_flow_is_consistent_along_the_way_and_a_denoiser_is_not(
    teacher: GaussianDenoiser,
) -> None:
    class Flow(Affine):
        def forward(self, x_t: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
            return teacher.flow(x_t, t, torch.zeros(()))

    losses = []
    for student in (Flow(SCHEDULE, ()), teacher):
        objective = FollowSolver(student, teacher, (), 64, along=True)
        losses.append(sum(float(objective.loss(task(k))) for k in range(0, 4096, 256)))
    assert losses[0] < 0.01 * losses[1]


class ExactCritic(GaussianDenoiser):
    """The denoiser of the images that it was shown last, taken as Gaussian."""

    def __init__(self) -> None:
        super().__init__(torch.zeros(SHAPE), torch.eye(2), SCHEDULE)

    def see(self, x: Tensor) -> None:
        mean, covariance = moments(x.detach())
        seen = GaussianDenoiser(mean.reshape(SHAPE), covariance, SCHEDULE)
        self.mean, self.variances, self.directions = seen.mean, seen.variances, seen.directions


@pytest.mark.parametrize("steps", [(1,), (1, 2)])
def test_images_get_the_distribution_of_the_data(
    teacher: GaussianDenoiser, steps: tuple[int, ...]
) -> None:
    levels = default_levels(SCHEDULE, max(steps))
    student, critic = Affine(SCHEDULE, levels), ExactCritic()
    # Something of the noise must reach the images, or they have no spread to begin with.
    nn.init.normal_(student.matrices, std=0.1, generator=torch.Generator().manual_seed(0))
    match = MatchDistribution(student, teacher, critic, levels, steps)
    optimiser = torch.optim.Adam(student.parameters(), lr=0.02, betas=(0.5, 0.99))
    for step in range(300):
        work = task(512 * step, 512)
        x = match.images(work)
        critic.see(x)
        optimiser.zero_grad()
        match.loss(work, x).backward()
        optimiser.step()
        for group in optimiser.param_groups:
            group["lr"] = 0.02 * (1 - step / 300)
    streams = Streams(1, range(4096))
    x_1 = prior(SCHEDULE, Task(streams, None, SHAPE, torch.device("cpu")).normal(0))
    for num in steps:
        with torch.no_grad():
            drawn = sample(student, Consistency(levels), x_1, num, None, streams)
        mean, covariance = moments(drawn)
        assert (mean - MEAN.flatten()).abs().max() < 0.15
        assert (covariance - COVARIANCE).abs().max() < 0.15


def test_the_critic_learns_the_images_of_the_student(teacher: GaussianDenoiser) -> None:
    student, critic = Affine(SCHEDULE, ()), ExactCritic()
    match = MatchDistribution(student, teacher, critic, (), (1,))
    x = torch.randn(4096, *SHAPE, generator=torch.Generator().manual_seed(0)) + 2
    losses = []
    for shift in (0.0, 1.0):
        critic.see(x + shift)
        losses.append(float(match.critic_loss(task(0, 4096), x)))
    assert losses[0] < 0.9 * losses[1]


def test_a_teacher_with_other_images_pulls_towards_them(teacher: GaussianDenoiser) -> None:
    # The critic knows images at +1, the teacher at its own mean: x moves down the difference.
    away = GaussianDenoiser(MEAN + 1, COVARIANCE, SCHEDULE)
    student = Affine(SCHEDULE, ())
    match = MatchDistribution(student, teacher, away, (), (1,))
    x = torch.zeros(64, *SHAPE, requires_grad=True)
    match.loss(task(0, 64), x).backward()
    assert x.grad is not None
    assert (x.grad.mean(0) > 0).all()
    # Where both agree nothing moves.
    x.grad = None
    MatchDistribution(student, teacher, teacher, (), (1,)).loss(task(0, 64), x).backward()
    assert x.grad is not None
    assert x.grad.abs().max() == 0


def test_only_the_last_step_of_a_chain_is_trained(teacher: GaussianDenoiser) -> None:
    levels = default_levels(SCHEDULE, 2)
    student = Affine(SCHEDULE, levels)
    match = MatchDistribution(student, teacher, teacher, levels, (2,))
    lower, upper = set(), set()
    for first in range(0, 64 * 16, 16):
        student.zero_grad()
        match.images(task(first, 16)).sum().backward()
        assert student.shifts.grad is not None
        moved = (student.shifts.grad.abs().sum(1) > 0).tolist()
        lower.add(moved[0])
        upper.add(moved[1])
        assert moved[0] != moved[1]
    assert lower == upper == {True, False}


def test_default_levels_fall_within_the_range_of_the_schedule() -> None:
    assert default_levels(SCHEDULE, 1) == ()
    (middle,) = default_levels(SCHEDULE, 2)
    four = default_levels(SCHEDULE, 4)
    assert len(four) == 3
    assert 20 > four[0] > four[1] > four[2] > 0.02
    assert math.isclose(middle, four[1], rel_tol=1e-4)
