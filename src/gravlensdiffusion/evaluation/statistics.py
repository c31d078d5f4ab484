"""The statistics of a report: what each is called, compares, tells of, and is likened to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import Any, Literal

import numpy as np

from gravlensdiffusion.evaluation.measure import Measurements
from gravlensdiffusion.metrics import physics
from gravlensdiffusion.metrics.defects import Defect
from gravlensdiffusion.metrics.detail import seams
from gravlensdiffusion.metrics.features import (
    finite,
    frechet_distance,
    measure_coverage,
    scaled_wasserstein,
)
from gravlensdiffusion.metrics.kernel import kid, mmd_test

Compare = Callable[[Measurements, Measurements, np.random.Generator], float | Mapping[str, float]]

NEIGHBOURS = 5
"""Neighbours of the coverage metrics."""
MAX_COVERAGE_IMAGES = 5000
"""Images of each set that precision, recall, density and coverage use; a random choice of more."""


class Group(StrEnum):
    """Sections of the table of statistics."""

    ENCODER = "encoder features"
    PHYSICS = "lens physics"
    DETAIL = "fine detail"
    TWO_SAMPLE = "two-sample test"
    MEMORISATION = "memorisation"
    INCEPTION = "Inception features"


ABOUT = {
    Group.ENCODER: "features of the lens encoder",
    Group.PHYSICS: "Wasserstein distance in units of the scatter of the real images",
    Group.DETAIL: (
        "as above; seams: roughness of every m-th row or column over the others, beside the "
        "reference; negative flux: "
        "share of pixels at zero or below"
    ),
    Group.TWO_SAMPLE: "AUC of a classifier; 0.5: it cannot tell generated from real",
    Group.MEMORISATION: (
        "median distance to the nearest training image, over that of held-out images"
    ),
    Group.INCEPTION: "features of the public Inception network",
}
"""What the numbers of each section are."""


class Space(StrEnum):
    """What images are told apart by."""

    FEATURES = "encoder features"
    PIXELS = "pixels"


class Use(StrEnum):
    """What images may be wanted for, to stand after "good for"."""

    FLUX = "measuring flux"
    SKY = "what depends on the sky and its noise"
    RADII = "measuring Einstein radii"
    POSITIONS = "measuring positions"
    SHAPES = "measuring shapes and shear"
    ARCS = "the fine structure of arcs"


@dataclass(frozen=True, kw_only=True, slots=True)
class Statistic:
    """One statistic by which a generated set is compared with a real one: a row of the report."""

    name: str  # its name in `report.json`
    group: Group  # section of the table
    label: str = ""  # what people call it; its name where this is empty
    # Returns its value from the generated and the real measurements and a source of random numbers;
    # of statistics that are computed at once, all by their names. None for what is compared in its
    # own way.
    compare: Compare | None = field(default=None, compare=False)
    # Planted defects that its values are likened to, the most telling first.
    defects: tuple[Defect, ...] = ()
    # How the value falls with the number of images N: `1/N`, `1/sqrt(N)` for the distances whose
    # square falls as 1/N, `none` for what is unbiased or no distance.
    bias: Literal["1/N", "1/sqrt(N)", "none"] = "none"
    # Whether a relative error makes sense: positive, with a meaningful zero.
    is_relative: bool = False
    use: Use | None = None  # what images with another value are not good for
    space: Space | None = None  # what it is computed from, where statistics differ in that alone
    bag_size: int = 1  # images that are seen at a time
    # Whether only values above the floor tell sets apart, although it is no distance.
    has_upper_floor: bool = False

    @property
    def title(self) -> str:
        """What people call it."""
        return self.label or self.name

    @property
    def source(self) -> str:
        """What it is computed from, in words; empty where that is told by its section."""
        of_bag = "" if self.bag_size == 1 else f", mean of {self.bag_size} images"
        return f"{self.space or ''}{of_bag}"

    def with_unit(self, pixel_scale_arcsec: float | None, flux_unit: str) -> str:
        """Return its title and the unit of what is measured of an image.

        Args:
            pixel_scale_arcsec: Side of a pixel [arcsec]; None where lengths are in pixels.
            flux_unit: Unit of the pixel values.
        """
        length = "pixel" if pixel_scale_arcsec is None else "arcsec"
        unit = physics.UNITS.get(self.name, "").replace("arcsec", length)
        unit = unit.replace("flux", flux_unit).replace("^2", "²")
        return f"{self.title} [{unit}]" if unit else self.title


def values(
    statistics: Sequence[Statistic],
    generated: Measurements,
    real: Measurements,
    seed: int | Sequence[int],
) -> dict[str, float]:
    """Return the values of some statistics by name, each with random numbers of its own."""
    found: dict[str, float] = {}
    for each in statistics:
        if each.compare is not None and each.name not in found:
            value = each.compare(generated, real, np.random.default_rng(seed))
            found |= value if isinstance(value, Mapping) else {each.name: value}
    return found


def relative_shift(name: str, generated: Measurements, reference: Measurements) -> float:
    """Return how far the mean of one statistic is off, in units of the real mean."""
    one, two = (finite(each.physics[name]) for each in (generated, reference))
    if not len(one) or not len(two) or two.mean() == 0:
        return float("nan")
    return float(one.mean() / two.mean() - 1)


def _frechet(generated: Measurements, real: Measurements, _: np.random.Generator) -> float:
    return frechet_distance(generated.features, real.features)


def _kid(generated: Measurements, real: Measurements, rng: np.random.Generator) -> float:
    return kid(generated.features, real.features, rng).value


def _mmd(generated: Measurements, real: Measurements, rng: np.random.Generator) -> float:
    return mmd_test(generated.features, real.features, rng, num_permutations=1).value


def _number(name: str, generated: Measurements, real: Measurements, _: object) -> float:
    return scaled_wasserstein(generated.physics[name], real.physics[name])


def _profile(name: str, generated: Measurements, real: Measurements, _: object) -> float:
    pairs = zip(generated.profiles[name].T, real.profiles[name].T, strict=True)
    return float(np.mean([scaled_wasserstein(one, two) for one, two in pairs]))


def _coverage(
    generated: Measurements, reference: Measurements, rng: np.random.Generator
) -> dict[str, float]:
    ours, theirs = (
        each.features
        if len(each) <= MAX_COVERAGE_IMAGES
        else each.features[np.sort(rng.permutation(len(each))[:MAX_COVERAGE_IMAGES])]
        for each in (generated, reference)
    )
    return measure_coverage(ours, theirs, min(NEIGHBOURS, len(ours) - 1, len(theirs) - 1))


_GROSS: tuple[Defect, ...] = ("flux", "noise", "blur")
FRECHET = Statistic(
    name="lens Fréchet distance", group=Group.ENCODER, compare=_frechet, defects=_GROSS, bias="1/N"
)
MMD = Statistic(name="lens MMD²", group=Group.ENCODER, compare=_mmd, defects=_GROSS)


def frechet_of(class_name: str) -> Statistic:
    """Return the lens Fréchet distance of the images of one class."""
    return replace(FRECHET, name=f"{FRECHET.name}, {class_name}", defects=())


COVERAGE = tuple(
    Statistic(name=name, group=Group.ENCODER, compare=_coverage)
    for name in ("precision", "recall", "density", "coverage")
)
ENCODER = (FRECHET, MMD, *COVERAGE)
"""Statistics in the space of the lens encoder."""

FID = Statistic(name="FID", group=Group.INCEPTION, compare=_frechet, defects=("flux",), bias="1/N")
KID = Statistic(name="KID", group=Group.INCEPTION, compare=_kid, defects=("flux",))


def _measured(
    name: str,
    label: str,
    use: Use,
    *defects: Defect,
    compare: Callable[..., float] = _number,
    **more: Any,
) -> Statistic:
    """Return a statistic of what is measured of each image."""
    more = {"group": Group.PHYSICS, "bias": "1/sqrt(N)", "defects": defects, "use": use} | more
    return Statistic(name=name, label=label, compare=partial(compare, name), **more)


PHYSICS = (
    _measured("einstein_radius", "Einstein radius", Use.RADII, "blur", "shift", is_relative=True),
    _measured("total_flux", "total flux", Use.FLUX, "flux", "blur", "noise", is_relative=True),
    _measured("maximum", "brightest pixel", Use.FLUX, "flux", "blur", "noise", is_relative=True),
    _measured("centroid_x", "centroid x", Use.POSITIONS, "shift"),
    _measured("centroid_y", "centroid y", Use.POSITIONS, "turned"),
    _measured("ellipticity", "ellipticity", Use.SHAPES, "blur", "noise", is_relative=True),
    _measured("ellipticity_1", "ellipticity e1", Use.SHAPES, "turned"),
    _measured("ellipticity_2", "ellipticity e2", Use.SHAPES, "turned"),
    _measured("quadrupole_plus", "quadrupole, plus", Use.SHAPES, "turned"),
    _measured("quadrupole_cross", "quadrupole, cross", Use.SHAPES, "turned"),
    _measured("asymmetry", "asymmetry", Use.ARCS, "shift", "blur"),
    _measured("gini", "Gini coefficient", Use.ARCS, "blur", "noise", is_relative=True),
    _measured("m20", "M20", Use.ARCS, "blur", "noise"),
    _measured("sky_level", "sky level", Use.SKY, is_relative=True),
    _measured("sky_rms", "sky rms", Use.SKY, "noise", "blur", is_relative=True),
    _measured("sky_whiteness", "sky correlation", Use.SKY, "blur"),
    _measured("radial_profile", "radial profile", Use.RADII, "flux", "blur", compare=_profile),
    _measured("power_spectrum", "power spectrum", Use.ARCS, "noise", "blur", compare=_profile),
)
"""Statistics of lens physics; the first of them are the numbers of `metrics.physics`."""

_detail = partial(_measured, group=Group.DETAIL, is_relative=True)
SEAMS = Statistic(
    name="seams",
    group=Group.DETAIL,
    label="grid of seams",
    compare=lambda ours, real, _: seams(ours.profiles, real.profiles),
    defects=("patches",),
    use=Use.ARCS,
    has_upper_floor=True,
)
NEGATIVE = Statistic(
    name="negative_flux",
    group=Group.DETAIL,
    label="negative flux",
    compare=lambda ours, *_: float(ours.physics["negative_flux"].mean()),
    defects=("clipped",),
    use=Use.SKY,
    has_upper_floor=True,
)
DETAIL = (
    SEAMS,
    _detail("pits", "number of pits", Use.ARCS, "pitted"),
    _detail("bright_points", "number of bright points", Use.ARCS, "blur"),
    _detail("fine_structure_arc", "fine structure, arc", Use.ARCS, "blur"),
    _detail("fine_structure_sky", "fine structure, sky", Use.SKY, "blur"),
    NEGATIVE,
)
"""Statistics of what the eye sees in images without noise."""


def pits_of(class_name: str) -> Statistic:
    """Return the number of pits of the images of one class."""
    return _detail(f"pits, {class_name}", f"number of pits, {class_name}", Use.ARCS)


MEASURED = {each.name: each for each in PHYSICS}
"""The same by name."""


def auc(space: Space, bag_size: int = 1) -> Statistic:
    """Return the area of a two-sample test that sees so many images at a time."""
    one = Statistic(
        name="AUC", group=Group.TWO_SAMPLE, space=space, bag_size=bag_size, has_upper_floor=True
    )
    return replace(one, name=f"AUC, {one.source}")


def nearest(space: Space) -> Statistic:
    """Return the distance to the nearest training image."""
    short = "features" if space is Space.FEATURES else space
    return Statistic(
        name=f"nearest, {space}",
        group=Group.MEMORISATION,
        label=f"nearest, in {short}",
        space=space,
    )
