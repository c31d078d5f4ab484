"""Building blocks of the networks."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gravlensdiffusion.config.model import ParameterConfig


class SinusoidalFeatures(nn.Module):
    """Sines and cosines of a number, at geometrically spaced angular frequencies.

    References:
        Vaswani et al. 2017, arXiv:1706.03762, section 3.5.
    """

    frequencies: Tensor

    def __init__(self, dim: int, lowest: float, highest: float) -> None:
        super().__init__()
        steps = torch.linspace(math.log(lowest), math.log(highest), dim // 2)
        self.register_buffer("frequencies", steps.exp(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map shape ``(B,)`` to ``(B, dim)``."""
        angle = x[:, None] * self.frequencies
        return torch.cat([angle.sin(), angle.cos()], dim=1)


class ParameterFeatures(nn.Module):
    """Physical parameters, each of which may be unknown, as features for a network.

    A value v is brought to [-1, 1] over its learned range, in its logarithm where it has a
    logarithmic scale. Its features are ``v, sin(2^k pi v / 2), cos(2^k pi v / 2)`` for k from 0 to
    ``NUM_FREQUENCIES - 1`` and a one; all of them are zero where the value is left out.

    References:
        Tancik et al. 2020, arXiv:2006.10739, section 4 (Fourier features).
    """

    NUM_FREQUENCIES = 4

    low: Tensor
    high: Tensor
    logarithmic: Tensor
    frequencies: Tensor

    def __init__(self, parameters: Sequence[ParameterConfig]) -> None:
        super().__init__()
        is_log = [each.scale == "log" for each in parameters]
        bounds = torch.tensor([(each.low, each.high) for each in parameters], dtype=torch.float64)
        bounds[is_log] = bounds[is_log].log()
        frequencies = math.pi / 2 * 2.0 ** torch.arange(self.NUM_FREQUENCIES)
        self.register_buffer("low", bounds[:, 0], persistent=False)
        self.register_buffer("high", bounds[:, 1], persistent=False)
        self.register_buffer("logarithmic", torch.tensor(is_log), persistent=False)
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.num_features = len(parameters) * (2 + 2 * self.NUM_FREQUENCIES)

    def forward(self, values: Tensor) -> Tensor:
        """Map values in physical units ``(B, P)``, NaN where left out, to ``(B, F)``."""
        known = torch.isfinite(values)
        # Replaced before the logarithm: behind a NaN, even what is masked has NaN gradients.
        given = torch.where(known, values.double(), 1.0)
        logarithm = torch.where(self.logarithmic, given, 1.0).log()
        physical = torch.where(self.logarithmic, logarithm, given)
        v = (2 * (physical - self.low) / (self.high - self.low) - 1).to(self.frequencies.dtype)
        angle = v[..., None] * self.frequencies
        ones = torch.ones_like(v)[..., None]
        features = torch.cat([v[..., None], angle.sin(), angle.cos(), ones], dim=-1)
        return (features * known[..., None]).flatten(1)


class GroupNorm(nn.GroupNorm):
    """Group normalisation in the precision of its weights, as autocast has it on a GPU: in bf16 a CPU is slower."""

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to the same shape."""
        return super().forward(x.to(torch.promote_types(x.dtype, self.weight.dtype)))


class ResidualBlock(nn.Module):
    """Two normalised 3x3 convolutions, modulated by an embedding, added to the input.

    The second normalisation is modulated by ``scale_shift`` or ``shift``; before the second
    convolution comes dropout.

    References:
        Ho et al. 2020, arXiv:2006.11239, appendix B; Dhariwal and Nichol 2021,
        arXiv:2105.05233, section 3 (scale and shift).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        embedding_dim: int,
        modulation: str,
        dropout: float,
    ) -> None:
        super().__init__()
        self.scaled = modulation == "scale_shift"
        self.norm_in = GroupNorm(8, in_channels)
        self.conv_in = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.modulation = nn.Linear(embedding_dim, out_channels * (2 if self.scaled else 1))
        self.norm_out = GroupNorm(8, out_channels)
        self.dropout = nn.Dropout(dropout)
        self.conv_out = zeroed(nn.Conv2d(out_channels, out_channels, 3, padding=1))
        same = in_channels == out_channels
        self.skip = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` and ``(B, E)`` to ``(B, C', H, W)``."""
        h = self.conv_in(silu(self.norm_in(x)))
        shift = self.modulation(embedding)[:, :, None, None]
        if self.scaled:
            scale, shift = shift.chunk(2, dim=1)
            h = self.norm_out(h)
            h = torch.addcmul(shift, h, 1 + scale, out=None if torch.is_grad_enabled() else h)
        else:
            h = self.norm_out(h + shift)
        return added(self.conv_out(self.dropout(silu(h))), self.skip(x))


class SelfAttention(nn.Module):
    """Self-attention over all pixels, added to the input.

    References:
        Ho et al. 2020, arXiv:2006.11239, appendix B.
    """

    def __init__(self, channels: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm = GroupNorm(8, channels)
        self.query_key_value = nn.Conv2d(channels, 3 * channels, 1)
        self.project = zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to the same shape."""
        batch, channels, height, width = x.shape
        qkv = self.query_key_value(self.norm(x)).flatten(2).transpose(1, 2)
        qkv = qkv.unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        h = attend(*qkv.unbind(0))
        # Pixels first, channels last is how attention leaves them: no copy is made.
        h = h.transpose(1, 2).reshape(batch, height, width, channels).permute(0, 3, 1, 2)
        return added(self.project(h), x)


def attend(query: Tensor, key: Tensor, value: Tensor, scale: float | None = None) -> Tensor:
    """Return the attention of heads ``(B, H, N, D)``, on a CPU in single precision or better, which is faster there.

    The products are multiplied by a scale, by default one over the root of D.
    """
    if query.device.type != "cpu":
        return F.scaled_dot_product_attention(query, key, value, scale=scale)
    with torch.autocast("cpu", enabled=False):
        least = torch.promote_types(query.dtype, torch.float32)
        heads = query.to(least), key.to(least), value.to(least)
        return F.scaled_dot_product_attention(*heads, scale=scale)


def silu(x: Tensor) -> Tensor:
    """Return ``x sigmoid(x)``; where no gradient is asked for, in the place of `x`, which nothing else reads."""
    return F.silu(x, inplace=not torch.is_grad_enabled())


def added(branch: Tensor, x: Tensor) -> Tensor:
    """Return the sum of a branch and its input; it takes the place of the branch as in `silu`."""
    return branch + x if torch.is_grad_enabled() else branch.add_(x)


def zeroed(module: nn.Conv2d) -> nn.Conv2d:
    """Set weight and bias to zero, so that a residual branch starts as nothing."""
    nn.init.zeros_(module.weight)
    if module.bias is not None:
        nn.init.zeros_(module.bias)
    return module
