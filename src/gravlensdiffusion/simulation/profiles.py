"""What an image is made of, as profiles of lenstronomy: each component is told here, once.

The renderer and `lenstronomy_kwargs` read it, so that what is added here is in the images and in their tables.
Dark matter is told where it is drawn, by `Substructure`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lenstronomy.LensModel.Profiles.shear import Shear
from lenstronomy.LensModel.Profiles.sie import SIE
from lenstronomy.LightModel.Profiles.sersic import SersicElliptic

from gravlensdiffusion.simulation.population import COMPANION, LENS_LIGHT, SOURCE

MASS = {"SIE": SIE(), "SHEAR": Shear()}
LIGHT = {"SERSIC_ELLIPSE": SersicElliptic()}
"""The profiles of smooth lens and galaxies by lenstronomy's names."""

Values = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Profile:
    """One component.

    Attributes:
        name: What lenstronomy calls the profile in its lists of models.
        arguments: Its arguments, by lenstronomy's names.
    """

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Components:
    """The smooth lens and the galaxies of an image.

    Attributes:
        mass: What deflects, without substructure; empty in an image without lensing.
        source: The light that is deflected.
        front: The light that is not: that of the lens galaxy, and of what lies beside it.
    """

    mass: tuple[Profile, ...]
    source: tuple[Profile, ...]
    front: tuple[Profile, ...]


def components(values: Values, counts: Callable[[float], float]) -> Components:
    """Return what an image is made of.

    Args:
        values: The parameters of lens and galaxies; a galaxy without a magnitude, or one of NaN, is
            not there, and no lens without an Einstein radius.
        counts: From magnitudes [mag] to electrons per second.
    """
    return Components(
        mass=_smooth_lens(values),
        source=_galaxy(SOURCE, "source", values, counts),
        # The lens galaxy lies where its mass does.
        front=_galaxy(LENS_LIGHT, "lens", values, counts)
        + _galaxy(COMPANION, "companion", values, counts),
    )


def _smooth_lens(values: Values) -> tuple[Profile, ...]:
    if _is_absent(values, "theta_E"):
        return ()
    ellipsoid = {
        "theta_E": values["theta_E"],
        "e1": values["lens_e1"],
        "e2": values["lens_e2"],
        "center_x": values["lens_x"],
        "center_y": values["lens_y"],
    }
    shear = {"gamma1": values["gamma1"], "gamma2": values["gamma2"]}
    return Profile("SIE", ellipsoid), Profile("SHEAR", shear)


def _galaxy(
    prefix: str, place: str, values: Values, counts: Callable[[float], float]
) -> tuple[Profile, ...]:
    """Return the light of a galaxy whose parameters begin with a prefix, and its position's with another."""
    if _is_absent(values, f"{prefix}_magnitude"):
        return ()
    name = "SERSIC_ELLIPSE"
    shape = {key: values[f"{prefix}_{key}"] for key in ("R_sersic", "n_sersic", "e1", "e2")}
    flux = counts(values[f"{prefix}_magnitude"])
    amplitude = flux / LIGHT[name].total_flux(amp=1.0, **shape)
    centre = {"center_x": values[f"{place}_x"], "center_y": values[f"{place}_y"]}
    return (Profile(name, {"amp": float(amplitude)} | shape | centre),)


def _is_absent(values: Values, name: str) -> bool:
    return math.isnan(values.get(name, math.nan))
