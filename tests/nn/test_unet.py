"""The U-Net: any size, labels, noise levels, one image at a time."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.config.bounds import UNLABELLED
from gravlensdiffusion.config.model import ParameterConfig
from gravlensdiffusion.config.network import UNetConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.nn.layers import SelfAttention, SinusoidalFeatures
from gravlensdiffusion.nn.unet import UNet

SMALL = UNetConfig(
    channels=(8, 16), num_blocks=1, attention_levels=(1,), num_heads=2, embedding_dim=16
)


PARAMETERS = (
    ParameterConfig(name="theta_E", low=1.0, high=2.0),
    ParameterConfig(name="signal_to_noise", low=1.0, high=100.0, scale="log"),
)


def awake(
    config: UNetConfig = SMALL,
    num_channels: int = 1,
    num_classes: int = 3,
    parameters: Sequence[ParameterConfig] = (),
) -> UNet:
    """Return a network none of whose weights are zero."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = UNet(config, num_channels, num_classes, parameters)
        for parameter in net.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    return net.eval()


@pytest.mark.parametrize("size", [7, 8, 28, 30])
@pytest.mark.parametrize("levels", [(8,), (8, 16), (8, 16, 16)])
def test_any_size_comes_out_as_it_went_in(size: int, levels: tuple[int, ...]) -> None:
    net = awake(UNetConfig(channels=levels, attention_levels=(), embedding_dim=16), 2)
    x = torch.randn(2, 2, size, size)
    assert net(x, torch.zeros(2)).shape == x.shape


def test_images_of_a_batch_do_not_touch_each_other() -> None:
    net = awake()
    x, noise = torch.randn(3, 1, 8, 8), torch.randn(3)
    condition = Condition(label=torch.tensor([0, 1, UNLABELLED]))
    together = net(x, noise, condition)
    alone = torch.cat([net(x[k : k + 1], noise[k : k + 1], condition[k : k + 1]) for k in range(3)])
    assert torch.allclose(together, alone, atol=1e-5)


def test_labels_and_noise_levels_matter_and_no_condition_means_any() -> None:
    net = awake()
    x, noise = torch.randn(1, 1, 8, 8).expand(4, -1, -1, -1), torch.zeros(4)
    by_label = net(x, noise, Condition(label=torch.tensor([0, 1, 2, UNLABELLED])))
    for k in range(3):
        assert (by_label[k] - by_label[k + 1]).abs().max() > 1e-3
    assert torch.equal(net(x, noise)[3], by_label[3])
    assert (net(x, noise + 1) - net(x, noise)).abs().max() > 1e-3


def table(*rows: tuple[float, float]) -> Tensor:
    """Return parameters as they are ordered, float64."""
    return torch.tensor(rows, dtype=torch.float64)


def test_each_parameter_matters_by_itself() -> None:
    net = awake(parameters=PARAMETERS)
    rows = table((1.2, 10), (1.7, 10), (1.2, 50), (math.nan, 10), (1.2, math.nan))
    x, noise = torch.randn(1, 1, 8, 8).expand(5, -1, -1, -1), torch.zeros(5)
    out = net(x, noise, Condition(label=torch.zeros(5, dtype=torch.long), parameters=rows))
    assert out.isfinite().all()
    distance = torch.cdist(out.flatten(1), out.flatten(1)) + 10 * torch.eye(5)
    assert distance.min() > 1e-2


def test_no_condition_means_neither_class_nor_parameters() -> None:
    net = awake(parameters=PARAMETERS)
    x, noise = torch.randn(2, 1, 8, 8), torch.randn(2)
    label = torch.full((2,), UNLABELLED)
    nothing = Condition(label=label, parameters=table((math.nan, math.nan), (math.nan, math.nan)))
    assert torch.equal(net(x, noise), net(x, noise, nothing))
    assert torch.equal(net(x, noise, Condition(label=label)), net(x, noise, nothing))
    some = Condition(label=label, parameters=table((1.5, math.nan), (math.nan, math.nan)))
    assert (net(x, noise, some) - net(x, noise))[0].abs().max() > 1e-3
    assert torch.allclose(net(x, noise, some)[1], net(x, noise)[1], atol=1e-6)
    dropped = Condition(label=torch.tensor([0, 1]), parameters=table((1.5, 3), (1.1, 9))).dropped()
    assert torch.equal(net(x, noise, dropped), net(x, noise))


def test_left_out_parameters_leave_no_nan_in_gradients() -> None:
    net = awake(num_classes=0, parameters=PARAMETERS)
    rows = table((math.nan, math.nan), (1.2, math.nan))
    condition = Condition(label=torch.full((2,), UNLABELLED), parameters=rows)
    net(torch.randn(2, 1, 8, 8), torch.zeros(2), condition).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    assert net.parameter_embedding is not None
    by_column = net.parameter_embedding[1].weight.grad.abs().sum(0)
    # Nothing is learned of a parameter that is left out everywhere.
    assert by_column[:10].all()
    assert not by_column[10:].any()


def test_every_weight_is_used() -> None:
    net = awake(parameters=PARAMETERS)
    rows = table((1.2, 10), (1.3, math.nan), (math.nan, 20), (1.9, 40))
    condition = Condition(label=torch.tensor([0, 1, 2, UNLABELLED]), parameters=rows)
    net(torch.randn(4, 1, 8, 8), torch.randn(4), condition).square().sum().backward()
    unused = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert unused == []


@pytest.mark.parametrize(("patch", "size"), [(2, 6), (2, 8), (2, 14), (3, 9), (5, 5), (5, 15)])
def test_any_multiple_of_the_patch_comes_out_as_it_went_in(patch: int, size: int) -> None:
    x, noise = torch.randn(2, 2, size, size), torch.zeros(2)
    plain, patched = (awake(replace(SMALL, patch=each), 2, 0) for each in (1, patch))
    assert patched(x, noise).shape == plain(x, noise).shape == x.shape


@pytest.mark.parametrize("num_channels", [1, 2])
def test_a_patch_comes_back_to_where_it_was(num_channels: int) -> None:
    class Skip(nn.Module):
        """Hand on what came over the skip connection."""

        def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
            return x.chunk(2, dim=1)[1]

    net = UNet(UNetConfig(channels=(8,), attention_levels=(), patch=3), num_channels, 0)
    net.stem = net.norm = net.head = nn.Identity()
    net.down, net.middle, net.up = nn.ModuleList(), nn.ModuleList(), nn.ModuleList([Skip()])
    net.num_blocks = 0
    x = torch.randn(2, num_channels, 9, 9)
    assert torch.allclose(net(x, torch.zeros(2)), F.silu(x), atol=1e-6)


def test_the_network_sees_the_pixels_of_a_patch_as_channels() -> None:
    net = UNet(replace(SMALL, patch=2), 1, 0)
    with torch.no_grad():
        net.head.bias.copy_(torch.arange(4.0))
    out = net(torch.randn(1, 1, 6, 6), torch.zeros(1))[0, 0]
    assert torch.equal(out, torch.tensor([[0.0, 1.0], [2.0, 3.0]]).repeat(3, 3))


def test_a_fresh_network_puts_out_nothing() -> None:
    net = UNet(SMALL, 1, 0)
    assert not net(torch.randn(2, 1, 8, 8), torch.zeros(2)).any()


def test_attention_agrees_with_its_formula() -> None:
    torch.manual_seed(1)
    layer = SelfAttention(16, num_heads=2)
    torch.nn.init.normal_(layer.project.weight, std=0.2)
    x = torch.randn(2, 16, 3, 3)
    qkv = layer.query_key_value(layer.norm(x)).flatten(2)
    heads = []
    for head in range(2):
        rows = slice(8 * head, 8 * head + 8)
        q, k, v = (part[:, rows] for part in qkv.split(16, dim=1))
        weights = torch.softmax(q.transpose(1, 2) @ k / 8**0.5, dim=-1)
        heads.append(v @ weights.transpose(1, 2))
    expected = x + layer.project(torch.cat(heads, dim=1).unflatten(2, (3, 3)))
    assert torch.allclose(layer(x), expected, atol=1e-5)


def test_neighbouring_noise_levels_have_different_features() -> None:
    features = SinusoidalFeatures(64, 1.0, 100.0)(torch.linspace(-1.6, 1.3, 100))
    distance = torch.cdist(features, features) + 10 * torch.eye(100)
    assert distance.min() > 0.1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": (12,)}, "multiples of 8"),
        ({"channels": ()}, "at least one level"),
        ({"attention_levels": (2,)}, "levels that exist"),
        ({"num_heads": 3}, "multiple of num_heads"),
        ({"dropout": 1.0}, "dropout"),
        ({"embedding_dim": 15}, "even embedding_dim"),
        ({"patch": 0}, "patch"),
    ],
)
def test_impossible_networks_are_refused(changes: dict[str, object], message: str) -> None:
    settings = {"channels": (8, 16), "attention_levels": (1,), "num_heads": 4}
    with pytest.raises(GravLensError, match=message):
        UNetConfig(**(settings | changes))  # type: ignore[arg-type]
