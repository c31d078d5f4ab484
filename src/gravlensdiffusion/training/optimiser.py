"""The optimiser and its learning rate, by images seen."""

import math
from collections.abc import Iterable

import torch
from torch import nn

from gravlensdiffusion.config.training import OptimiserConfig


def build_optimiser(
    parameters: Iterable[nn.Parameter], config: OptimiserConfig
) -> torch.optim.Optimizer:
    """Build Adam or AdamW."""
    kind = torch.optim.AdamW if config.kind == "adamw" else torch.optim.Adam
    return kind(
        parameters,
        lr=config.learning_rate,
        betas=(0.9, config.beta2),
        weight_decay=config.weight_decay,
    )


def learning_rate(config: OptimiserConfig, images_seen: int, total_images: int) -> float:
    """Return the learning rate of the step that starts after ``images_seen`` images."""
    rate = config.learning_rate
    if images_seen < config.warmup_images:
        rate *= (images_seen + 1) / config.warmup_images
    if config.decay == "cosine":
        rate *= 0.5 * (1 + math.cos(math.pi * min(images_seen / total_images, 1)))
    return rate
