"""What an image is asked to be: a class and physical parameters, each of which may be left out."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gravlensdiffusion.config.bounds import UNLABELLED


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """The condition of a batch.

    Attributes:
        label: Class index of each image, int64 of shape ``(B,)``; `UNLABELLED` where it is left out.
        parameters: Shape ``(B, P)``, physical units; NaN where a value is left out. None for a
            model without physical parameters.
    """

    label: Tensor
    parameters: Tensor | None = None

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, index: slice | Tensor) -> "Condition":
        parameters = None if self.parameters is None else self.parameters[index]
        return Condition(label=self.label[index], parameters=parameters)

    def to(self, device: torch.device | str) -> "Condition":
        """Return the same condition on another device."""
        parameters = None if self.parameters is None else self.parameters.to(device)
        return Condition(label=self.label.to(device), parameters=parameters)

    def dropped(self, *, keeps_parameters: bool = False) -> "Condition":
        """Return the condition with everything left out, or all but the parameters."""
        parameters = self.parameters
        if parameters is not None and not keeps_parameters:
            parameters = torch.full_like(parameters, torch.nan)
        return replace(self, label=torch.full_like(self.label, UNLABELLED), parameters=parameters)
