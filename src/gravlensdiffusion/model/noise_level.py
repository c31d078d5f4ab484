"""How much white noise images hold, estimated from the images alone."""

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray

from gravlensdiffusion.model.transform import Transform

MEDIAN_OF_NORMAL = 0.6745
"""Median of the absolute value of a standard normal number."""


def noise_level(batches: Iterable[NDArray[np.float32]], transform: Transform) -> float:
    """Estimate the standard deviation of white noise in model space.

    Second differences along both axes, ``[1, -2, 1]`` times its transpose, take away whatever is
    smooth and leave six times the noise. Half of the pixels of an image may hold anything else.

    Args:
        batches: Flux, each of shape ``(B, C, H, W)`` with H and W of 3 at least.
        transform: Flux to model space.

    Returns:
        The median over the images [model units].

    References:
        Immerkaer 1996, Fast noise variance estimation (with a median in place of the mean).
    """
    found = []
    for batch in batches:
        x = transform(torch.from_numpy(batch)).double()
        left = x.diff(n=2, dim=-1).diff(n=2, dim=-2)
        found.append(left.abs().flatten(1).median(dim=1).values)
    return float(torch.cat(found).median()) / MEDIAN_OF_NORMAL / 6
