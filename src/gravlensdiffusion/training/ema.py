"""The moving average of the weights."""

import torch
from torch import Tensor, nn

from gravlensdiffusion.config.training import EMAConfig


class MovingAverage:
    """An exponential moving average whose decay is counted in images, not steps.

    After ``n`` images the half-life is ``min(halflife_images, ramp n)``, so that the random start
    is soon forgotten.

    Args:
        model: The model whose state is averaged, buffers kept as they are.
        config: Half-life and ramp.

    References:
        Karras et al. 2024, arXiv:2312.02696, section 3 (half-life in images).
    """

    def __init__(self, model: nn.Module, config: EMAConfig) -> None:
        self.config = config
        self.state = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, images_seen: int, batch_size: int) -> None:
        """Take in the weights after one step.

        Args:
            model: The model.
            images_seen: Images seen, this batch included.
            batch_size: Images of this batch.
        """
        halflife = min(self.config.halflife_images, self.config.ramp * images_seen)
        decay = 0.5 ** (batch_size / halflife)
        for name, value in model.named_parameters():
            self.state[name].lerp_(value, 1 - decay)

    def load(self, state: dict[str, Tensor]) -> None:
        """Go on from a saved average."""
        for name, value in self.state.items():
            value.copy_(state[name])
