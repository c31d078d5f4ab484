"""From flux to what the network sees, and back."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gravlensdiffusion.config.model import TransformConfig
from gravlensdiffusion.errors import GravLensError

NUM_QUANTILE_PIXELS = 2_000_000
"""Pixels kept for the quantiles when a transform is fitted."""
MEDIAN_OF_NORMAL = 0.6745
"""Median of the absolute value of a standard normal number."""


class Transform(nn.Module):
    """A pixel-wise map of flux, the mean image taken off, scaled to unit variance.

    ``linear``: ``z = (flux - offset) / scale``; ``asinh``: ``z = asinh((flux - offset) / scale)``;
    ``peak``: ``z`` is the image brought to [0, 1]. Then ``x = gain (z - mean)``.

    Args:
        config: The kind and its constants; ``gain`` must be set.
        mean: Mean of ``z`` over the training set, shape ``(C, H, W)``.
    """

    mean: Tensor

    def __init__(self, config: TransformConfig, mean: Tensor) -> None:
        super().__init__()
        if config.gain == 0:
            raise GravLensError("the transform has no gain yet: it must be fitted to data first")
        self.config = config
        self.register_buffer("mean", mean)

    def forward(self, flux: Tensor) -> Tensor:
        """Map flux ``(B, C, H, W)`` to model space, same shape."""
        return (stretch(self.config, flux) - self.mean) * self.config.gain

    def inverse(self, x: Tensor) -> Tensor:
        """Map model space ``(B, C, H, W)`` back to flux; ``peak`` gives peak-scaled images."""
        z = x / self.config.gain + self.mean
        if self.config.kind == "peak":
            return z
        if self.config.kind == "asinh":
            z = torch.sinh(z)
        return z * self.config.scale + self.config.offset

    def noise_level(self, batches: Iterable[NDArray[np.float32]]) -> float:
        """Estimate the standard deviation of white noise, the median over images [model units].

        Second differences along both axes, ``[1, -2, 1]`` times its transpose, take away whatever is
        smooth and leave six times the noise. Half of the pixels of an image may hold anything else.

        Args:
            batches: Flux, each of shape ``(B, C, H, W)`` with H and W of 3 at least.

        References:
            Immerkaer 1996, Fast noise variance estimation (with a median in place of the mean).
        """
        found = []
        for batch in batches:
            x = self(torch.from_numpy(batch)).double()
            left = x.diff(n=2, dim=-1).diff(n=2, dim=-2)
            found.append(left.abs().flatten(1).median(dim=1).values)
        return float(torch.cat(found).median()) / MEDIAN_OF_NORMAL / 6


def stretch(config: TransformConfig, flux: Tensor) -> Tensor:
    """Apply the pixel-wise part of the transform to ``(B, C, H, W)``."""
    if config.kind == "peak":
        low, high = flux.amin((1, 2, 3), keepdim=True), flux.amax((1, 2, 3), keepdim=True)
        return (flux - low) / (high - low).clamp_min(torch.finfo(flux.dtype).tiny)
    z = (flux - config.offset) / config.scale
    return torch.asinh(z) if config.kind == "asinh" else z


def fit_transform(
    config: TransformConfig, batches: Iterable[NDArray[np.float32]], image_shape: tuple[int, ...]
) -> Transform:
    """Measure what the configuration leaves open on a training set.

    With ``fit``, ``asinh`` gets the 10% quantile of the pixels as its offset, and as its scale five
    times the distance from there to the median: about six times the sky noise where most pixels are
    sky, so that the sky stays linear. ``linear`` needs no constants beside mean image and gain.

    Args:
        config: The transform; ``gain`` 0 and ``fit`` mark what is measured.
        batches: Flux, each of shape ``(B, C, H, W)``; read twice, so not an iterator.
        image_shape: ``(C, H, W)``.

    Raises:
        GravLensError: If the set has no spread, or leaves the bounds of the transform.
    """
    if config.bounds is not None:
        _check_bounds(batches, config.bounds)
    if config.fit and config.kind == "asinh":
        low, middle = _quantiles(batches, (0.1, 0.5))
        if not middle > low:
            raise GravLensError(
                "the faint half of the pixels has no spread, so that there is no noise for asinh "
                "to follow; use `transform` linear"
            )
        config = replace(config, offset=low, scale=5 * (middle - low))
    config = replace(config, fit=False)
    total = torch.zeros(image_shape, dtype=torch.float64)
    squares = torch.zeros(image_shape, dtype=torch.float64)
    count = 0
    for batch in batches:
        z = stretch(config, torch.from_numpy(batch).double())
        total += z.sum(0)
        squares += z.square().sum(0)
        count += len(z)
    mean = total / count
    if config.gain == 0:
        spread = (squares / count - mean.square()).mean().clamp_min(0).sqrt().item()
        # Copies of one image leave what rounding makes of the difference.
        if not spread > 1e-6 * (squares / count).mean().sqrt().item():
            raise GravLensError("the training images are all the same")
        config = replace(config, gain=1 / spread)
    if config.centre == "none":
        mean = torch.zeros_like(mean)
    return Transform(config, mean.float())


def _check_bounds(batches: Iterable[NDArray[np.float32]], bounds: tuple[float, float]) -> None:
    low = min(float(batch.min()) for batch in batches)
    high = max(float(batch.max()) for batch in batches)
    margin = 1e-3 * (bounds[1] - bounds[0])
    if low < bounds[0] - margin or high > bounds[1] + margin:
        raise GravLensError(
            f"this preset takes images from {bounds[0]:g} to {bounds[1]:g}, these run from {low:g} "
            f"to {high:g}; scale them with `transform` linear, asinh or peak, or use preset cutouts28"
        )


def _quantiles(
    batches: Iterable[NDArray[np.float32]], levels: tuple[float, ...]
) -> tuple[float, ...]:
    kept: list[NDArray[np.float32]] = []
    stride, size = 1, 0
    for k, batch in enumerate(batches):
        # Another start in each batch: rows of as many pixels as the step would give one column alone.
        kept.append(batch.ravel()[k % stride :: stride])
        size += len(kept[-1])
        if size > 2 * NUM_QUANTILE_PIXELS:
            kept, stride = [part[::2] for part in kept], 2 * stride
            size = sum(len(part) for part in kept)
    return tuple(float(value) for value in np.quantile(np.concatenate(kept), levels))
