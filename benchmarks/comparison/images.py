"""The training images as each arm wants them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from gravlensdiffusion.formats.open import open_lenses
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.sets.records import SetHeader

PADDED = 32
"""Size at which peers work that halve the image three times [pixel]."""
MARGIN = 2
"""Pixels on each side that make 28 of 32."""


def peak_scaled(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shift and scale each image ``(N, C, H, W)`` to [0, 1]."""
    low = images.min((1, 2, 3), keepdims=True)
    span = images.max((1, 2, 3), keepdims=True) - low
    return np.asarray((images - low) / np.where(span > 0, span, 1), dtype=np.float32)


def training_images(path: Path) -> Tensor:
    """Return all images of a set, each scaled to [0, 1], shape ``(N, 1, H, W)``."""
    source = open_lenses(path)
    return torch.from_numpy(peak_scaled(source.read(slice(0, len(source)))))


def padded(images: Tensor) -> Tensor:
    """Mirror the edges, which are sky, so that 28 pixels become 32; shape ``(B, 1, H, W)``."""
    return functional.pad(images, (MARGIN,) * 4, mode="reflect")


def cropped(images: Tensor) -> Tensor:
    """Undo `padded`."""
    return images[..., MARGIN:-MARGIN, MARGIN:-MARGIN]


class PeakScaled:
    """A set whose images are each scaled to [0, 1], for the trainer.

    Args:
        source: The set.
    """

    def __init__(self, source: LensSet) -> None:
        self._source = source
        self.header: SetHeader = replace(source.header, flux_unit="peak")
        self.image_shape: tuple[int, int, int] = source.image_shape
        self.labels: NDArray[np.int16] = source.labels
        self.parameters: Mapping[str, NDArray[np.float64]] = source.parameters

    def __len__(self) -> int:
        return len(self._source)

    def read(self, indices: Sequence[int] | NDArray[np.integer]) -> NDArray[np.float32]:
        """Return images, shape ``(B, C, H, W)``."""
        return peak_scaled(self._source.read(indices))
