"""The noise of the instrument on images of models that leave it out, and their scale."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.config.instrument import ObservationConfig
from gravlensdiffusion.config.model import ModelConfig
from gravlensdiffusion.diffusion.randomness import Stream, generator
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.simulation.observe import observe

UNITS: Mapping[str, str] = {"background_rms": "e-/s", "exposure_time": "s"}
"""Units of what is known of the noise of an image."""
MAX_DEEP = 0.002
"""Share of the pixels that may lie deep below zero flux unsaid; the bundled models have 0.0006."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Clipping:
    """Pixels of noise-free images that were below zero flux, and were set to 0.

    Attributes:
        noise: Standard deviation of the sky in a pixel [flux unit of the model].
        num: Pixels in all.
        num_below: Pixels below 0.
        num_deep: Pixels further below 0 than the noise of the sky.
        lowest: The lowest value.
    """

    noise: float = 0.0
    num: int = 0
    num_below: int = 0
    num_deep: int = 0
    lowest: float = 0.0

    @classmethod
    def of(cls, flux: NDArray[np.float32], config: ModelConfig) -> "Clipping":
        """Count the pixels of images that a model has left without noise."""
        own = config.observation
        noise = 0.0 if own is None else own.background_rms * own.num_pixels / config.image_size
        return cls(
            noise=noise,
            num=flux.size,
            num_below=int((flux < 0).sum()),
            num_deep=int((flux < -noise).sum()),
            lowest=min(0.0, float(flux.min())),
        )

    def __add__(self, other: "Clipping") -> "Clipping":
        return Clipping(
            noise=max(self.noise, other.noise),
            num=self.num + other.num,
            num_below=self.num_below + other.num_below,
            num_deep=self.num_deep + other.num_deep,
            lowest=min(self.lowest, other.lowest),
        )

    def note(self, *, seen: bool = False) -> str:
        """Return what the user should know, in one line; nothing where it does not matter.

        Args:
            seen: Whether the images are kept without noise, so that the zeros are in them.
        """
        is_deep = self.num_deep > MAX_DEEP * self.num
        if not is_deep and not (seen and self.num_below):
            return ""
        return (
            f"{self.num_below / self.num:.1%} of the pixels were below zero flux before their noise, "
            f"the lowest at {self.lowest:.2g}, and were set to 0; {self.num_deep / self.num:.2%} by "
            f"more than the noise of the sky, {self.noise:.2g}"
        )


def asked_noise(
    config: ModelConfig, exposure_s: float | None, sky_rms: float | None, model_name: str
) -> ObservationConfig | None:
    """Return the noise that is added to images, see `LensGenerator.request`; None for none.

    Raises:
        GravLensError: If noise is ordered of a model that has learned its own, or is not possible.
    """
    own = config.observation
    both = {"exposure_time": exposure_s, "background_rms": sky_rms}
    asked: dict[str, Any] = {name: value for name, value in both.items() if value is not None}
    if own is None and asked:
        raise GravLensError(
            f"model '{model_name}' has learned its noise with its lenses, so that exposure and sky "
            "rms cannot be ordered"
        )
    return own if own is None or not asked else replace(own, depths=(), **asked)


def known_noise(observation: ObservationConfig | None) -> dict[str, float]:
    """Return what is known of the noise of images, by the names of `UNITS`; medians where they differ."""
    values = {} if observation is None else {n: getattr(observation, n) for n in UNITS}
    return {name: value for name, value in values.items() if value is not None}


def noise_of_images(
    observation: ObservationConfig | None, numbers: Sequence[int], seed: int
) -> dict[str, NDArray[np.float64]]:
    """Return what is known of the noise that `add_noise` gives to images, ``(B,)`` each by the names of `UNITS`."""
    if observation is None:
        return {}
    own = [_own_depth(observation, generator(seed, k, Stream.OBSERVATION)) for k in numbers]
    return {
        name: np.array([getattr(each, name) for each in own], dtype=np.float64)
        for name in known_noise(observation)
    }


def _own_depth(observation: ObservationConfig, rng: np.random.Generator) -> ObservationConfig:
    """Return the observation of one image, whose depth is drawn where a set has several."""
    if not observation.depths:
        return observation
    depth = observation.depths[rng.integers(len(observation.depths))]
    return replace(observation, depths=(), **asdict(depth))


def add_noise(
    clean: NDArray[np.float32], observation: ObservationConfig, numbers: Sequence[int], seed: int
) -> NDArray[np.float32]:
    """Return images ``(B, C, H, W)`` [flux unit of the model] with noise, which depends on (seed, k) alone."""
    noisy = []
    for k, image in zip(numbers, clean, strict=True):
        rng = generator(seed, k, Stream.OBSERVATION)
        noisy.append(observe(image, _own_depth(observation, rng), rng))
    return np.stack(noisy).astype(np.float32)
