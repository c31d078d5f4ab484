"""Guidance and epsilon scaling, by a denoiser around a denoiser."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.config.bounds import UNLABELLED
from gravlensdiffusion.diffusion.denoise import Denoiser, IndexedDenoiser, PreconditionedDenoiser
from gravlensdiffusion.diffusion.guidance import GuidedDenoiser, ScaledDenoiser
from gravlensdiffusion.diffusion.noise import DDPMSchedule, VariancePreservingLogSNR
from tests.diffusion.networks import LabelNet, Oracle, column


def test_guidance_mixes_the_conditioned_and_the_free_estimate(
    images: tuple[Tensor, Tensor, Tensor],
) -> None:
    x, _, t = images
    denoiser = PreconditionedDenoiser(LabelNet(), VariancePreservingLogSNR())
    condition = Condition(label=torch.tensor([0, 1, 2, UNLABELLED, 1]))
    conditioned, free = denoiser(x, t, condition), denoiser(x, t, condition.dropped())
    for scale in (0.0, 0.5, 1.0, 3.0):
        expected = free + scale * (conditioned - free)
        assert torch.allclose(GuidedDenoiser(denoiser, scale)(x, t, condition), expected)
    assert torch.equal(conditioned[3], free[3])
    assert not torch.allclose(conditioned[1], free[1])


@pytest.mark.parametrize("kept", [False, True])
def test_guidance_carries_physical_parameters_along(kept: bool) -> None:
    net = Oracle(torch.zeros(4, 1, 2, 2))
    condition = Condition(label=torch.tensor([0, 1]), parameters=torch.tensor([[1.0], [2.0]]))
    guided = GuidedDenoiser(
        IndexedDenoiser(net, DDPMSchedule(), "epsilon"), 2.0, keeps_parameters=kept
    )
    guided(torch.zeros(2, 1, 2, 2), torch.tensor(0.5), condition)
    seen = net.seen[2]
    assert seen.label.tolist() == [0, 1, UNLABELLED, UNLABELLED]
    assert seen.parameters[:2].flatten().tolist() == [1, 2]
    dropped = seen.parameters[2:]
    assert dropped.flatten().tolist() == [1, 2] if kept else dropped.isnan().all()


@pytest.mark.parametrize(("scale", "labelled", "size"), [(1.0, True, 2), (2.0, False, 2)])
def test_guidance_that_changes_nothing_costs_nothing(
    scale: float, labelled: bool, size: int
) -> None:
    net = Oracle(torch.zeros(size, 1, 2, 2))
    guided = GuidedDenoiser(IndexedDenoiser(net, DDPMSchedule(), "epsilon"), scale)
    condition = Condition(label=torch.tensor([0, 1])) if labelled else None
    guided(torch.zeros(2, 1, 2, 2), torch.tensor(0.5), condition)
    assert len(net.seen[0]) == size


def test_epsilon_scaling_divides_the_noise_from_a_level_on(
    images: tuple[Tensor, Tensor, Tensor],
) -> None:
    x_t, _, t = images
    denoiser = PreconditionedDenoiser(LabelNet(), VariancePreservingLogSNR())
    alpha_t, sigma_t = (column(level) for level in denoiser.schedule(t))
    ratios = (sigma_t / alpha_t).flatten()
    plain = (x_t - alpha_t * denoiser(x_t, t)) / sigma_t
    lowest = float(ratios.median())
    scaled = (x_t - alpha_t * ScaledDenoiser(denoiser, 1.1, lowest)(x_t, t)) / sigma_t
    divided = ratios >= lowest
    assert 0 < divided.sum() < len(divided)
    assert torch.allclose(scaled[divided], plain[divided] / 1.1, atol=1e-4)
    assert torch.allclose(scaled[~divided], plain[~divided], atol=1e-4)
    everywhere = (x_t - alpha_t * ScaledDenoiser(denoiser, 1.1)(x_t, t)) / sigma_t
    assert torch.allclose(everywhere, plain / 1.1, atol=1e-4)


@pytest.mark.parametrize("wrap", [GuidedDenoiser, ScaledDenoiser])
def test_a_wrapped_denoiser_trains_as_the_one_inside(
    wrap: Callable[[Denoiser, float], Denoiser], images: tuple[Tensor, Tensor, Tensor]
) -> None:
    x, eps, t = images
    inside = PreconditionedDenoiser(LabelNet(), VariancePreservingLogSNR())
    wrapped = wrap(inside, 3.0)
    assert torch.equal(wrapped.loss(x, t, eps), inside.loss(x, t, eps))
    assert torch.equal(wrapped.sample_t(t), inside.sample_t(t))
