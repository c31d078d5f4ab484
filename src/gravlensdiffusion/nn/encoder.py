"""The lens encoder: a small network from image to features that know lens physics."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gravlensdiffusion.config.classifier import EncoderConfig

SKY = 0.011
"""Level of the sky that the stretch is centred on [peak]."""
FAINT = 0.01
"""Flux at which the stretch turns from linear to logarithmic [peak]."""


class Estimates(NamedTuple):
    """What an encoder says of images.

    Attributes:
        targets: The predicted numbers in their own units, ``(B, T)``.
        class_logits: One logit per class, ``(B, K)``.
    """

    targets: Tensor
    class_logits: Tensor


class LensEncoder(nn.Module):
    """A convolutional network whose last hidden layer serves as feature space.

    It sees each image twice, as it is and stretched, so that arcs and sky noise both count. The
    features are what the last linear layer before the heads puts out; `whiten` gives them zero
    mean and unit covariance over a set of images, which makes distances between features
    independent of their arbitrary scales and mixtures.

    Args:
        config: Widths, strides, targets.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.stages = nn.ModuleList()
        current, size = 2, config.image_size
        for channels, stride in zip(config.channels, config.strides, strict=True):
            first = not len(self.stages)
            self.stages.append(EncoderStage(current, channels, stride, first=first))
            current, size = channels, (size - 1) // stride + 1
        self.squeeze = nn.Conv2d(current, current // 2, 1)
        inputs = config.channels[0] + current + current // 2 * size**2
        self.hidden = nn.Linear(inputs, 128)
        self.features = nn.Linear(128, config.num_features)
        self.head = nn.Linear(config.num_features, 64)
        self.out = nn.Linear(64, len(config.targets) + len(config.class_names))
        self.register_buffer("target_means", torch.tensor(config.target_means), persistent=False)
        self.register_buffer("target_stds", torch.tensor(config.target_stds), persistent=False)

    target_means: Tensor
    target_stds: Tensor

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(B, 1, S, S)`` on the scale of peak-scaled ones to features ``(B, F)``."""
        h = torch.cat([4 * images, torch.asinh((images - SKY) / FAINT) / 3], dim=1)
        h = h.contiguous(memory_format=torch.channels_last)
        means = []
        for stage in self.stages:
            h = stage(h)
            means.append(h.mean((2, 3)))
        # The first stage's mean knows the noise, the last one's the texture, the map the places.
        parts = [means[0], means[-1], F.relu(self.squeeze(h)).flatten(1)]
        features: Tensor = self.features(F.silu(self.hidden(torch.cat(parts, dim=1))))
        return features

    def standardised(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the targets in units of their spread, ``(B, T)``, and the logits, ``(B, K)``."""
        out = self.out(F.silu(self.head(features)))
        num = len(self.config.targets)
        return out[:, :num], out[:, num:]

    def estimate(self, features: Tensor) -> Estimates:
        """Return what features ``(B, F)`` say of lens and class."""
        targets, logits = self.standardised(features)
        return Estimates(targets * self.target_stds + self.target_means, logits)

    @torch.no_grad()
    def whiten(self, features: Tensor) -> None:
        """Change basis so that these features, ``(N, F)``, have zero mean and unit covariance.

        The estimates stay what they are: the head undoes the change.
        """
        mean = features.double().mean(0)
        variances, axes = torch.linalg.eigh(torch.cov(features.double().T))
        roots = variances.clamp_min(1e-12 * variances.max()).sqrt()
        forward, backward = (axes / roots) @ axes.T, (axes * roots) @ axes.T
        weight, bias = self.features.weight.double(), self.features.bias.double()
        head = self.head.weight.double()
        self.features.weight.copy_(forward @ weight)
        self.features.bias.copy_(forward @ (bias - mean))
        self.head.bias.copy_(self.head.bias.double() + head @ mean)
        self.head.weight.copy_(head @ backward)


class EncoderStage(nn.Module):
    """A strided convolution and, but for the first stage, a second one added to its output."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, *, first: bool) -> None:
        super().__init__()
        kernel = 5 if first else 3
        self.conv_in = nn.Conv2d(
            in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias=False
        )
        self.norm_in = nn.BatchNorm2d(out_channels)
        self.residual: nn.Module | None = None
        if not first:
            self.residual = nn.Sequential(
                nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to ``(B, C', ceil(H/stride), ceil(W/stride))``."""
        h = F.relu(self.norm_in(self.conv_in(x)))
        return h if self.residual is None else F.relu(h + self.residual(h))
