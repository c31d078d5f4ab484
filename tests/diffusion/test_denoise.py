"""Denoisers: formulas of the prediction types, training times, settings that are refused."""

import pytest
import torch
from torch import Tensor, nn

from gravlensdiffusion.diffusion.denoise import IndexedDenoiser, PreconditionedDenoiser, Prediction
from gravlensdiffusion.diffusion.noise import CosineSchedule, DDPMSchedule, VariancePreservingLogSNR
from gravlensdiffusion.errors import GravLensError
from tests.diffusion.networks import LabelNet, Oracle, column

INDEXED = ["epsilon", "v", "x0"]


def right_answer(kind: Prediction, x: Tensor, eps: Tensor, t: Tensor) -> Tensor:
    alpha, sigma = map(column, DDPMSchedule()(t))
    return {
        "epsilon": eps,
        "v": alpha * eps - sigma * x,
        "x0": x,
    }[kind]


@pytest.mark.parametrize("kind", INDEXED)
def test_a_network_that_is_right_gives_the_clean_image(
    kind: Prediction,
    images: tuple[Tensor, Tensor, Tensor],
) -> None:
    x, eps, t = images
    net = Oracle(right_answer(kind, x, eps, t))
    denoiser = IndexedDenoiser(net, DDPMSchedule(), kind)
    alpha, sigma = map(column, DDPMSchedule()(t))
    assert torch.allclose(denoiser(alpha * x + sigma * eps, t), x, atol=1e-9)
    assert net.seen[1].tolist() == [0, 99, 499, 899, 999]
    assert denoiser.loss(x, t, eps).tolist() == [0] * 5


@pytest.mark.parametrize("kind", INDEXED)
def test_the_loss_is_the_plain_mean_square_of_the_target(
    kind: Prediction,
    images: tuple[Tensor, Tensor, Tensor],
) -> None:
    x, eps, t = images
    wrong = torch.arange(1.0, 6.0)
    net = Oracle(right_answer(kind, x, eps, t) + column(wrong))
    loss = IndexedDenoiser(net, DDPMSchedule(), kind).loss(x, t, eps)
    assert torch.allclose(loss, wrong**2)
    alpha, sigma = map(column, DDPMSchedule()(t))
    assert torch.allclose(net.seen[0], alpha * x + sigma * eps)


@pytest.mark.parametrize("kind", INDEXED)
def test_discrete_training_times_are_the_steps_equally_often(
    kind: Prediction,
) -> None:
    denoiser = IndexedDenoiser(nn.Identity(), CosineSchedule(num_steps=8), kind)
    t = denoiser.sample_t((torch.arange(4000) + 0.5) / 4000)
    times, counts = t.unique(return_counts=True)
    assert times.tolist() == [i / 8 for i in range(1, 9)]
    assert counts.tolist() == [500] * 8
    assert denoiser.sample_t(torch.tensor([0.0, 1.0])).tolist() == [1 / 8, 1.0]


def test_estimates_at_time_zero_are_the_image(images: tuple[Tensor, Tensor, Tensor]) -> None:
    x, _, _ = images
    denoiser = PreconditionedDenoiser(LabelNet(), VariancePreservingLogSNR())
    assert torch.equal(denoiser(x, torch.tensor(0.0)), x)


def test_one_time_stands_for_all_images(images: tuple[Tensor, Tensor, Tensor]) -> None:
    x, _, _ = images
    denoiser = PreconditionedDenoiser(LabelNet(), VariancePreservingLogSNR())
    each = denoiser(x, torch.full((5,), 0.4, dtype=torch.float64))
    assert torch.equal(denoiser(x, torch.tensor(0.4, dtype=torch.float64)), each)


def test_training_levels_outside_of_the_schedule_are_refused() -> None:
    with pytest.raises(GravLensError, match="p_mean"):
        PreconditionedDenoiser(nn.Identity(), DDPMSchedule(), p_mean=50.0)


def test_clipping_holds_estimates_in_range() -> None:
    net = Oracle(torch.linspace(-3, 3, 8).reshape(2, 1, 2, 2))
    clipped = IndexedDenoiser(net, DDPMSchedule(), "x0", clip=True)
    x_hat = clipped(torch.zeros(2, 1, 2, 2), torch.tensor(0.5))
    assert torch.equal(x_hat, net.output.clamp(-1, 1))
