"""Blocks of the U-Net against their plain formulation, with and without gradients."""

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gravlensdiffusion.nn.layers import GroupNorm, ResidualBlock, SelfAttention, attend, silu

CHANNELS, SIZE, DIM = 32, 6, 16


def filled(module: nn.Module) -> nn.Module:
    """Return the module, none of its weights zero."""
    torch.manual_seed(1)
    for weight in module.parameters():
        nn.init.normal_(weight, std=0.1)
    return module


def plain_block(block: ResidualBlock, x: Tensor, embedding: Tensor) -> Tensor:
    """Return what a residual block is to give."""
    h = block.conv_in(F.silu(block.norm_in(x)))
    modulation = block.modulation(embedding)[:, :, None, None]
    if block.scaled:
        scale, shift = modulation.chunk(2, dim=1)
        h = block.norm_out(h) * (1 + scale) + shift
    else:
        h = block.norm_out(h + modulation)
    result: Tensor = block.skip(x) + block.conv_out(F.silu(h))
    return result


def plain_attention(block: SelfAttention, x: Tensor) -> Tensor:
    """Return what self-attention is to give: a softmax over pixels for each head."""
    query, key, value = block.query_key_value(block.norm(x)).chunk(3, dim=1)
    heads = []
    for q, k, v in zip(
        *(each.flatten(2).chunk(block.num_heads, dim=1) for each in (query, key, value)),
        strict=True,
    ):
        share = (q.transpose(1, 2) @ k / q.shape[1] ** 0.5).softmax(dim=2)
        heads.append(v @ share.transpose(1, 2))
    result: Tensor = x + block.project(torch.cat(heads, dim=1).reshape(x.shape))
    return result


def inputs(memory_format: torch.memory_format) -> tuple[Tensor, Tensor]:
    """Return images of a level and an embedding."""
    torch.manual_seed(2)
    x = torch.randn(3, CHANNELS, SIZE, SIZE - 1)
    # Where an image needs no gradient, PyTorch's group norm crashes backwards in channels_last.
    x = x.to(memory_format=memory_format).requires_grad_()
    return x, torch.randn(3, DIM)


LAYOUTS = [torch.contiguous_format, torch.channels_last]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("modulation", ["shift", "scale_shift"])
@pytest.mark.parametrize("out_channels", [CHANNELS, 2 * CHANNELS])
def test_a_residual_block_is_its_plain_formulation(
    layout: torch.memory_format, modulation: str, out_channels: int
) -> None:
    block = filled(ResidualBlock(CHANNELS, out_channels, DIM, modulation, dropout=0.0))
    assert isinstance(block, ResidualBlock)
    check(block, plain_block, inputs(layout))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_self_attention_is_its_plain_formulation(layout: torch.memory_format) -> None:
    block = filled(SelfAttention(CHANNELS, num_heads=4))
    assert isinstance(block, SelfAttention)
    check(block, plain_attention, inputs(layout)[:1])


def check(block: nn.Module, plain: Callable[..., Tensor], given: tuple[Tensor, ...]) -> None:
    """Compare values in each mode, gradients, and that no input is written to."""
    twin = copy.deepcopy(block)
    expected = plain(twin, *given)
    kept = [each.clone() for each in given]
    found = block(*given)
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4)
    weight = (
        torch.linspace(-1, 1, expected.numel())
        .view(expected.shape)
        .to(memory_format=torch.channels_last)
    )
    (expected * weight).sum().backward()
    (found * weight).sum().backward()
    for one, other in zip(block.parameters(), twin.parameters(), strict=True):
        assert one.grad is not None
        assert torch.allclose(one.grad, other.grad, rtol=1e-3, atol=1e-3)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            assert torch.allclose(block(*given), expected, rtol=1e-4, atol=1e-4)
    assert all(torch.equal(each, before) for each, before in zip(given, kept, strict=True))


def test_silu_takes_the_place_of_its_input_only_where_no_gradient_is_asked_for() -> None:
    x = torch.randn(5)
    before = x.clone()
    assert silu(x).data_ptr() != x.data_ptr()
    assert torch.equal(x, before)
    with torch.inference_mode():
        assert silu(x).data_ptr() == x.data_ptr()
    assert torch.allclose(x, F.silu(before))


def test_in_bf16_a_cpu_keeps_norms_and_attention_in_single_precision() -> None:
    x, _ = inputs(torch.channels_last)
    block = filled(SelfAttention(CHANNELS, 2))
    norm, heads = GroupNorm(8, CHANNELS), torch.randn(3, 2, 2, 30, 8).bfloat16()
    exact = norm(x), attend(*heads.float().unbind(0)), block(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = norm(x), attend(*heads.unbind(0)), block(x)
    assert [each.dtype for each in rough[:2]] == [torch.float32, torch.float32]
    assert torch.equal(norm(x.bfloat16()), norm(x.bfloat16().float()))
    # What is asked for in double precision is given in it.
    double = copy.deepcopy(block).double()(x.double())
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), exact[2], rtol=1e-5, atol=1e-5)
    assert all(torch.equal(a, b) for a, b in zip(exact[:2], rough[:2], strict=True))
    assert not torch.equal(exact[2], rough[2])
    torch.testing.assert_close(exact[2], rough[2], rtol=0.02, atol=0.05)
