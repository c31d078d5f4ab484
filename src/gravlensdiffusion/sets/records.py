"""What the simulator yields and the store keeps: one record per image, one header per set."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.codec import from_json
from gravlensdiffusion.config.bounds import UNLABELLED, check_class_names
from gravlensdiffusion.config.simulation import SimulationConfig
from gravlensdiffusion.errors import GravLensError

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
class FilledClass:
    """The images that a model made of one class.

    Attributes:
        name: Name of the class.
        first: Number of the first of them among all that the seed gives of the class.
        num: How many there are.
    """

    name: str
    first: int
    num: int

    def __post_init__(self) -> None:
        if self.first < 0 or self.num < 0:
            raise GravLensError(f"class '{self.name}' cannot have {self.num} from {self.first} on")


@dataclass(frozen=True, kw_only=True, slots=True)
class Filling:
    """How the classes of a set were filled with generated images.

    Attributes:
        model: Name of the model.
        weights: SHA-256 of its weights.
        seed: Seed of the images.
        sampler: Name of the sampler.
        num_steps: Number of its steps.
        guidance: Scale of classifier-free guidance; 1 is none.
        classes: What was made of each class, in the order of the file.
        resample: What the images went through after the model, or an empty string.
        software: Name and version of the program.
    """

    model: str
    weights: str
    seed: int
    sampler: str
    num_steps: int
    guidance: float
    classes: tuple[FilledClass, ...]
    resample: str = ""
    software: str = ""

    @property
    def num(self) -> int:
        """How many images were made."""
        return sum(each.num for each in self.classes)


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
        fillings: How generated images came to the set, oldest first; all else is about the others.
        request: What a shard was asked to be, as JSON, or None: by it a command that was broken off
            knows the shards that it has made.
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
    fillings: tuple[Filling, ...] = ()
    request: str | None = None

    def __post_init__(self) -> None:
        check_class_names(self.class_names)

    def titles(self, labels: Iterable[int]) -> list[str] | None:
        """Return what is written above images in a picture: their classes; None without classes."""
        names = (*self.class_names, "")
        return [names[label] for label in labels] if self.class_names else None


def simulation_of(header: SetHeader) -> SimulationConfig | None:
    """Return what a set was simulated from, or None where it was not or does not say so."""
    try:
        return (
            from_json(SimulationConfig, header.config, source="the set") if header.config else None
        )
    except GravLensError:
        # That of a model, say: generated images keep their noise-free twins too.
        return None
