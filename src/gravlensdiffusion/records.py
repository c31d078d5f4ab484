"""What the simulator yields and the store keeps: one record per image, one header per set."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

UNLABELLED = -1
"""The label of an image whose class is not known."""

GENERATED = "is_generated"
"""Name of the parameter that is 1 for an image made by a model and 0 for an original."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LensRecord:
    """One image and the truth about it.

    Attributes:
        image: Pixels, float32 of shape ``(C, H, W)``, in the flux unit of the set.
        label: Index into the set's class names, or `UNLABELLED`.
        parameters: Drawn parameter values by name; units are in the set's header.
        subhaloes: Shape ``(K, 3)``: x [arcsec], y [arcsec], mass [M_sun]; None where the class
            has none.
        noise_free: The image without noise, in the shape and unit of ``image``, or None.
    """

    image: NDArray[np.float32]
    label: int = UNLABELLED
    parameters: Mapping[str, float] = field(default_factory=dict)
    subhaloes: NDArray[np.float64] | None = None
    noise_free: NDArray[np.float32] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SetHeader:
    """What is common to all images of a set.

    Attributes:
        class_names: Names of the classes, in the order of the labels.
        pixel_scale_arcsec: Side of a pixel [arcsec], or None where it is not known.
        flux_unit: Unit of the pixel values; ``peak`` where each image was scaled to [0, 1].
        preset: Name of the simulation preset, or None.
        config: The configuration that made the set, as JSON, or an empty string.
        seed: Seed of the set, or None.
        parameter_units: Unit of each parameter, by name; an empty string for a pure number.
        resize: Name of the resize that the images went through, or None.
        software: Name and version of the program that made the set.
    """

    class_names: tuple[str, ...] = ()
    pixel_scale_arcsec: float | None = None
    flux_unit: str = "unknown"
    preset: str | None = None
    config: str = ""
    seed: int | None = None
    parameter_units: Mapping[str, str] = field(default_factory=dict)
    resize: str | None = None
    software: str = ""
