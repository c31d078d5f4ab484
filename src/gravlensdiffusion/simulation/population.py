"""Priors to parameters: the smooth lens, the source and what else one image shows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from gravlensdiffusion.config.galaxies import (
    Box,
    Cutouts,
    Disc,
    Envelope,
    GalaxyLight,
    Neighbours,
    Source,
    StructuredDisc,
)
from gravlensdiffusion.config.priors import (
    Constant,
    LogUniform,
    Normal,
    Prior,
    TruncatedNormal,
    Uniform,
)
from gravlensdiffusion.config.simulation import Lens, Scene, SimulationConfig

LENS_FIELDS = {
    "theta_E": "einstein_radius",
    "lens_e1": "e1",
    "lens_e2": "e2",
    "gamma1": "gamma1",
    "gamma2": "gamma2",
}
LIGHT_FIELDS = {
    "magnitude": "magnitude",
    "R_sersic": "effective_radius",
    "n_sersic": "sersic_index",
    "e1": "e1",
    "e2": "e2",
}
"""Fields of `Lens` and of `GalaxyLight` by what their parameters are called, a galaxy's by their end."""
LENSING = tuple(LENS_FIELDS)
"""The parameters that an image without lensing lacks."""

LENS_LIGHT, SOURCE, COMPANION, NEIGHBOUR = "lens_light", "source", "companion", "neighbour"
"""How the parameters of each galaxy's light begin."""

UNITS = dict.fromkeys(("theta_E", "lens_x", "lens_y"), "arcsec")
UNITS |= dict.fromkeys(("lens_e1", "lens_e2", "gamma1", "gamma2"), "")
LIGHT_UNITS = {
    "magnitude": "mag",
    "R_sersic": "arcsec",
    "n_sersic": "",
    "e1": "",
    "e2": "",
    "x": "arcsec",
    "y": "arcsec",
}
"""Units of the parameters of the smooth lens and, by the end of their names, of a galaxy's light; an empty
string for a pure number."""

ENVELOPE_FIELDS = {
    "envelope_fraction": "fraction",
    "envelope_radius": "relative_radius",
    "envelope_n_sersic": "sersic_index",
    "envelope_ellipticity": "relative_ellipticity",
    "envelope_twist": "twist",
}
DISC_FIELDS = {
    "bulge_fraction": "bulge_fraction",
    "bulge_radius": "bulge_radius",
    "bulge_n_sersic": "bulge_index",
    "bar_fraction": "bar_fraction",
    "ring_fraction": "ring_fraction",
    "clump_fraction": "clump_fraction",
    "arm_contrast": "arm_contrast",
    "lopsidedness": "lopsidedness",
}
"""The fields that the parameters of a galaxy's structure are drawn from, by the end of their names."""

MAX_TEXTURE = 2**31
"""Seeds of what is at random in a disc, or in how an image is turned, lie below it."""


def draw(prior: Prior, rng: np.random.Generator) -> float:
    """Draw one value; every prior but a constant uses up exactly one draw of the generator."""
    match prior:
        case Constant():
            return prior.value
        case Uniform():
            return rng.uniform(prior.low, prior.high)
        case LogUniform():
            return math.exp(rng.uniform(math.log(prior.low), math.log(prior.high)))
        case Normal():
            return rng.normal(prior.mean, prior.std)
        case TruncatedNormal():
            low = ndtr((prior.low - prior.mean) / prior.std)
            high = ndtr((prior.high - prior.mean) / prior.std)
            value = prior.mean + prior.std * float(ndtri(rng.uniform(low, high)))
            return min(max(value, prior.low), prior.high)


def draw_lens(lens: Lens, rng: np.random.Generator) -> dict[str, float]:
    """Draw the smooth lens; the names and units are those of `parameter_units`."""
    x, y = _draw_position(lens.position, rng)
    drawn = {name: draw(prior, rng) for name, prior in _priors(lens, LENS_FIELDS).items()}
    values = {"theta_E": drawn.pop("theta_E"), "lens_x": x, "lens_y": y} | drawn
    if lens.light is not None:
        values |= _draw_light(LENS_LIGHT, lens.light, rng)
        if lens.light_follows_mass:
            values["lens_light_e1"] += values["lens_e1"]
            values["lens_light_e2"] += values["lens_e2"]
    return values


def draw_source(source: Source, rng: np.random.Generator, prefix: str = SOURCE) -> dict[str, float]:
    """Draw the source, or another galaxy that has a place of its own; ``prefix`` begins its names."""
    x, y = _draw_position(source.position, rng)
    return {f"{prefix}_x": x, f"{prefix}_y": y} | _draw_light(prefix, source.light, rng)


def draw_neighbours(
    populations: Sequence[Neighbours], rng: np.random.Generator
) -> dict[str, float]:
    """Draw the galaxies beside a lens; the names of those that are not there are left out."""
    values: dict[str, float] = {}
    for prefix, each in _neighbours(populations):
        is_there = rng.uniform() < each.chance
        # Drawn in any case, so that no galaxy depends on whether another one is there.
        galaxy = draw_source(each.galaxy, rng, prefix)
        values |= galaxy if is_there else {}
    return values


def _neighbours(populations: Sequence[Neighbours]) -> list[tuple[str, Neighbours]]:
    """Return each neighbour that an image can have, after the beginning of its parameters' names."""
    slots = [each for each in populations for _ in range(each.most)]
    return [(f"{NEIGHBOUR}{k}", each) for k, each in enumerate(slots)]


def parameter_units(config: SimulationConfig) -> dict[str, str]:
    """Return the unit of every parameter of lens, source and scene that images of a set have."""
    units = dict(UNITS) | _light_units(SOURCE, (config.source.light,))
    shown = [each.galaxy for each in config.scenes if isinstance(each.galaxy, GalaxyLight)]
    galaxies = [*shown, *([config.lens.light] if config.lens.light is not None else [])]
    if galaxies:
        units |= {
            name: unit
            for name, unit in _light_units(LENS_LIGHT, galaxies).items()
            if not name.endswith(("_x", "_y"))
        }
    if config.scenes:
        beside = [each.companion.light for each in config.scenes if each.companion is not None]
        units |= {"scene": ""} | _light_units(COMPANION, beside)
    for prefix, each in _neighbours(config.neighbours):
        units |= _light_units(prefix, (each.galaxy.light,))
    return units


def _light_units(prefix: str, lights: Sequence[GalaxyLight] = ()) -> dict[str, str]:
    """Return the units of a galaxy's light, which may be any of these, by its parameters' names."""
    units = dict(LIGHT_UNITS)
    for light in lights:
        units |= {name: "rad" if name.endswith("twist") else "" for name in _structure(light)}
    return {f"{prefix}_{name}": unit for name, unit in units.items()}


def _structure(light: GalaxyLight) -> dict[str, str]:
    """Return the fields of a galaxy's structure by the ends of its parameters' names."""
    match light.structure:
        case None:
            return {}
        case Envelope():
            return ENVELOPE_FIELDS
        case StructuredDisc():
            return DISC_FIELDS | {"clump_count": "clump_count", "texture": ""}
        case Cutouts():
            return {"galaxy": "names", "texture": ""}


def _draw_position(position: Disc | Box, rng: np.random.Generator) -> tuple[float, float]:
    if isinstance(position, Box):
        return draw(position.x, rng), draw(position.y, rng)
    radius, angle = draw(position.radius, rng), rng.uniform(0, 2 * math.pi)
    return radius * math.cos(angle), radius * math.sin(angle)


def _draw_light(prefix: str, light: GalaxyLight, rng: np.random.Generator) -> dict[str, float]:
    """Draw the light of a galaxy; the names of the values begin with ``prefix``."""
    values = {
        name: draw(prior, rng) for name, prior in _priors(light, LIGHT_FIELDS, f"{prefix}_").items()
    }
    structure = light.structure
    if isinstance(structure, Cutouts):
        number = int(rng.integers(len(structure.names)))
        radius = min(values[f"{prefix}_R_sersic"], structure.largest_radius[number])
        values |= {f"{prefix}_R_sersic": radius, f"{prefix}_galaxy": float(number)}
        unknown = (f"{prefix}_{name}" for name in ("n_sersic", "e1", "e2"))
        values |= dict.fromkeys(unknown, math.nan)
        return values | {f"{prefix}_texture": float(rng.integers(MAX_TEXTURE))}
    fields = DISC_FIELDS if isinstance(structure, StructuredDisc) else ENVELOPE_FIELDS
    if structure is not None:
        values |= {f"{prefix}_{n}": draw(getattr(structure, f), rng) for n, f in fields.items()}
    if isinstance(structure, StructuredDisc):
        values[f"{prefix}_clump_count"] = float(rng.poisson(structure.clump_count))
        values[f"{prefix}_texture"] = float(rng.integers(MAX_TEXTURE))
    return values


def draw_scene(
    scenes: Sequence[Scene], lens: Mapping[str, float], rng: np.random.Generator
) -> dict[str, float]:
    """Draw one of the scenes and its galaxies.

    Of the lens that the image would have, the position is taken over and, where the scene shows a
    lens galaxy, its light.
    """
    shares = np.cumsum([scene.weight for scene in scenes])
    number = int(np.searchsorted(shares[:-1] / shares[-1], rng.uniform(), side="right"))
    scene = scenes[number]
    values = {"scene": float(number)}
    if scene.galaxy is not None:
        values |= {name: lens[name] for name in ("lens_x", "lens_y")}
    if scene.galaxy == "lens":
        values |= {name: value for name, value in lens.items() if name.startswith(LENS_LIGHT)}
    elif scene.galaxy is not None:
        values |= _draw_light(LENS_LIGHT, scene.galaxy, rng)
    if scene.companion is not None and rng.uniform() < scene.companion_chance:
        values |= draw_source(scene.companion, rng, COMPANION)
    return values


def prior_bounds(config: SimulationConfig) -> dict[str, tuple[float, float]]:
    """Return the smallest and the largest value that lens and source can be drawn with [their units].

    Ends are infinite where a prior is. The light of the lens, which may follow its mass, is not among
    them.
    """
    light = config.source.light
    priors = _priors(config.lens, LENS_FIELDS) | _priors(light, LIGHT_FIELDS, f"{SOURCE}_")
    bounds = {name: prior.support for name, prior in priors.items()}
    place = config.source.position
    for axis in ("x", "y"):
        if isinstance(place, Disc):
            radius = place.radius.support[1]
            bounds[f"{SOURCE}_{axis}"] = -radius, radius
        else:
            bounds[f"{SOURCE}_{axis}"] = getattr(place, axis).support
    return bounds


def pinned(config: SimulationConfig, values: Mapping[str, float]) -> SimulationConfig:
    """Return a simulation whose lens and source have these values [their units] in every image.

    Of lens and source, what is not given, or is NaN, takes the middle of its prior. Light of the
    lens, substructure and noise are drawn as before.
    """
    known = {name: value for name, value in values.items() if math.isfinite(value)}

    def pin(prior: Prior, name: str) -> Constant:
        return Constant(value=known.get(name, _middle(prior)))

    def pins(owner: Lens | GalaxyLight, fields: Mapping[str, str], prefix: str = "") -> Any:
        return {field: pin(getattr(owner, field), prefix + name) for name, field in fields.items()}

    def place(position: Disc | Box, prefix: str) -> Box:
        middle = Constant(value=0.0)
        x, y = (middle, middle) if isinstance(position, Disc) else (position.x, position.y)
        return Box(x=pin(x, f"{prefix}_x"), y=pin(y, f"{prefix}_y"))

    lens, source = config.lens, config.source
    return replace(
        config,
        lens=replace(lens, position=place(lens.position, "lens"), **pins(lens, LENS_FIELDS)),
        source=Source(
            light=replace(source.light, **pins(source.light, LIGHT_FIELDS, f"{SOURCE}_")),
            position=place(source.position, SOURCE),
        ),
    )


def _middle(prior: Prior) -> float:
    """Return the median of a prior, or the middle of the range that cuts a normal one."""
    low, high = prior.support
    if isinstance(prior, LogUniform):
        return math.sqrt(low * high)
    mean = prior.mean if isinstance(prior, Normal | TruncatedNormal) else (low + high) / 2
    return min(max(mean, low), high)


def _priors(
    owner: Lens | GalaxyLight, fields: Mapping[str, str], prefix: str = ""
) -> dict[str, Prior]:
    """Return the priors of a lens, or of a galaxy's light, by the names of their parameters."""
    return {prefix + name: getattr(owner, field) for name, field in fields.items()}
