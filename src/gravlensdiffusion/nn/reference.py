"""The U-Net of the reference project, harish-jhr/GravLensDiffusion, and its checkpoints.

It stands apart from `nn.unet` because its state dict is fixed: names, shapes and order of
operations are those of the network that wrote the checkpoints, so that they give the same images
here. 6,067,857 parameters; one grey channel; height and width divisible by 4.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.nn.layers import GroupNorm, attend

NUM_GROUPS = 8
NUM_HEADS = 4
MIN_HEAD_WIDTH = 16
"""Channels of a head, at least: narrower ones are filled up with zeros, which a processor does faster."""
EMBEDDING_DIM = 128


class ReferenceUNet(nn.Module):
    """The network of the reference project.

    References:
        Ho, Jain and Abbeel 2020, arXiv:2006.11239, appendix B (where its design comes from).
    """

    def __init__(self) -> None:
        super().__init__()
        self.t_proj = nn.Sequential(
            nn.Linear(EMBEDDING_DIM, EMBEDDING_DIM),
            nn.SiLU(),
            nn.Linear(EMBEDDING_DIM, EMBEDDING_DIM),
        )
        self.conv_in = nn.Conv2d(1, 32, kernel_size=3, padding=1)
        self.downs = nn.ModuleList(
            [
                _DownBlock(32, 64, resample=True),
                _DownBlock(64, 128, resample=True),
                _DownBlock(128, 256, resample=False),
            ]
        )
        self.mids = nn.ModuleList([_MiddleBlock(256, 256), _MiddleBlock(256, 128)])
        self.ups = nn.ModuleList(
            [
                _UpBlock(256, 64, resample=False),
                _UpBlock(128, 32, resample=True),
                _UpBlock(64, 16, resample=True),
            ]
        )
        self.norm_out = GroupNorm(NUM_GROUPS, 16)
        self.conv_out = nn.Conv2d(16, 1, kernel_size=3, padding=1)

    def forward(self, x: Tensor, noise: Tensor, condition: Condition | None = None) -> Tensor:
        """Predict the noise of images ``(B, 1, H, W)``, H and W divisible by 4, whatever their condition.

        The index of the noise level, 0 to 999, has shape ``(B,)``.
        """
        embedding = self.t_proj(_embed_index(noise))
        out = self.conv_in(x)
        skips = []
        for block in self.downs:
            skips.append(out)
            out = block(out, embedding)
        for block in self.mids:
            out = block(out, embedding)
        for block in self.ups:
            out = block(out, skips.pop(), embedding)
        result: Tensor = self.conv_out(nn.functional.silu(self.norm_out(out)))
        return result


class _Block(nn.Module):
    """Residual blocks, each followed by an attention block as far as there are any."""

    def __init__(self, in_channels: int, out_channels: int, num_residual: int = 1) -> None:
        super().__init__()
        inputs = [in_channels] + [out_channels] * (num_residual - 1)
        self.resnet_conv_first = nn.ModuleList([_convolve(c, out_channels) for c in inputs])
        self.t_emb_layers = nn.ModuleList(
            [nn.Sequential(nn.SiLU(), nn.Linear(EMBEDDING_DIM, out_channels)) for _ in inputs]
        )
        self.resnet_conv_second = nn.ModuleList(
            [_convolve(out_channels, out_channels) for _ in inputs]
        )
        self.attention_norms = nn.ModuleList([GroupNorm(NUM_GROUPS, out_channels)])
        self.attentions = nn.ModuleList(
            [nn.MultiheadAttention(out_channels, NUM_HEADS, batch_first=True)]
        )
        self.residual_input_conv = nn.ModuleList(
            [nn.Conv2d(c, out_channels, kernel_size=1) for c in inputs]
        )

    def _residual(self, number: int, x: Tensor, embedding: Tensor) -> Tensor:
        out = self.resnet_conv_first[number](x)
        out = out + self.t_emb_layers[number](embedding)[:, :, None, None]
        out = self.resnet_conv_second[number](out)
        return out + self.residual_input_conv[number](x)

    def _attend(self, x: Tensor) -> Tensor:
        attention = cast("nn.MultiheadAttention", self.attentions[0])
        pixels = self.attention_norms[0](x).flatten(2).transpose(1, 2)
        projected = linear(pixels, attention.in_proj_weight, attention.in_proj_bias)
        batch, count, channels = pixels.shape
        width = channels // NUM_HEADS
        heads = projected.view(batch, count, 3, NUM_HEADS, width).permute(2, 0, 3, 1, 4)
        query, key, value = pad(heads, (0, max(0, MIN_HEAD_WIDTH - width)))
        attended = attend(query, key, value, scale=width**-0.5)
        attended = attention.out_proj(attended[..., :width].transpose(1, 2).flatten(2))
        return x + attended.transpose(1, 2).reshape(x.shape)


class _DownBlock(_Block):
    def __init__(self, in_channels: int, out_channels: int, *, resample: bool) -> None:
        super().__init__(in_channels, out_channels)
        self.down_sample_conv: nn.Module = nn.Identity()
        if resample:
            self.down_sample_conv = nn.Conv2d(
                out_channels, out_channels, kernel_size=4, stride=2, padding=1
            )

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        out: Tensor = self.down_sample_conv(self._attend(self._residual(0, x, embedding)))
        return out


class _MiddleBlock(_Block):
    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, num_residual=2)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        return self._residual(1, self._attend(self._residual(0, x, embedding)), embedding)


class _UpBlock(_Block):
    def __init__(self, in_channels: int, out_channels: int, *, resample: bool) -> None:
        super().__init__(in_channels, out_channels)
        self.up_sample_conv: nn.Module = nn.Identity()
        if resample:
            # Half of the input channels come from below, the other half from the skip.
            half = in_channels // 2
            self.up_sample_conv = nn.ConvTranspose2d(half, half, kernel_size=4, stride=2, padding=1)

    def forward(self, x: Tensor, skip: Tensor, embedding: Tensor) -> Tensor:
        x = torch.cat([self.up_sample_conv(x), skip], dim=1)
        return self._attend(self._residual(0, x, embedding))


def _convolve(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        GroupNorm(NUM_GROUPS, in_channels),
        nn.SiLU(),
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1),
    )


def _embed_index(index: Tensor) -> Tensor:
    """Embed indices as 64 sines followed by 64 cosines of ``index / 10000^(2i / 128)``."""
    half = EMBEDDING_DIM // 2
    period = 10000 ** (torch.arange(half, dtype=torch.float32, device=index.device) / half)
    angle = index[:, None] / period
    return torch.cat([angle.sin(), angle.cos()], dim=-1)
