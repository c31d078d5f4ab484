"""Preconditioned denoisers: estimates, losses, training levels, and what is known of the images."""

import math

import pytest
import torch
from torch import Tensor, nn

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.diffusion.denoise import HIDDEN_SCALE, PreconditionedDenoiser
from gravlensdiffusion.diffusion.noise import VariancePreservingLogSNR
from tests.diffusion.gaussian import GaussianDenoiser
from tests.diffusion.networks import LabelNet, Oracle, column


def test_preconditioning_is_that_of_karras(images: tuple[Tensor, Tensor, Tensor]) -> None:
    x, _, _ = images
    schedule = VariancePreservingLogSNR(sigma_min=0.002, sigma_max=80.0)
    sigma = torch.tensor([0.002, 0.1, 0.5, 3.0, 80.0], dtype=torch.float64)
    t = schedule.t_from_log_snr(-2 * sigma.log())
    net = Oracle(torch.full_like(x, 0.7))
    denoiser = PreconditionedDenoiser(net, schedule)
    alpha, _ = schedule(t)
    x_hat = denoiser(column(alpha) * x, t)
    # Table 1 of arXiv:2206.00364, written with its sigma, where the noisy image is y itself,
    # for data of unit variance.
    c_skip = 1 / (sigma**2 + 1)
    c_out = sigma / torch.sqrt(sigma**2 + 1)
    c_in = 1 / torch.sqrt(sigma**2 + 1)
    assert torch.allclose(x_hat, column(c_skip) * x + column(c_out) * 0.7, rtol=1e-9)
    assert torch.allclose(net.seen[0], column(c_in) * x, rtol=1e-9)
    assert torch.allclose(net.seen[1], sigma.log() / 4, rtol=1e-9)


def test_preconditioned_loss_is_the_error_of_x_hat_over_c_out(
    images: tuple[Tensor, Tensor, Tensor],
) -> None:
    x, eps, t = images
    schedule = VariancePreservingLogSNR()
    denoiser = PreconditionedDenoiser(LabelNet(), schedule)
    alpha, sigma = schedule(t)
    x_hat = denoiser(column(alpha) * x + column(sigma) * eps, t)
    r = sigma / alpha
    c_out = r / torch.sqrt(r**2 + 1)
    expected = (x_hat - x).square().mean((1, 2, 3)) / c_out**2
    assert torch.allclose(denoiser.loss(x, t, eps).double(), expected, rtol=1e-6)


def test_without_skip_the_network_gives_the_clean_image(
    images: tuple[Tensor, Tensor, Tensor],
) -> None:
    x, eps, t = images
    schedule, floor = VariancePreservingLogSNR(), 0.1
    net = Oracle(torch.full_like(x, 0.7))
    denoiser = PreconditionedDenoiser(net, schedule, skip=False, floor=floor)
    alpha, sigma = schedule(t)
    x_hat = denoiser(column(alpha) * x + column(sigma) * eps, t)
    assert torch.allclose(x_hat, torch.full_like(x, 0.7), rtol=1e-9)
    r = sigma / alpha
    c_out = r / torch.sqrt(r**2 + 1)
    expected = (x_hat - x).square().mean((1, 2, 3)) / (c_out**2 + floor**2)
    assert torch.allclose(denoiser.loss(x, t, eps).double(), expected, rtol=1e-5)


def test_errors_where_next_to_nothing_is_expected_count_for_what_they_would_be_hidden_by(
    images: tuple[Tensor, Tensor, Tensor],
) -> None:
    x, eps, t = images
    schedule, floor = VariancePreservingLogSNR(), 0.1
    std = torch.full_like(x, 1e-3)
    std[..., 2:] = 0.5
    denoiser = PreconditionedDenoiser(
        Oracle(torch.full_like(x, 0.7)),
        schedule,
        skip=False,
        floor=floor,
        expected=lambda _, like: (torch.zeros_like(like), std, None),
    )
    x = x * std
    alpha, sigma = schedule(t)
    x_hat = denoiser(column(alpha) * x + column(sigma) * eps, t)
    assert torch.allclose(x_hat, 0.7 * std, rtol=1e-9)
    r = column(sigma / alpha)
    scale = std.clamp(min=HIDDEN_SCALE) * (r**2 / (r**2 + std**2) + floor**2).sqrt()
    expected = ((x_hat - x) / scale).square().mean((1, 2, 3))
    assert torch.allclose(denoiser.loss(x, t, eps).double(), expected, rtol=1e-4)


class CleanOracle(nn.Module):
    """The exact denoiser of normal data that hold no noise, called as a network is."""

    def __init__(self, mean: Tensor, covariance: Tensor) -> None:
        super().__init__()
        self.exact = GaussianDenoiser(mean, covariance, VariancePreservingLogSNR(1e-6, 1e6))

    def forward(self, x: Tensor, noise: Tensor, condition: Condition | None) -> Tensor:
        # The network is told a quarter of log r, and sees the noisy image over sqrt(r^2 + 1).
        r = torch.exp(4 * noise)
        t = self.exact.schedule.t_from_log_snr(-2 * r.log())
        alpha, _ = self.exact.schedule(t)
        return self.exact(column(alpha * (r**2 + 1).sqrt()) * x, t)


def test_noise_that_goes_past_an_exact_network_makes_an_exact_denoiser(
    images: tuple[Tensor, Tensor, Tensor],
) -> None:
    x, eps, t = images
    source = torch.Generator().manual_seed(1)
    root = torch.randn(16, 16, generator=source, dtype=torch.float64) / 4
    mean = torch.randn(1, 4, 4, generator=source, dtype=torch.float64)
    clean, noise = root @ root.T, 0.3
    schedule = VariancePreservingLogSNR(0.02, 80.0)
    net = CleanOracle(mean, clean)
    denoiser = PreconditionedDenoiser(net, schedule, skip=False, floor=0.1, noise=noise)
    exact = GaussianDenoiser(mean, clean + noise**2 * torch.eye(16), schedule)
    alpha, sigma = schedule(t)
    x_t = column(alpha) * x + column(sigma) * eps
    x_hat = denoiser(x_t, t)
    assert torch.allclose(x_hat, exact(x_t, t), atol=1e-6)
    r = sigma / alpha
    scale = r**2 / (r**2 + 1) + 0.1**2
    expected = (x_hat - x).square().mean((1, 2, 3)) / scale
    assert torch.allclose(denoiser.loss(x, t, eps).double(), expected, rtol=1e-5)
    # Where it is removed, the loss is the same, and the estimate that of images without it.
    removing = PreconditionedDenoiser(
        net, schedule, skip=False, floor=0.1, noise=noise, keeps_noise=False
    )
    assert torch.equal(removing.loss(x, t, eps), denoiser.loss(x, t, eps))
    assert torch.allclose(
        removing(x_t, t), GaussianDenoiser(mean, clean, schedule)(x_t, t), atol=1e-6
    )


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("by_pixel", [True, False])
def test_what_is_expected_of_a_condition_is_the_mean_and_the_scale(
    skip: bool, by_pixel: bool
) -> None:
    # Images of class k are 2 k plus white noise of standard deviation 0.1 or 0.5, half of that in
    # their left half where it goes by pixel.
    means, stds = torch.tensor([0.0, 2.0, -4.0]), torch.tensor([0.1, 0.5, 0.1])
    share = torch.ones(1, 4, 4)
    share[..., :2] = 0.5 if by_pixel else 1.0

    def scale(label: Tensor) -> Tensor:
        return column(stds[label]) * (share if by_pixel else 1)

    def expected(condition: Condition | None, like: Tensor) -> tuple[Tensor, Tensor, None]:
        assert condition is not None
        return column(means[condition.label]).expand_as(like), scale(condition.label), None

    class Exact(nn.Module):
        """Knows that what it sees, and is asked for, has zero mean and unit variance."""

        def forward(self, x: Tensor, noise: Tensor, condition: Condition) -> Tensor:
            r, s = column(torch.exp(4 * noise)), scale(condition.label)
            # The input is (x - m) / sqrt(r^2 + s^2): of the clean image a share of s^2 is known.
            return torch.zeros_like(x) if skip else s / (r**2 + s**2).sqrt() * x

    schedule = VariancePreservingLogSNR(1e-2, 1e2)
    denoiser = PreconditionedDenoiser(Exact(), schedule, skip=skip, expected=expected)
    label = torch.arange(3).repeat(40)
    condition = Condition(label=label)
    generator = torch.Generator().manual_seed(0)
    s, m = scale(label), column(means[label])
    x = m + s * torch.randn(120, 1, 4, 4, generator=generator)
    eps = torch.randn(x.shape, generator=generator)
    for r in (0.05, 0.5, 5.0):
        t = schedule.t_from_log_snr(torch.full((120,), -2 * math.log(r), dtype=torch.float64))
        alpha, sigma = (level.float() for level in schedule(t))
        x_t = column(alpha) * x + column(sigma) * eps
        exact = m + s**2 / (s**2 + r**2) * (x_t / column(alpha) - m)
        assert torch.allclose(denoiser(x_t, t, condition), exact, atol=1e-4)
        # The error of an exact denoiser, over c_out, is one at every level and scale.
        assert denoiser.loss(x, t, eps, condition).mean() == pytest.approx(1, abs=0.1)


def test_correlated_noise_is_told_from_images(images: tuple[Tensor, Tensor, Tensor]) -> None:
    # On a periodic grid, where the noise of an image is that of its spectrum.
    x, eps, t = images
    source = torch.Generator().manual_seed(1)
    root = torch.randn(16, 16, generator=source, dtype=torch.float64) / 4
    mean = torch.randn(1, 4, 4, generator=source, dtype=torch.float64)
    clean, noise = root @ root.T, 0.3
    table = torch.zeros(4, 4, dtype=torch.float64)
    table[0, 0], table[0, 1], table[0, 3], table[1, 0], table[3, 0] = 1.0, 0.2, 0.2, 0.2, 0.2
    places = torch.cartesian_prod(torch.arange(4), torch.arange(4))
    apart = (places[:, None] - places[None]) % 4
    own = noise**2 * table[apart[..., 0], apart[..., 1]]
    schedule = VariancePreservingLogSNR(0.02, 80.0)
    ratio = torch.exp(-0.5 * schedule.log_snr(t))

    class Exact(nn.Module):
        """The mean of images without noise, given images with theirs and white noise."""

        def forward(self, seen: Tensor, _: Tensor, condition: Condition | None) -> Tensor:
            y = (seen * column((ratio**2 + 1 + noise**2).sqrt()) - mean).flatten(1)
            total = clean + own + ratio[:, None, None] ** 2 * torch.eye(16, dtype=torch.float64)
            gain = torch.linalg.solve(total, clean.expand(len(y), 16, 16)).mT
            return mean + (gain @ y[..., None]).reshape(seen.shape)

    denoiser = PreconditionedDenoiser(
        Exact(),
        schedule,
        skip=False,
        floor=0.1,
        noise=noise,
        keeps_noise=False,
        spectrum=torch.fft.rfft2(table).real,
    )
    # Its loss is then that of the exact estimate of the images with their noise.
    exact = GaussianDenoiser(mean, clean + own, schedule)
    alpha, sigma = schedule(t)
    x_hat = exact(column(alpha) * x + column(sigma) * eps, t)
    scale = ratio**2 / (ratio**2 + 1) + 0.1**2
    expected = (x_hat - x).square().mean((1, 2, 3)) / scale
    assert torch.allclose(denoiser.loss(x, t, eps).double(), expected, rtol=1e-4)


def test_preconditioned_target_has_unit_variance_at_every_level() -> None:
    source = torch.Generator().manual_seed(0)
    schedule = VariancePreservingLogSNR()
    x, eps = torch.randn(2, 5, 1, 100, 100, generator=source)
    silent = PreconditionedDenoiser(Oracle(torch.zeros_like(x)), schedule)
    t = torch.tensor([0.001, 0.2, 0.5, 0.8, 1.0], dtype=torch.float64)
    assert silent.loss(x, t, eps).tolist() == pytest.approx([1.0] * 5, abs=0.06)


def test_training_levels_follow_the_mixture() -> None:
    schedule = VariancePreservingLogSNR(sigma_min=1e-3, sigma_max=100.0)
    denoiser = PreconditionedDenoiser(
        nn.Identity(), schedule, uniform_fraction=0.4, p_mean=-0.5, p_std=1.2
    )
    u = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    t = denoiser.sample_t(u)
    assert (t.diff() > 0).all()
    assert t[0] >= schedule.t_min
    assert t[-1] <= 1
    log_ratio = -0.5 * schedule.log_snr(t)
    lowest, highest = math.log(1e-3), math.log(100)
    normal = torch.distributions.Normal(-0.5, 1.2)
    inside = normal.cdf(torch.tensor(highest)) - normal.cdf(torch.tensor(lowest))
    for level in (-5.0, -2.0, -0.5, 1.0, 3.0):
        part = (normal.cdf(torch.tensor(level)) - normal.cdf(torch.tensor(lowest))) / inside
        expected = 0.4 * (level - lowest) / (highest - lowest) + 0.6 * part.item()
        assert (log_ratio < level).double().mean().item() == pytest.approx(expected, abs=2e-4)


def test_a_normal_alone_or_uniform_alone_can_be_asked_for() -> None:
    schedule = VariancePreservingLogSNR(sigma_min=1e-3, sigma_max=100.0)
    u = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    normal = PreconditionedDenoiser(
        nn.Identity(), schedule, uniform_fraction=0.0, p_mean=0.3, p_std=0.2
    )
    level = -0.5 * schedule.log_snr(normal.sample_t(u))
    assert level[1].item() == pytest.approx(0.3, abs=1e-3)
    assert level.isfinite().all()
    uniform = PreconditionedDenoiser(nn.Identity(), schedule, uniform_fraction=1.0)
    assert uniform.sample_t(u).tolist() == pytest.approx([0.001, 0.5005, 1.0])
