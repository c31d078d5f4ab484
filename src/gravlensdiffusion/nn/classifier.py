"""A small network that tells classes of lens images apart."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gravlensdiffusion.config.classifier import ClassifierConfig
from gravlensdiffusion.nn.encoder import EncoderStage


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
        self.stages = nn.ModuleList()
        current, size = 2 * config.num_channels, config.image_size
        for channels, stride in zip(config.channels, config.strides, strict=True):
            first = not len(self.stages)
            self.stages.append(EncoderStage(current, channels, stride, first=first))
            current, size = channels, (size - 1) // stride + 1
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
