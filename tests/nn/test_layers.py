"""Physical parameters as features: known values, and what is left out."""

import math

import pytest
import torch

from gravlensdiffusion.config.model import ParameterConfig
from gravlensdiffusion.config.network import UNetConfig
from gravlensdiffusion.nn.layers import ParameterFeatures
from gravlensdiffusion.nn.unet import UNet

LINEAR = ParameterConfig(name="theta_E", low=1.0, high=3.0)
LOG = ParameterConfig(name="signal_to_noise", low=1.0, high=100.0, scale="log")
HALF = math.sqrt(0.5)


def features(parameters: tuple[ParameterConfig, ...], values: list[list[float]]) -> torch.Tensor:
    """Return the features of values, shape ``(B, P, F)``."""
    table = torch.tensor(values, dtype=torch.float64)
    flat: torch.Tensor = ParameterFeatures(parameters)(table)
    return flat.unflatten(1, (len(parameters), -1))


# Per value: v, sin(v pi/2), sin(v pi), sin(2 v pi), sin(4 v pi), the cosines, one.
KNOWN = [
    (-1.0, [-1, -1, 0, 0, 0, 0, -1, 1, 1, 1]),
    (0.0, [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]),
    (0.5, [0.5, HALF, 1, 0, 0, HALF, 0, -1, 1, 1]),
    (1.0, [1, 1, 0, 0, 0, 0, -1, 1, 1, 1]),
]


@pytest.mark.parametrize(("v", "expected"), KNOWN)
def test_a_value_is_told_by_its_place_in_the_range(v: float, expected: list[float]) -> None:
    wanted = torch.tensor(expected, dtype=torch.float32)
    found = features((LINEAR, LOG), [[2 + v, 10 ** (1 + v)]])
    assert found.dtype == torch.float32
    assert torch.allclose(found[0, 0], wanted, atol=1e-6)
    assert torch.allclose(found[0, 1], wanted, atol=1e-6)


def test_what_is_left_out_has_no_features_and_its_neighbours_keep_theirs() -> None:
    both = features((LINEAR, LOG), [[1.7, 5.0]])[0]
    one_each = features((LINEAR, LOG), [[math.nan, 5.0], [1.7, math.nan], [math.nan, math.nan]])
    assert torch.equal(one_each[0, 1], both[1])
    assert torch.equal(one_each[1, 0], both[0])
    for row, column in ((0, 0), (1, 1), (2, 0), (2, 1)):
        assert not one_each[row, column].any()
    # The middle of a range is a value, not nothing.
    assert features((LINEAR,), [[2.0]]).any()


def test_left_out_values_leave_no_nan_in_gradients() -> None:
    values = torch.tensor(
        [[math.nan, 5.0], [1.7, math.nan], [1.2, 50.0]], dtype=torch.float64, requires_grad=True
    )
    layer = torch.nn.Linear(20, 3)
    layer(ParameterFeatures((LINEAR, LOG))(values)).square().sum().backward()
    assert values.grad is not None
    assert values.grad.isfinite().all()
    assert values.grad[2].all()
    assert not values.grad[0, 0]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())


def test_a_negative_value_on_a_linear_scale_meets_no_logarithm() -> None:
    shifted = ParameterConfig(name="source_x", low=-1.0, high=1.0)
    values = torch.tensor([[-0.5, 10.0], [0.0, 10.0]], dtype=torch.float64, requires_grad=True)
    out = ParameterFeatures((shifted, LOG))(values)
    assert out[:, 0].tolist() == [-0.5, 0.0]
    out.sum().backward()
    assert values.grad is not None
    assert values.grad.isfinite().all()


def test_tables_of_the_ranges_stay_out_of_the_weights() -> None:
    assert ParameterFeatures((LINEAR, LOG)).state_dict() == {}


def test_refinement_joins_what_lies_in_two_patches() -> None:
    torch.manual_seed(0)
    config = UNetConfig(channels=(8,), attention_levels=(), patch=4, refine_channels=8)
    network = UNet(config, 1, 0)
    x, noise = torch.randn(1, 1, 16, 16), torch.zeros(1)
    assert not network(x, noise).any()
    assert network.refine is not None
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    # The trunk is silent: only the convolutions at full resolution see the change of one pixel.
    torch.nn.init.zeros_(network.stem.weight)
    before = network(x, noise)
    x[0, 0, 7, 7] += 1
    changed = (network(x, noise) - before).abs()[0, 0].detach() > 1e-6
    rows = torch.nonzero(changed.any(dim=1)).ravel()
    assert (int(rows.min()), int(rows.max())) == (4, 10)
