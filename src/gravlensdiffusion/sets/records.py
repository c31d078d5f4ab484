"""What the simulator yields and the store keeps: one record per image, one header per set, and names of classes."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.codec import from_json
from gravlensdiffusion.config.bounds import UNLABELLED, check_class_names
from gravlensdiffusion.config.simulation import SimulationConfig
from gravlensdiffusion.errors import GravLensError

GENERATED = "is_generated"
"""Name of the parameter that is 1 for an image made by a model and 0 for an original."""

CLASSES = ("no_sub", "cdm", "axion")
"""The classes of dark matter as DeepLense's diffusion set names them, and simulations here."""
_KINDS = {"no": "no_sub", "nosub": "no_sub", "sphere": "cdm", "cdm": "cdm"}
_KINDS |= {"vort": "axion", "axion": "axion"}
"""What DeepLense's sets call them, in small letters and without signs."""


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
    """The images that a model made of one class, the first by its number among all that the seed gives of it."""

    name: str
    first: int
    num: int

    def __post_init__(self) -> None:
        if self.first < 0 or self.num < 0:
            raise GravLensError(f"class '{self.name}' cannot have {self.num} from {self.first} on")


@dataclass(frozen=True, kw_only=True, slots=True)
class Filling:
    """How a model filled the classes of a set with generated images.

    Attributes:
        weights: SHA-256 of its weights.
        guidance: Scale of classifier-free guidance; 1 is none.
        classes: What was made of each class, in the order of the file.
        resample: What the images went through after the model, or an empty string.
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

    @property
    def simulation(self) -> SimulationConfig | None:
        """What a set was simulated from, or None where it was not or does not say so."""
        try:
            return from_json(SimulationConfig, self.config, "the set") if self.config else None
        except GravLensError:
            # That of a model, say: generated images keep their noise-free twins too.
            return None


def read_map(text: str) -> dict[str, str]:
    """Return new names of classes by their own, from a text like ``no=no_sub,sphere=cdm,vort=axion``.

    Raises:
        GravLensError: If the text has another form, or names a class twice.
    """
    names: dict[str, str] = {}
    for part in text.split(","):
        own, _, new = (each.strip() for each in part.partition("="))
        if not own or not new or "=" in new:
            raise GravLensError(
                f"`map` must be like no=no_sub,sphere=cdm,vort=axion, each class of the images first, "
                f"got '{text}'"
            )
        if names.setdefault(own, new) != new:
            raise GravLensError(f"`map` takes class '{own}' both for {names[own]} and {new}")
    return names


def deeplense_names(own: Sequence[str], known: Collection[str]) -> dict[str, str]:
    """Return which known classes are meant by those of a set that DeepLense has named.

    Args:
        own: Classes of the set. Where one is none of DeepLense's, ``no`` may mean something else: nothing is
            said of any.
        known: Names that they are to be known by.

    Returns:
        Known names by those of the set; without those that are known as they are.
    """
    kinds = {name: _kind(name) for name in own}
    if None in kinds.values() or len(set(kinds.values())) < len(own):
        return {}
    meant = {kind: name for name in reversed([*known]) if (kind := _kind(name)) is not None}
    return {
        name: meant[kind] for name, kind in kinds.items() if kind in meant and name not in known
    }


def _kind(name: str) -> str | None:
    return _KINDS.get("".join(filter(str.isalnum, name.lower())))
