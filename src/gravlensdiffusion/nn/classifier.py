"""Small networks that read images: the lens encoder, and the classifier."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gravlensdiffusion.config.classifier import ClassifierConfig, EncoderConfig

SKY = 0.011
"""Level of the sky that the stretch is centred on [peak]."""
FAINT = 0.01
"""Flux at which the stretch turns from linear to logarithmic [peak]."""


class LensEncoder(nn.Module):
    """A convolutional network whose last hidden layer serves as feature space.

    It sees each image twice, as it is and stretched, so that arcs and sky noise both count. The
    features are what the last linear layer before the heads puts out. Those of the bundled encoders
    have zero mean and unit covariance over a set of images, which makes distances between features
    independent of their arbitrary scales and mixtures.

    Args:
        config: Widths, strides, targets.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.stages, size = _stages(2, config)
        current = config.channels[-1]
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

    def estimate(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return what features ``(B, F)`` say: targets ``(B, T)`` in their units, logits ``(B, K)``."""
        out = self.out(F.silu(self.head(features)))
        targets, logits = out.tensor_split([len(self.config.targets)], dim=1)
        return targets * self.target_stds + self.target_means, logits


class ClassifierNetwork(nn.Module):
    """A convolutional network from an image to one logit per class.

    It sees each image twice, as it is and stretched by an asinh whose scale is the noise, so that
    arcs and faint light both count. The features are the mean of each stage and the map of the
    last one, reduced to few channels: what something is, and where.

    Args:
        config: Widths, classes, and the scales of the images.
    """

    sky: Tensor
    noise: Tensor
    bright: Tensor

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        for name in ("sky", "noise", "bright"):
            values = torch.tensor(getattr(config, name), dtype=torch.float32)
            self.register_buffer(name, values.reshape(1, -1, 1, 1), persistent=False)
        self.stages, size = _stages(2 * config.num_channels, config)
        current = config.channels[-1]
        few = max(current // 4, 1)
        self.squeeze = nn.Conv2d(current, few, 1)
        self.head = nn.Sequential(
            nn.Dropout(config.dropout),
            nn.Linear(sum(config.channels) + few * size**2, 64),
            nn.SiLU(),
            nn.Dropout(config.dropout),
            nn.Linear(64, len(config.class_names)),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(B, C, S, S)``, in the flux unit of training, to logits ``(B, K)``."""
        above = images - self.sky
        h = torch.cat([above / self.bright, torch.asinh(above / (3 * self.noise)) / 3], dim=1)
        h = h.contiguous(memory_format=torch.channels_last)
        parts = []
        for stage in self.stages:
            h = stage(h)
            parts.append(h.mean((2, 3)))
        parts.append(F.relu(self.squeeze(h)).flatten(1))
        logits: Tensor = self.head(torch.cat(parts, dim=1))
        return logits


def _stages(num_inputs: int, config: EncoderConfig | ClassifierConfig) -> tuple[nn.ModuleList, int]:
    """Return the stages of a network, and the side of the map that they leave."""
    stages, size = nn.ModuleList(), config.image_size
    widths = (num_inputs, *config.channels)
    for (before, channels), stride in zip(pairwise(widths), config.strides, strict=True):
        stages.append(_Stage(before, channels, stride, first=not len(stages)))
        size = (size - 1) // stride + 1
    return stages, size


class _Stage(nn.Module):
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
