"""Networks whose output is known, for the tests of denoisers."""

import torch
from torch import Tensor, nn

from gravlensdiffusion.conditioning import Condition


class Oracle(nn.Module):
    """A network that puts out a given tensor and remembers what it was told."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output
        self.seen: tuple[Tensor, Tensor, Condition | None] | None = None

    def forward(self, x: Tensor, noise: Tensor, condition: Condition | None) -> Tensor:
        self.seen = (x, noise, condition)
        return self.output.to(x.dtype)


class LabelNet(nn.Module):
    """A network whose output depends on the image and on its label."""

    def forward(self, x: Tensor, noise: Tensor, condition: Condition | None) -> Tensor:
        shift = torch.zeros(len(x)) if condition is None else 1.0 + condition.label
        return 0.5 * x + 0.1 * (shift + noise).reshape(-1, 1, 1, 1)


def column(values: Tensor) -> Tensor:
    """Return one value for each image as it goes with images, shape ``(B, 1, 1, 1)``."""
    return values.reshape(-1, 1, 1, 1)
