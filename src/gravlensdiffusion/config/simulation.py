"""What a set of simulated lenses is drawn from, and its symmetries; `config.instrument` says how it is observed."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Literal

from gravlensdiffusion.config.bounds import (
    LATER,
    Bounded,
    NonNegative,
    Number,
    Positive,
    Range,
    check_class_names,
)
from gravlensdiffusion.config.galaxies import (
    Box,
    Cutouts,
    Disc,
    Envelope,
    GalaxyLight,
    Neighbours,
    Source,
    faults_of_ellipticity,
)
from gravlensdiffusion.config.instrument import Imaging, PointSpread, Telescope
from gravlensdiffusion.config.priors import Prior


@dataclass(frozen=True, kw_only=True, slots=True)
class Cosmology(Bounded):
    """Flat LambdaCDM and the two redshifts.

    Attributes:
        hubble: Hubble constant today [km / s / Mpc].
        omega_matter: Matter density today, in units of the critical density.
    """

    hubble: Annotated[float, Range(at_least=1, at_most=1000)] = 70.0
    omega_matter: Annotated[float, Range(above=0, at_most=1)] = 0.3
    redshift_lens: float = 0.5
    redshift_source: Annotated[float, Range(at_most=1100)] = 1.0

    def _faults(self) -> Iterator[str]:
        if not 0 < self.redshift_lens < self.redshift_source:
            yield "the lens must lie between us and the source: 0 < z_lens < z_source"


@dataclass(frozen=True, kw_only=True, slots=True)
class Lens(Bounded):
    """Singular isothermal ellipsoid and external shear.

    Attributes:
        einstein_radius: Einstein radius theta_E, lenstronomy's convention [arcsec].
        e1: Ellipticity along the axes.
        e2: Ellipticity along the diagonals.
        position: Where the centre lies.
        gamma1: Shear along the axes.
        gamma2: Shear along the diagonals.
        light: Light of the lens galaxy, centred on its mass; None for a dark lens.
        light_follows_mass: True where the ellipticity of the light is that of the mass plus what
            the priors of the light give.
    """

    einstein_radius: Annotated[Prior, Range(above=0, at_most=1e4)]
    e1: Prior
    e2: Prior
    position: Disc | Box
    gamma1: Prior
    gamma2: Prior
    light: GalaxyLight | None = None
    light_follows_mass: bool = False

    def _faults(self) -> Iterator[str]:
        yield from faults_of_ellipticity("lens", (self.e1,), (self.e2,))
        if self.light is not None and self.light_follows_mass:
            yield from faults_of_ellipticity(
                "lens light", (self.e1, self.light.e1), (self.e2, self.light.e2)
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Subhaloes(Bounded):
    """Cold dark matter: point masses with a power-law mass function.

    Attributes:
        mean_count: Mean of the Poisson number of subhaloes.
        slope: Slope s of dN/dm, which goes as m**s.
        mass_min: Smallest mass [M_sun].
        mass_max: Largest mass [M_sun].
        radius_min: Smallest distance from the centre of the field [arcsec].
        radius_max: Largest distance; distances are even between the two [arcsec].
    """

    kind: Literal["subhaloes"] = "subhaloes"
    mean_count: Annotated[float, Range(above=0, at_most=1e6)] = 25.0
    slope: Annotated[float, Range(at_least=-10, at_most=10)] = -0.9
    mass_min: Annotated[float, Range(at_least=1e-6)] = 1e6
    mass_max: Annotated[float, Range(at_most=1e15)] = 1e10
    radius_min: NonNegative = 0.25
    radius_max: Number = 2.0

    def _faults(self) -> Iterator[str]:
        if not (self.mass_min < self.mass_max and self.radius_min < self.radius_max):
            yield "subhaloes need mass_min < mass_max and radius_min < radius_max"


@dataclass(frozen=True, kw_only=True, slots=True)
class Vortex(Bounded):
    """Axion dark matter: a vortex, mass spread evenly along a straight segment.

    The segment is one de Broglie wavelength h / (m v) long, is centred on the field and lies in
    any direction alike.

    Attributes:
        axion_mass: Mass m of the axion [eV].
        velocity: Velocity v of the halo's particles [km / s].
        mass: Mass of the segment [M_sun]; exactly one of mass and mass_fraction is given.
        mass_fraction: Mass of the part of the segment that lies within the Einstein radius of
            its middle, in units of the smooth lens's mass within its Einstein radius.
    """

    kind: Literal["vortex"] = "vortex"
    axion_mass: Annotated[Prior, Range(above=0)]
    velocity: Positive = 200.0
    mass: Annotated[Prior | None, Range(at_least=0)] = None
    mass_fraction: Annotated[Prior | None, Range(at_least=0)] = None

    def _faults(self) -> Iterator[str]:
        if (self.mass is None) == (self.mass_fraction is None):
            yield "a vortex needs either mass or mass_fraction"


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene(Bounded):
    """One kind of image without a lens: an isolated galaxy, a galaxy with a companion, empty sky.

    Attributes:
        weight: Weight among the scenes of its class; the weights need not sum to one.
        galaxy: Light of the galaxy at the lens's position: ``lens`` for that of the lens galaxies,
            or priors of its own; None for none.
        companion: Light and position of a second galaxy; None for none.
        companion_chance: Share of the images that have the companion.
    """

    name: str
    weight: Positive
    galaxy: Literal["lens"] | GalaxyLight | None = None
    companion: Source | None = None
    companion_chance: Annotated[float, Range(above=0, at_most=1)] = 1.0

    def _faults(self) -> Iterator[str]:
        if not self.name or "," in self.name or self.name != self.name.strip():
            yield f"'{self.name}' cannot be the name of a scene"


@dataclass(frozen=True, kw_only=True, slots=True)
class LensClass(Bounded):
    """One class of images.

    Attributes:
        substructure: What is added to the smooth lens; None for nothing.
        lensed: False for images without lensing.
        scenes: What such images show; empty for lens galaxy and source, each where it is.
    """

    name: str
    substructure: Subhaloes | Vortex | None = None
    lensed: bool = True
    scenes: tuple[Scene, ...] = ()

    def _faults(self) -> Iterator[str]:
        check_class_names((self.name,))
        names = [each.name for each in self.scenes]
        if len(set(names)) < len(names):
            yield f"class '{self.name}' names a scene twice: {', '.join(names)}"
        if self.substructure is not None and not self.lensed:
            yield f"class '{self.name}' has substructure but does not lens"
        if self.scenes and self.lensed:
            yield f"class '{self.name}' has scenes without a lens, but lenses"


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulationConfig(Bounded):
    """Everything that a simulated set is made from, but its seed and number.

    Attributes:
        preset: Name of the preset that this configuration started from, or None.
        neighbours: Populations of galaxies beside the lens, in images with and without one.
        classes: The classes, in the order of the labels.
        mix: Weight of each class; the weights need not sum to one.
    """

    preset: str | None = None
    cosmology: Cosmology = Cosmology()
    lens: Lens
    source: Source
    neighbours: tuple[Neighbours, ...] = field(default=(), metadata=LATER)
    classes: tuple[LensClass, ...]
    mix: tuple[NonNegative, ...]
    imaging: Imaging

    def _faults(self) -> Iterator[str]:
        names = [each.name for each in self.classes]
        if not names:
            yield "at least one class is needed"
        check_class_names(names)
        if len(self.mix) != len(names):
            yield f"mix has {len(self.mix)} weights for the {len(names)} classes {', '.join(names)}"
        if not 0 < sum(self.mix) < math.inf:
            yield f"mix needs weights that are not all zero, got {self.mix}"
        needs_light = any(scene.galaxy == "lens" for scene in self.scenes)
        if needs_light and self.lens.light is None:
            yield "a scene shows the light of a lens galaxy, but the lens is dark"
        if any(isinstance(each.structure, Cutouts) for each in self.lights[1:]):
            yield "cutouts take the place of sources, and of no other galaxies"

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """The scenes of all classes."""
        return tuple(scene for each in self.classes for scene in each.scenes)

    @property
    def galaxies(self) -> tuple[Source, ...]:
        """All that have a place of their own, the source first."""
        companions = (s.companion for s in self.scenes if s.companion is not None)
        return (self.source, *companions, *(each.galaxy for each in self.neighbours))

    @property
    def lights(self) -> tuple[GalaxyLight, ...]:
        """The light of all galaxies, the source's first."""
        front = (self.lens.light, *(scene.galaxy for scene in self.scenes))
        return (
            *(each.light for each in self.galaxies),
            *(each for each in front if isinstance(each, GalaxyLight)),
        )


def symmetries(config: SimulationConfig) -> tuple[str, ...]:
    """Return those of ``half_turn``, ``flips`` and ``d4`` that leave a population exactly as it is.

    Parameters are drawn independently of each other, and subhaloes and vortices lie in any
    direction alike, so each prior of what has a direction can be looked at alone. Half a turn
    changes the sign of positions; mirror images also that of what lies along the diagonals
    (``gamma2``, ``e2``, the twist of an envelope); quarter turns, with them, also that of what lies
    along the axes (``gamma1``, ``e1``).
    """
    lens, lights = config.lens, config.lights
    places = [lens.position, *(each.position for each in config.galaxies)]
    camera = config.imaging.instrument
    shapes: list[GalaxyLight | PointSpread] = [*lights]
    if not isinstance(camera, Telescope) and camera.psf is not None:
        shapes.append(camera.psf)
    half_turn = all(
        isinstance(place, Disc) or (_is_even(place.x) and _is_even(place.y)) for place in places
    )
    diagonal = all(map(_is_even, (lens.gamma2, lens.e2, *(shape.e2 for shape in shapes))))
    diagonal &= all(
        _is_even(light.structure.twist) for light in lights if isinstance(light.structure, Envelope)
    )
    axial = all(map(_is_even, (lens.gamma1, lens.e1, *(shape.e1 for shape in shapes))))
    square = all(isinstance(place, Disc) or place.x == place.y for place in places)
    flips = half_turn and diagonal
    found = {"half_turn": half_turn, "flips": flips, "d4": flips and axial and square}
    return tuple(kind for kind, holds in found.items() if holds)


def _is_even(prior: Prior) -> bool:
    """Return whether a value and its negative are equally likely."""
    low, high = prior.support
    return low == -high and bool(getattr(prior, "mean", 0) == 0)
