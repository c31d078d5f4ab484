"""The U-Net: noisy image, noise level and condition in, prediction out."""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.config.bounds import UNLABELLED
from gravlensdiffusion.config.model import ParameterConfig
from gravlensdiffusion.config.network import UNetConfig
from gravlensdiffusion.nn.layers import (
    GroupNorm,
    ParameterFeatures,
    ResidualBlock,
    SelfAttention,
    SinusoidalFeatures,
    added,
    silu,
    zeroed,
)
from gravlensdiffusion.nn.lens_equation import LensEquation


class UNet(nn.Module):
    """A U-Net whose blocks are modulated by noise level, class and physical parameters.

    Squares of ``config.patch`` pixels a side become the channels of one pixel before the first
    level, and squares again after the last. Sizes that are not a power of two halve upwards on the
    way down and are met again exactly on the way up, so any multiple of the patch is a size.

    What is ordered enters as an embedding, and as channels that the lens equation makes of it; a few
    convolutions at full resolution join the patches again. Both are optional.

    Args:
        config: Widths, depths, attention, patch.
        num_channels: Channels of an image.
        num_classes: Classes that can be asked for; 0 for none.
        parameters: Physical parameters that can be asked for.

    References:
        Ho et al. 2020, arXiv:2006.11239, appendix B; Shi et al. 2016, arXiv:1609.05158 (patches).
    """

    def __init__(
        self,
        config: UNetConfig,
        num_channels: int,
        num_classes: int,
        parameters: Sequence[ParameterConfig] = (),
    ) -> None:
        super().__init__()
        width, dim = config.channels, config.embedding_dim
        # A step number runs to 1000; a quarter of a log noise level stays within about 1.5.
        lowest, highest = (1e-4, 1.0) if config.noise_features == "index" else (1.0, 100.0)
        self.noise_features = SinusoidalFeatures(width[0] * 2, lowest, highest)
        self.noise_embedding = nn.Sequential(
            nn.Linear(width[0] * 2, dim), nn.SiLU(), nn.Linear(dim, dim)
        )
        self.label_embedding = nn.Embedding(num_classes + 1, dim) if num_classes else None
        self.num_parameters = len(parameters)
        self.parameter_embedding: nn.Sequential | None = None
        if parameters:
            features = ParameterFeatures(parameters)
            self.parameter_embedding = nn.Sequential(
                features, nn.Linear(features.num_features, dim), nn.SiLU(), nn.Linear(dim, dim)
            )
        self.patch = config.patch

        def block(in_channels: int, level: int) -> "_Stage":
            return _Stage(config, in_channels, width[level], level in config.attention_levels)

        self.stem = nn.Conv2d(num_channels * config.patch**2, width[0], 3, padding=1)
        self.down, self.downsample = nn.ModuleList(), nn.ModuleList()
        skips, current = [width[0]], width[0]
        for level, channels in enumerate(width):
            self.downsample.append(nn.Identity() if level == 0 else _Downsample(current, channels))
            current = channels
            if level:
                skips.append(current)
            for _ in range(config.num_blocks):
                self.down.append(block(current, level))
                skips.append(current)
        self.middle = nn.ModuleList([block(current, len(width) - 1) for _ in range(2)])
        self.up, self.upsample = nn.ModuleList(), nn.ModuleList()
        for level in reversed(range(len(width))):
            last = level == len(width) - 1
            self.upsample.append(nn.Identity() if last else _Upsample(current, width[level]))
            current = width[level]
            for _ in range(config.num_blocks + 1):
                self.up.append(block(current + skips.pop(), level))
        self.num_blocks = config.num_blocks
        self.norm = GroupNorm(8, current)
        num_drawn = (num_channels + config.refine_channels) * config.patch**2
        self.head = zeroed(nn.Conv2d(current, num_drawn, 3, padding=1))
        self._build_additions(config, num_channels, parameters)

    def _build_additions(
        self, config: UNetConfig, num_channels: int, parameters: Sequence[ParameterConfig]
    ) -> None:
        """Build what works at full resolution: the lens equation and the refinement."""
        self.lens_equation: LensEquation | None = None
        self.refine: _Refine | None = None
        num_extra = num_channels
        equation = config.lens_equation
        if equation is not None and LensEquation.is_known(parameters, equation):
            self.lens_equation = LensEquation(parameters, equation)
            num_lens = LensEquation.NUM_CHANNELS
            self.lens_stem = zeroed(
                nn.Conv2d(num_lens * config.patch**2, config.channels[0], 3, padding=1)
            )
            num_extra += num_lens
        if config.refine_channels:
            features = config.refine_channels
            self.refine = _Refine(num_channels, features, num_extra, config.embedding_dim)

    def forward(self, x: Tensor, noise: Tensor, condition: Condition | None = None) -> Tensor:
        """Predict what the denoiser asks for.

        Args:
            x: Scaled noisy images, ``(B, C, H, W)``.
            noise: Noise level or step number, ``(B,)``.
            condition: Classes and physical parameters; None for any.

        Returns:
            Shape ``(B, C, H, W)``.
        """
        embedding = self._embed(noise, condition)
        extra = [x]
        h = self.stem(self._patches(x))
        if self.lens_equation is not None:
            channels = self._lens_channels(x, condition)
            extra.append(channels)
            h = h + self.lens_stem(self._patches(channels))
        skips = [h]
        blocks = iter(self.down)
        for level, downsample in enumerate(self.downsample):
            if level:
                h = downsample(h)
                skips.append(h)
            for _ in range(self.num_blocks):
                h = next(blocks)(h, embedding)
                skips.append(h)
        for stage in self.middle:
            h = stage(h, embedding)
        blocks = iter(self.up)
        for upsample in self.upsample:
            if isinstance(upsample, _Upsample):
                h = upsample(h, (skips[-1].shape[2], skips[-1].shape[3]))
            for _ in range(self.num_blocks + 1):
                h = next(blocks)(torch.cat([h, skips.pop()], dim=1), embedding)
        out: Tensor = self.head(silu(self.norm(h)))
        if self.patch > 1:
            out = F.pixel_shuffle(out, self.patch)
        if self.refine is not None:
            out = out.contiguous(memory_format=torch.channels_last)
            out = self.refine(out, extra, embedding)
        return out

    def _lens_channels(self, x: Tensor, condition: Condition | None) -> Tensor:
        assert self.lens_equation is not None
        if condition is None or condition.parameters is None:
            return x.new_zeros((len(x), self.lens_equation.NUM_CHANNELS, *x.shape[2:]))
        return self.lens_equation(condition.parameters, x.shape[-1])

    def _patches(self, x: Tensor) -> Tensor:
        """Make squares of pixels the channels of one."""
        if self.patch == 1:
            return x
        return F.pixel_unshuffle(x, self.patch).contiguous(memory_format=torch.channels_last)

    def hidden_weights(self) -> Iterator[nn.Parameter]:
        """Yield the matrices and kernels between the first layer and the last."""
        for part in (self.down, self.downsample, self.middle, self.up, self.upsample):
            yield from (weight for weight in part.parameters() if weight.ndim > 1)

    def _embed(self, noise: Tensor, condition: Condition | None) -> Tensor:
        embedding: Tensor = self.noise_embedding(self.noise_features(noise))
        if self.label_embedding is not None:
            if condition is None:
                label = torch.full_like(noise, UNLABELLED, dtype=torch.long)
            else:
                label = condition.label
            embedding = embedding + self.label_embedding(label + 1)
        if self.parameter_embedding is not None:
            values = None if condition is None else condition.parameters
            if values is None:
                values = noise.new_full((len(noise), self.num_parameters), torch.nan)
            embedding = embedding + self.parameter_embedding(values)
        return F.silu(embedding)


class _Stage(nn.Module):
    """A residual block, followed by self-attention where the level has it."""

    def __init__(
        self, config: UNetConfig, in_channels: int, out_channels: int, attention: bool
    ) -> None:
        super().__init__()
        self.block = ResidualBlock(
            in_channels, out_channels, config.embedding_dim, config.modulation, config.dropout
        )
        heads = config.num_heads
        self.attention = SelfAttention(out_channels, heads) if attention else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` and ``(B, E)`` to ``(B, C', H, W)``."""
        y: Tensor = self.attention(self.block(x, embedding))
        return y


class _Refine(nn.Module):
    """Convolutions at full resolution, which join what patches have drawn next to each other.

    They see a first image, features of each pixel, which an embedding scales and shifts, and further
    images, and add to the first image.
    """

    def __init__(
        self, num_channels: int, num_features: int, num_extra: int, embedding_dim: int
    ) -> None:
        super().__init__()
        self.num_channels = num_channels
        num_inputs = num_channels + num_features + num_extra
        self.conv_in = nn.Conv2d(num_inputs, num_features, 3, padding=1)
        self.modulation = nn.Linear(embedding_dim, 2 * num_features)
        self.conv_middle = nn.Conv2d(num_features, num_features, 3, padding=1)
        self.conv_out = zeroed(nn.Conv2d(num_features, num_channels, 3, padding=1))

    def forward(self, drawn: Tensor, extra: Sequence[Tensor], embedding: Tensor) -> Tensor:
        """Return the image, ``(B, C, H, W)``.

        Args:
            drawn: First image and features, ``(B, C + F, H, W)``.
            extra: Further images, ``(B, X, H, W)`` in all.
            embedding: Shape ``(B, E)``.
        """
        scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, dim=1)
        h = self.conv_in(torch.cat([drawn, *extra], dim=1))
        h = silu(torch.addcmul(shift, h, 1 + scale))
        return added(self.conv_out(silu(self.conv_middle(h))), drawn[:, : self.num_channels])


class _Downsample(nn.Module):
    """Halve height and width by a strided 3x3 convolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to ``(B, C', ceil(H/2), ceil(W/2))``."""
        y: Tensor = self.conv(x)
        return y


class _Upsample(nn.Module):
    """Bring an image to a larger grid: 1x1 convolution, then nearest neighbour."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Map ``(B, C, h, w)`` to ``(B, C', *size)``."""
        return F.interpolate(self.conv(x), size=size, mode="nearest")
