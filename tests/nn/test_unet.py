"""The U-Net: any size, labels, noise levels, one image at a time."""

import pytest
import torch

from gravlensdiffusion.conditioning import ANY, Condition
from gravlensdiffusion.config.model import UNetConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.nn.layers import SelfAttention, SinusoidalFeatures
from gravlensdiffusion.nn.unet import UNet

SMALL = UNetConfig(
    channels=(8, 16), num_blocks=1, attention_levels=(1,), num_heads=2, embedding_dim=16
)


def awake(config: UNetConfig = SMALL, num_channels: int = 1, num_classes: int = 3) -> UNet:
    """Return a network none of whose weights are zero."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = UNet(config, num_channels, num_classes)
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
    condition = Condition(label=torch.tensor([0, 1, ANY]))
    together = net(x, noise, condition)
    alone = torch.cat([net(x[k : k + 1], noise[k : k + 1], condition[k : k + 1]) for k in range(3)])
    assert torch.allclose(together, alone, atol=1e-5)


def test_labels_and_noise_levels_matter_and_no_condition_means_any() -> None:
    net = awake()
    x, noise = torch.randn(1, 1, 8, 8).expand(4, -1, -1, -1), torch.zeros(4)
    by_label = net(x, noise, Condition(label=torch.tensor([0, 1, 2, ANY])))
    for k in range(3):
        assert (by_label[k] - by_label[k + 1]).abs().max() > 1e-3
    assert torch.equal(net(x, noise)[3], by_label[3])
    assert (net(x, noise + 1) - net(x, noise)).abs().max() > 1e-3


def test_every_weight_is_used() -> None:
    net = awake()
    condition = Condition(label=torch.tensor([0, 1, 2, ANY]))
    net(torch.randn(4, 1, 8, 8), torch.randn(4), condition).square().sum().backward()
    unused = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert unused == []


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
    ],
)
def test_impossible_networks_are_refused(changes: dict[str, object], message: str) -> None:
    settings = {"channels": (8, 16), "attention_levels": (1,), "num_heads": 4}
    with pytest.raises(GravLensError, match=message):
        UNetConfig(**(settings | changes))  # type: ignore[arg-type]
