"""The light of galaxies: how bright, how large, where, and what they have beside a smooth profile."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Literal

from gravlensdiffusion.config.bounds import LATER, Bounded, Positive, Range
from gravlensdiffusion.config.priors import Constant, Prior, Uniform

NONE, ALL = Constant(0.0), Constant(1.0)
Fraction = Annotated[Prior, Range(at_least=0, at_most=1)]

MAX_MAGNITUDE = 100
MAX_NEIGHBOURS = 16
MAX_ELLIPTICITY = 0.9
"""Largest modulus of (e1, e2) of a profile; at 1 the axis ratio is zero."""


def faults_of_ellipticity(what: str, e1: tuple[Prior, ...], e2: tuple[Prior, ...]) -> Iterator[str]:
    """Yield a fault where priors' values, added up along each axis, could reach a modulus of one."""
    largest = [
        max(-sum(prior.support[0] for prior in priors), sum(prior.support[1] for prior in priors))
        for priors in (e1, e2)
    ]
    if math.hypot(*largest) > MAX_ELLIPTICITY:
        yield f"{what}: the modulus of (e1, e2) must stay below {MAX_ELLIPTICITY}; truncate the prior"


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope(Bounded):
    """A second Sersic profile about the first, as the halo of an early-type galaxy or its disc.

    Where it is turned against the first the isophotes twist, and where it is flatter they are disky.

    Attributes:
        fraction: Share of the light that it holds.
        relative_radius: Its half-light radius in units of the first's.
        relative_ellipticity: Its ellipticity in units of the first's.
        twist: Angle by which it is turned against the first [rad].
    """

    kind: Literal["envelope"] = "envelope"
    fraction: Fraction
    relative_radius: Annotated[Prior, Range(above=0)]
    sersic_index: Annotated[Prior, Range(at_least=0.3, at_most=8)]
    relative_ellipticity: Annotated[Prior, Range(at_least=0)] = ALL
    twist: Prior = NONE


@dataclass(frozen=True, kw_only=True, slots=True)
class StructuredDisc(Bounded):
    """A disc with a bulge, spiral arms, a bar, a ring and clumps of young stars.

    The galaxy's Sersic profile is that of its smooth disc, seen at the inclination that its
    ellipticity gives. Where arms and clumps lie, and their sizes, is drawn at random.

    Attributes:
        bulge_fraction: Share of the light in the bulge.
        bulge_radius: Half-light radius of the bulge in units of the disc's.
        bar_fraction: Share in the bar.
        ring_fraction: Share in a ring.
        clump_fraction: Share in clumps.
        clump_count: Mean number of clumps.
        arm_contrast: How far arms stand out of the disc: 1 for none of it between them.
        lopsidedness: By how much one side of the disc outshines the other.
    """

    kind: Literal["disc"] = "disc"
    bulge_fraction: Fraction = NONE
    bulge_radius: Annotated[Prior, Range(above=0)] = Uniform(0.12, 0.35)
    bulge_index: Annotated[Prior, Range(at_least=0.3, at_most=8)] = Uniform(1.0, 3.0)
    bar_fraction: Fraction = NONE
    ring_fraction: Fraction = NONE
    clump_fraction: Fraction = NONE
    clump_count: Positive = 8.0
    arm_contrast: Fraction = NONE
    lopsidedness: Fraction = NONE

    def _faults(self) -> Iterator[str]:
        parts = (self.bulge_fraction, self.bar_fraction, self.ring_fraction, self.clump_fraction)
        if sum(part.support[1] for part in parts) > 1:
            yield "a disc's bulge, bar, ring and clumps hold more than all its light"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cutouts(Bounded):
    """Images of real galaxies, one of which takes the place of the Sersic profile.

    It is scaled to the half-light radius and the magnitude that are drawn, and turned at random; the
    Sersic index and the ellipticities are its own, and not known.

    Attributes:
        names: Where each image comes from.
        largest_radius: Half-light radius to which each may be scaled, so that what the telescope
            that took it has spread stays below what the simulated one spreads [arcsec].
        digest: SHA-256 of the images.
    """

    kind: Literal["cutouts"] = "cutouts"
    names: tuple[str, ...]
    largest_radius: Annotated[tuple[float, ...], Range(above=0)]
    digest: str

    def _faults(self) -> Iterator[str]:
        if not 1 <= len(self.names) == len(self.largest_radius):
            yield "cutouts need a name and a largest radius for each image"


@dataclass(frozen=True, kw_only=True, slots=True)
class GalaxyLight(Bounded):
    """Elliptical Sersic light of a galaxy, and what it has beside it.

    Attributes:
        magnitude: Total unlensed AB magnitude [mag].
        effective_radius: Half-light radius [arcsec].
        e1: Ellipticity along the axes, lenstronomy's convention.
        e2: Ellipticity along the diagonals.
        structure: What the galaxy has beside the smooth profile; None for nothing.
    """

    magnitude: Prior
    effective_radius: Annotated[Prior, Range(at_least=1e-6, at_most=1e4)]
    sersic_index: Annotated[Prior, Range(at_least=0.3, at_most=8)]
    e1: Prior
    e2: Prior
    structure: Envelope | StructuredDisc | Cutouts | None = field(default=None, metadata=LATER)

    def _faults(self) -> Iterator[str]:
        yield from faults_of_ellipticity("light", (self.e1,), (self.e2,))
        # A normal prior has no ends, but gives no such values either.
        if any(MAX_MAGNITUDE < abs(end) < math.inf for end in self.magnitude.support):
            yield f"light: the magnitude must lie between -{MAX_MAGNITUDE} and {MAX_MAGNITUDE}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Disc(Bounded):
    """A position by its distance from the centre, in any direction alike.

    Attributes:
        radius: Distance from the centre [arcsec].
    """

    kind: Literal["disc"] = "disc"
    radius: Annotated[Prior, Range(at_least=0)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """A position by its two coordinates.

    Attributes:
        x: First coordinate, along the columns [arcsec].
        y: Second coordinate, along the rows [arcsec].
    """

    kind: Literal["box"] = "box"
    x: Prior
    y: Prior


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """The galaxy behind the lens.

    Attributes:
        light: Its light before lensing.
        position: Where it lies, as seen without the lens.
    """

    light: GalaxyLight
    position: Disc | Box


@dataclass(frozen=True, kw_only=True, slots=True)
class Neighbours(Bounded):
    """Galaxies beside the lens that have nothing to do with what is behind it.

    Attributes:
        most: Largest number of them in an image.
        chance: Chance that each of these is there.
        galaxy: Their light, and where they lie.
    """

    most: Annotated[int, Range(at_least=1, at_most=MAX_NEIGHBOURS)]
    chance: Annotated[float, Range(above=0, at_most=1)]
    galaxy: Source
