"""What a model hands out: images with what they were asked to be, and their way there."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gravlensdiffusion.generation.noise import Clipping
from gravlensdiffusion.sets.records import LensRecord, SetHeader


@dataclass(frozen=True, kw_only=True, slots=True)
class LensSamples:
    """Generated images.

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

    def __len__(self) -> int:
        return len(self.images)

    def records(self) -> Iterator[LensRecord]:
        """Yield one record per image, as the store takes them."""
        for k, (image, label) in enumerate(zip(self.images, self.labels, strict=True)):
            yield LensRecord(
                image=image,
                label=int(label),
                parameters={name: float(values[k]) for name, values in self.parameters.items()},
                noise_free=None if self.noise_free is None else self.noise_free[k],
            )


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
