"""Priors to parameters: the smooth lens and the source of one image."""

import math

import numpy as np
from scipy.special import ndtr, ndtri

from gravlensdiffusion.config.priors import (
    Constant,
    LogUniform,
    Normal,
    Prior,
    TruncatedNormal,
    Uniform,
)
from gravlensdiffusion.config.simulation import (
    Box,
    Disc,
    GalaxyLight,
    Lens,
    SimulationConfig,
    Source,
)

UNITS = {
    "theta_E": "arcsec",
    "lens_x": "arcsec",
    "lens_y": "arcsec",
    "lens_e1": "",
    "lens_e2": "",
    "gamma1": "",
    "gamma2": "",
}
"""Units of the parameters of the smooth lens; an empty string for a pure number."""

LENSING = ("theta_E", "lens_e1", "lens_e2", "gamma1", "gamma2")
"""The parameters that an image without lensing lacks."""

LENS_LIGHT, SOURCE, COMPANION = "lens_light", "source", "companion"
"""How the parameters of each galaxy's light begin."""

LIGHT_UNITS = {
    "magnitude": "mag",
    "R_sersic": "arcsec",
    "n_sersic": "",
    "e1": "",
    "e2": "",
    "x": "arcsec",
    "y": "arcsec",
}
"""Units of the parameters of a galaxy's light, by the end of their names."""


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
    values = {
        "theta_E": draw(lens.einstein_radius, rng),
        "lens_x": x,
        "lens_y": y,
        "lens_e1": draw(lens.e1, rng),
        "lens_e2": draw(lens.e2, rng),
        "gamma1": draw(lens.gamma1, rng),
        "gamma2": draw(lens.gamma2, rng),
    }
    if lens.light is not None:
        values |= draw_light(LENS_LIGHT, lens.light, rng)
        if lens.light_follows_mass:
            values["lens_light_e1"] += values["lens_e1"]
            values["lens_light_e2"] += values["lens_e2"]
    return values


def draw_source(source: Source, rng: np.random.Generator, prefix: str = SOURCE) -> dict[str, float]:
    """Draw the source, or another galaxy that has a place of its own.

    Args:
        source: Its priors.
        rng: Source of all random numbers.
        prefix: How the names of the values begin.
    """
    x, y = _draw_position(source.position, rng)
    return {f"{prefix}_x": x, f"{prefix}_y": y} | draw_light(prefix, source.light, rng)


def parameter_units(config: SimulationConfig) -> dict[str, str]:
    """Return the unit of every parameter of lens, source and scene that images of a set have."""
    units = dict(UNITS) | light_units(SOURCE)
    if config.lens.light is not None or any(scene.galaxy for scene in config.scenes):
        units |= {
            name: unit
            for name, unit in light_units(LENS_LIGHT).items()
            if not name.endswith(("_x", "_y"))
        }
    if config.scenes:
        units |= {"scene": ""} | light_units(COMPANION)
    return units


def light_units(prefix: str) -> dict[str, str]:
    """Return the units of a galaxy's light by the names of its parameters."""
    return {f"{prefix}_{name}": unit for name, unit in LIGHT_UNITS.items()}


def _draw_position(position: Disc | Box, rng: np.random.Generator) -> tuple[float, float]:
    if isinstance(position, Box):
        return draw(position.x, rng), draw(position.y, rng)
    radius, angle = draw(position.radius, rng), rng.uniform(0, 2 * math.pi)
    return radius * math.cos(angle), radius * math.sin(angle)


def draw_light(prefix: str, light: GalaxyLight, rng: np.random.Generator) -> dict[str, float]:
    """Draw the light of a galaxy; the names of the values begin with ``prefix``."""
    return {
        f"{prefix}_magnitude": draw(light.magnitude, rng),
        f"{prefix}_R_sersic": draw(light.effective_radius, rng),
        f"{prefix}_n_sersic": draw(light.sersic_index, rng),
        f"{prefix}_e1": draw(light.e1, rng),
        f"{prefix}_e2": draw(light.e2, rng),
    }
