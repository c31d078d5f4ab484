"""What a model hands out: images with what they were asked to be, and their way there."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gravlensdiffusion.generation.noise import Clipping
from gravlensdiffusion.sets.lens_set import Indices, LensSet, as_indices
from gravlensdiffusion.sets.records import LensRecord, SetHeader


@dataclass(kw_only=True, eq=False)
class LensSamples(LensSet):
    """Generated images, a set like any other.

    Attributes:
        images: Float32 of shape ``(N, C, H, W)``, in ``header.flux_unit``.
        labels: Class that was asked for, int16 of shape ``(N,)``; -1 where it was left out.
        parameters: Physical parameters that were asked for, and the noise that was added, by name,
            shape ``(N,)`` each; NaN where a value was left out.
        noise_free: The images without noise, ``(N, C, H, W)``; None for a model that has learned
            its noise, or where they were not asked for.
        header: Classes, pixel scale, flux unit, seed.
        clipping: Pixels that the network left below zero flux, and that were set to 0 before the
            noise; none for a model that has learned its noise.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int16]
    parameters: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    noise_free: NDArray[np.float32] | None = None
    header: SetHeader
    clipping: Clipping = field(default_factory=Clipping)

    def __post_init__(self) -> None:
        _, channels, height, width = self.images.shape
        self.image_shape = (channels, height, width)
        self.has_noise_free = self.noise_free is not None

    def read(self, indices: Indices) -> NDArray[np.float32]:
        """Return images, shape ``(B, C, H, W)``."""
        return self.images[as_indices(indices, len(self))]

    def read_noise_free(self, indices: Indices) -> NDArray[np.float32]:
        """Return the noise-free twins of images, shape ``(B, C, H, W)``."""
        if self.noise_free is None:
            return super().read_noise_free(indices)
        return self.noise_free[as_indices(indices, len(self))]

    def records(self, *, with_unknown: bool = True) -> Iterator[LensRecord]:
        """Yield the images with what is known of each; what was left out is there as NaN."""
        return super().records(with_unknown=with_unknown)


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """One moment of sampling.

    Attributes:
        step: Steps done.
        num_steps: Steps in all.
        alpha_t: Factor on the clean image within ``x_t``: near 0 for noise, 1 at the end.
        x_t: Noisy images in model space, ``(B, C, H, W)``.
        x_hat: Estimate of the clean images in model space, ``(B, C, H, W)``.
    """

    step: int
    num_steps: int
    alpha_t: float
    x_t: Tensor
    x_hat: Tensor
