"""The optimiser and its learning rate, by images seen."""

import math

import torch
from torch import nn

from gravlensdiffusion.config.training import OptimiserConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.training.muon import Muon


def build_optimiser(network: nn.Module, config: OptimiserConfig) -> torch.optim.Optimizer:
    """Build the optimiser of all weights of a network.

    The rate of each group of weights stands under ``share``, as a share of the learning rate.

    Args:
        network: The network; for ``muon``, it says which of its weights are hidden ones.
        config: What to build.

    Raises:
        GravLensError: If Muon does not know the hidden weights of the network.
    """
    rate = config.learning_rate
    optimiser: torch.optim.Optimizer
    if config.kind == "muon":
        optimiser = _muon(network, config)
    else:
        kind = torch.optim.AdamW if config.kind == "adamw" else torch.optim.Adam
        optimiser = kind(
            network.parameters(),
            lr=rate,
            betas=(0.9, config.beta2),
            weight_decay=config.weight_decay,
        )
    for group in optimiser.param_groups:
        group["share"] = group["lr"] / rate
    return optimiser


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of the next step."""
    for group in optimiser.param_groups:
        # A run of an earlier version has one group, without a share.
        group["lr"] = rate * group.get("share", 1.0)


def learning_rate(config: OptimiserConfig, images_seen: int, total_images: int) -> float:
    """Return the learning rate of the step that starts after ``images_seen`` images."""
    rate = config.learning_rate
    if images_seen < config.warmup_images:
        rate *= (images_seen + 1) / config.warmup_images
    if config.decay == "cosine":
        rate *= 0.5 * (1 + math.cos(math.pi * min(images_seen / total_images, 1)))
    return rate


def _muon(network: nn.Module, config: OptimiserConfig) -> Muon:
    find = getattr(network, "hidden_weights", None)
    if find is None:
        raise GravLensError("optimiser 'muon' does not know this network; choose 'adamw'")
    hidden = list(find())
    taken = {id(weight) for weight in hidden}
    return Muon(
        hidden,
        [weight for weight in network.parameters() if id(weight) not in taken],
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        adam_lr=config.adam_learning_rate,
        betas=(0.9, config.beta2),
    )
