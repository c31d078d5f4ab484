"""Muon: orthogonal steps, and Adam for what it does not take."""

import copy

import pytest
import torch
from torch import nn

from gravlensdiffusion.config.network import UNetConfig
from gravlensdiffusion.config.training import OptimiserConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.nn.reference import ReferenceUNet
from gravlensdiffusion.nn.unet import UNet
from gravlensdiffusion.training.optimiser import _Muon, _orthogonalised, build_optimiser


@pytest.mark.parametrize("shape", [(2, 24, 60), (3, 60, 24), (1, 16, 16)])
def test_orthogonalised_keeps_singular_vectors_and_levels_singular_values(
    shape: tuple[int, ...],
) -> None:
    torch.manual_seed(0)
    matrices = torch.randn(shape)
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    result = _orthogonalised(matrices)
    inside = u.mT @ result @ v.mT
    values = torch.diagonal(inside, dim1=1, dim2=2)
    assert float(values.min()) > 0.6
    assert float(values.max()) < 1.3
    off = inside - torch.diag_embed(values)
    assert float(off.abs().max()) < 1e-4


def test_orthogonalised_takes_no_notice_of_scale_and_survives_zero() -> None:
    torch.manual_seed(0)
    matrices = torch.randn(1, 8, 12)
    torch.testing.assert_close(
        _orthogonalised(1e-4 * matrices), _orthogonalised(matrices), rtol=1e-4, atol=1e-5
    )
    assert not _orthogonalised(torch.zeros(1, 8, 12)).any()


def test_bf16_takes_much_the_same_step_with_weights_in_single_precision() -> None:
    torch.manual_seed(0)
    start, gradient = torch.randn(32, 4, 3, 3), torch.randn(32, 4, 3, 3)
    steps = []
    for precision in ("fp32", "bf16"):
        conv = nn.Conv2d(4, 32, 3)
        conv.weight.data.copy_(start)
        conv.hidden_weights = lambda conv=conv: [conv.weight]
        optimiser = build_optimiser(conv, OptimiserConfig(kind="muon", weight_decay=0), precision)
        conv.weight.grad, conv.bias.grad = gradient.clone(), torch.ones_like(conv.bias)
        optimiser.step()
        assert conv.weight.dtype == optimiser.state[conv.weight]["momentum"].dtype == torch.float32
        steps.append(conv.weight.detach() - start)
    exact, rough = steps
    assert not torch.equal(exact, rough)
    assert float((exact - rough).norm() / exact.norm()) < 0.1


def test_first_step_has_the_size_of_the_rate_and_goes_down() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 32, 3)
    before = conv.weight.detach().clone()
    optimiser = _Muon([conv.weight], [conv.bias], lr=0.01, adam_lr=0.001, weight_decay=0.0)
    gradient = torch.randn_like(conv.weight)
    conv.weight.grad, conv.bias.grad = gradient.clone(), torch.ones_like(conv.bias)
    optimiser.step()
    step = (conv.weight.detach() - before).flatten(1)
    values = torch.linalg.svdvals(step)
    assert float(values.min()) > 0.6 * 0.01
    assert float(values.max()) < 1.3 * 0.01
    assert float((step * gradient.flatten(1)).sum()) < 0


def test_tall_weights_take_larger_steps_and_all_decay() -> None:
    weight = nn.Parameter(torch.ones(64, 4))
    optimiser = _Muon([weight], [], lr=0.1, adam_lr=0.1, weight_decay=0.5)
    weight.grad = torch.zeros_like(weight)
    optimiser.step()
    torch.testing.assert_close(weight.detach(), torch.full((64, 4), 0.95))
    torch.manual_seed(0)
    weight.grad = torch.randn_like(weight)
    before = weight.detach() * 0.95
    optimiser.step()
    norm = torch.linalg.svdvals(weight.detach() - before)
    assert float(norm.mean()) == pytest.approx(0.1 * 4, rel=0.3)


def test_other_weights_follow_adam() -> None:
    torch.manual_seed(0)
    ours = nn.Linear(5, 3)
    theirs = copy.deepcopy(ours)
    optimiser = _Muon([], ours.parameters(), lr=1.0, adam_lr=1e-2, betas=(0.9, 0.99))
    adam = torch.optim.Adam(theirs.parameters(), lr=1e-2, betas=(0.9, 0.99))
    for _ in range(5):
        x = torch.randn(7, 5)
        for network, each in ((ours, optimiser), (theirs, adam)):
            each.zero_grad()
            (network(x) ** 2).sum().backward()
            each.step()
    torch.testing.assert_close(ours.weight, theirs.weight)
    torch.testing.assert_close(ours.bias, theirs.bias)


def test_muon_takes_the_hidden_weights_of_the_unet_alone() -> None:
    network = UNet(UNetConfig(channels=(8, 16), attention_levels=(1,)), 1, 2)
    optimiser = build_optimiser(network, OptimiserConfig(kind="muon", learning_rate=0.02))
    hidden, others = (set(map(id, group["params"])) for group in optimiser.param_groups)
    assert hidden | others == set(map(id, network.parameters()))
    assert not hidden & others
    for outer in (network.stem, network.head, network.noise_embedding, network.label_embedding):
        assert outer is not None
        assert not hidden & set(map(id, outer.parameters()))
    assert id(network.down[0].block.conv_in.weight) in hidden
    assert id(network.down[0].block.norm_in.weight) in others


def test_each_group_has_its_share_of_the_rate() -> None:
    network = UNet(UNetConfig(channels=(8,), attention_levels=()), 1, 0)
    config = OptimiserConfig(kind="muon", learning_rate=0.02, adam_learning_rate=0.001)
    optimiser = build_optimiser(network, config)
    assert [group["share"] for group in optimiser.param_groups] == pytest.approx([1, 0.05])


def test_state_is_restored_to_the_bit() -> None:
    torch.manual_seed(0)
    network = UNet(UNetConfig(channels=(8,), attention_levels=()), 1, 0)
    config = OptimiserConfig(kind="muon", learning_rate=0.02)
    optimiser = build_optimiser(network, config)

    def step(net: UNet, each: torch.optim.Optimizer) -> None:
        torch.manual_seed(1)
        each.zero_grad()
        net(torch.randn(2, 1, 8, 8), torch.zeros(2)).square().sum().backward()
        each.step()

    step(network, optimiser)
    other = copy.deepcopy(network)
    resumed = build_optimiser(other, config)
    resumed.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    step(network, optimiser)
    step(other, resumed)
    for ours, theirs in zip(network.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_network_without_hidden_weights_is_refused() -> None:
    with pytest.raises(GravLensError, match="muon"):
        build_optimiser(ReferenceUNet(), OptimiserConfig(kind="muon"))


def test_momentum_looks_ahead() -> None:
    """The second step goes along G2 + mu (G2 + mu G1), Nesterov's."""
    torch.manual_seed(0)
    first, second = torch.randn(2, 6, 9)
    weight = nn.Parameter(torch.zeros(6, 9))
    optimiser = _Muon([weight], [], lr=0.1, momentum=0.9, adam_lr=0.1)
    weight.grad = first.clone()
    optimiser.step()
    before = weight.detach().clone()
    weight.grad = second.clone()
    optimiser.step()
    expected = -0.1 * _orthogonalised((second + 0.9 * (second + 0.9 * first))[None])[0]
    torch.testing.assert_close(weight.detach() - before, expected)
