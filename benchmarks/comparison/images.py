"""The training images as each arm wants them."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.sets.flux import PEAK, peak_scaled
from gravlensdiffusion.sets.lens_set import LensSet, View

PADDED = 32
"""Size at which peers work that halve the image three times [pixel]."""
MARGIN = 2
"""Pixels on each side that make 28 of 32."""


def training_images(path: Path) -> Tensor:
    """Return all images of a set, each scaled to [0, 1], shape ``(N, 1, H, W)``."""
    source = open_set(path)
    return torch.from_numpy(peak_scaled(source.read(slice(None)))[0])


def padded(images: Tensor) -> Tensor:
    """Mirror the edges, which are sky, so that 28 pixels become 32; shape ``(B, 1, H, W)``."""
    return functional.pad(images, (MARGIN,) * 4, mode="reflect")


def cropped(images: Tensor) -> Tensor:
    """Undo `padded`."""
    return images[..., MARGIN:-MARGIN, MARGIN:-MARGIN]


def peak_scaled_set(source: LensSet) -> LensSet:
    """Return a set whose images are each scaled to [0, 1], for the trainer."""
    header = replace(source.header, flux_unit=PEAK)
    return View(source, header=header, change=lambda images: peak_scaled(images)[0])
