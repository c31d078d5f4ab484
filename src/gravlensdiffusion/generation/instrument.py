"""From the images of a model to those that are handed out: noise of the instrument, scale."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.config.model import ModelConfig, ObservationConfig
from gravlensdiffusion.diffusion.randomness import Stream, generator
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.flux import PEAK
from gravlensdiffusion.simulation.observe import observe

UNITS: Mapping[str, str] = {"background_rms": "e-/s", "exposure_time": "s"}
"""Units of what is known of the noise of an image."""


MAX_DEEP = 0.002
"""Share of the pixels that may lie deep below zero flux unsaid; the bundled models have 0.0006."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Observing:
    """How images are taken.

    Attributes:
        exposure_s: Exposure time that sets the Poisson noise of the galaxies [s]; None for that of
            the training set.
        sky_rms: Standard deviation of sky and read noise in a native pixel [e- / s]; None for that
            of the training set.
        flux_unit: ``peak`` to shift and scale each image to [0, 1]; None for the model's own unit.
    """

    exposure_s: float | None = None
    sky_rms: float | None = None
    flux_unit: Literal["peak"] | None = None


@dataclass(kw_only=True, slots=True)
class Clipping:
    """Counts pixels of noise-free images that were below zero flux, and were set to 0.

    Attributes:
        noise: Standard deviation of the sky in a pixel [flux unit of the model].
        num: Pixels in all.
        num_below: Pixels below 0.
        num_deep: Pixels further below 0 than the noise of the sky.
        lowest: The lowest value.
    """

    noise: float
    num: int = 0
    num_below: int = 0
    num_deep: int = 0
    lowest: float = 0.0

    def add(self, flux: NDArray[np.float32]) -> None:
        """Count the pixels of some images."""
        self.num += flux.size
        self.num_below += int((flux < 0).sum())
        self.num_deep += int((flux < -self.noise).sum())
        self.lowest = min(self.lowest, float(flux.min()))

    @property
    def share(self) -> float:
        """Share of the pixels that were below 0."""
        return self.num_below / max(self.num, 1)

    def notes(self, *, seen: bool = False) -> list[str]:
        """Return what the user should know: a line, where it matters.

        Args:
            seen: Whether the images are kept without noise, so that the zeros are in them.
        """
        is_deep = self.num_deep > MAX_DEEP * self.num
        if not is_deep and not (seen and self.num_below):
            return []
        line = (
            f"{self.share:.1%} of the pixels were below zero flux before their noise, the lowest at "
            f"{self.lowest:.2g}, and were set to 0; {self.num_deep / self.num:.2%} by more than the "
            f"noise of the sky, {self.noise:.2g}"
        )
        return [line]


class Observer:
    """Takes the images of a model: those without noise get the noise of the instrument.

    Args:
        config: The model.
        observing: What is asked for.
        model_name: What error messages call the model.

    Attributes:
        flux_unit: Unit of the images.
        observation: The noise that is added; None where the model has learned its own.
        is_as_trained: Whether the noise is that of the training set.
        clipping: What was cut off at zero flux.

    Raises:
        GravLensError: If noise is ordered of a model that has learned its own, or is not possible.
    """

    def __init__(self, config: ModelConfig, observing: Observing, model_name: str) -> None:
        is_ordered = observing.exposure_s is not None or observing.sky_rms is not None
        if config.observation is None and is_ordered:
            raise GravLensError(
                f"model '{model_name}' has learned its noise with its lenses, so that exposure and "
                "sky rms cannot be ordered"
            )
        self.observation: ObservationConfig | None = config.observation
        if self.observation is not None and observing.exposure_s is not None:
            self.observation = replace(self.observation, exposure_time=observing.exposure_s)
        if self.observation is not None and observing.sky_rms is not None:
            self.observation = replace(self.observation, background_rms=observing.sky_rms)
        self.is_as_trained = self.observation == config.observation
        own = config.observation
        noise = 0.0 if own is None else own.background_rms * own.num_pixels / config.image_size
        self.clipping = Clipping(noise=noise)
        self._is_scaled = observing.flux_unit == PEAK and config.flux_unit != PEAK
        self.flux_unit = observing.flux_unit or config.flux_unit

    @property
    def values(self) -> dict[str, float]:
        """What is known of the noise of every image, by the names of `UNITS`."""
        if self.observation is None:
            return {}
        time = self.observation.exposure_time
        found = {"background_rms": self.observation.background_rms}
        return found if time is None else found | {"exposure_time": time}

    def take(
        self, flux: NDArray[np.float32], indices: Sequence[int], seed: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Return images, and their noise-free twins where there are any.

        The noise of image k depends on (seed, k) alone.

        Args:
            flux: Images of the model, shape ``(B, C, H, W)`` [flux unit of the model].
            indices: Numbers k of the images, length B.
            seed: Seed.

        Returns:
            Two arrays of shape ``(B, C, H, W)``, in `flux_unit`; the second may be None.
        """
        images, clean = flux, None
        if self.observation is not None:
            # No pixel of a lens is darker than the sky, whatever the network leaves there.
            self.clipping.add(flux)
            clean = np.maximum(flux, 0)
            images = np.stack(
                [
                    observe(image, self.observation, generator(seed, k, Stream.OBSERVATION))
                    for k, image in zip(indices, clean, strict=True)
                ]
            ).astype(np.float32)
        return peak_scaled(images, clean) if self._is_scaled else (images, clean)


def peak_scaled(
    images: NDArray[np.float32], clean: NDArray[np.float32] | None
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Shift and scale each image to [0, 1], and its noise-free twin with it.

    Args:
        images: Shape ``(B, C, H, W)``.
        clean: Their twins, or None.
    """
    low = images.min((1, 2, 3), keepdims=True)
    span = images.max((1, 2, 3), keepdims=True) - low
    span = np.where(span > 0, span, 1)
    return (images - low) / span, None if clean is None else (clean - low) / span
