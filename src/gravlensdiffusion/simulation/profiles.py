"""What an image is made of, as profiles of lenstronomy: each component is told here, once.

The renderer and `lenstronomy_kwargs` read it, so that what is added here is in the images and in their tables.
Dark matter is told where it is drawn, by `Substructure`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from lenstronomy.LensModel.Profiles.shear import Shear
from lenstronomy.LensModel.Profiles.sie import SIE
from lenstronomy.LightModel.Profiles.sersic import SersicElliptic
from numpy.typing import NDArray

from gravlensdiffusion.config.galaxies import MAX_ELLIPTICITY
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.simulation.gallery import Gallery
from gravlensdiffusion.simulation.light import STEP, disc_image, interpolated, sersic_ellipse
from gravlensdiffusion.simulation.population import COMPANION, LENS_LIGHT, NEIGHBOUR, SOURCE

MASS = {"SIE": SIE(), "SHEAR": Shear()}
"""The profiles of the smooth lens by lenstronomy's names."""
SERSIC = SersicElliptic()
LIGHT: dict[tuple[str, bool], Callable[..., NDArray[np.floating]]] = {
    ("SERSIC_ELLIPSE", False): SERSIC.function,
    ("SERSIC_ELLIPSE", True): sersic_ellipse,
    ("INTERPOL", True): interpolated,
}
"""The brightness of the profiles of galaxies by lenstronomy's names, and whether it is the quick one."""
BULGE_ELLIPTICITY = 0.5
"""Ellipticity of a disc's bulge in units of the disc's."""

Values = Mapping[str, float]
SHAPE = ("R_sersic", "n_sersic", "e1", "e2")


@dataclass(frozen=True, slots=True)
class Profile:
    """One component.

    Attributes:
        name: What lenstronomy calls the profile in its lists of models.
        arguments: Its arguments, by lenstronomy's names.
        quick: Whether it is rendered in 32 bits, by `simulation.light`.
    """

    name: str
    arguments: Mapping[str, Any]
    quick: bool = False


def components(
    values: Values, counts: Callable[[float], float], gallery: Gallery | None = None
) -> tuple[tuple[Profile, ...], tuple[Profile, ...], tuple[Profile, ...]]:
    """Return what an image is made of: the smooth lens, the source, and what lies in front.

    Args:
        values: The parameters of lens and galaxies; a galaxy without a magnitude, or one of NaN, is
            not there, and no lens without an Einstein radius.
        counts: From magnitudes [mag] to electrons per second.
        gallery: The images of real galaxies that sources are taken from, where they are.

    Returns:
        What deflects, without substructure, none in an image without lensing; the light that is
        deflected; and the light that is not, that of the lens galaxy and of what lies beside it.

    Raises:
        GravLensError: If the source is such an image, and they are not there.
    """
    source = _image(values, counts, gallery) or _galaxy(SOURCE, "source", values, counts)
    # The lens galaxy lies where its mass does.
    front = _galaxy(LENS_LIGHT, "lens", values, counts)
    front += _galaxy(COMPANION, "companion", values, counts)
    for name in values:
        if name.startswith(NEIGHBOUR) and name.endswith("_magnitude"):
            prefix = name.removesuffix("_magnitude")
            front += _galaxy(prefix, prefix, values, counts)
    return _smooth_lens(values), source, front


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
    own = {key.removeprefix(f"{prefix}_"): each for key, each in values.items()}
    flux = counts(own["magnitude"])
    centre = {"center_x": values[f"{place}_x"], "center_y": values[f"{place}_y"]}
    shape = {key: own[key] for key in SHAPE}
    if not _is_absent(own, "texture"):
        return _structured_disc(own, flux, centre)
    if not _is_absent(own, "envelope_fraction"):
        return _with_envelope(own, flux, centre)
    return (_sersic(flux, shape, centre, quick=prefix.startswith(NEIGHBOUR)),)


def _image(
    values: Values, counts: Callable[[float], float], gallery: Gallery | None
) -> tuple[Profile, ...]:
    """Return the source where it is the image of a real galaxy."""
    if _is_absent(values, f"{SOURCE}_galaxy"):
        return ()
    if gallery is None:
        raise GravLensError("its source is the image of a real galaxy, which is not at hand")
    arguments = gallery.profile(
        int(values[f"{SOURCE}_galaxy"]),
        values[f"{SOURCE}_R_sersic"],
        int(values[f"{SOURCE}_texture"]),
    )
    centre = {"center_x": values[f"{SOURCE}_x"], "center_y": values[f"{SOURCE}_y"]}
    flux = counts(values[f"{SOURCE}_magnitude"])
    return (Profile("INTERPOL", arguments | centre | {"amp": flux}, quick=True),)


def _with_envelope(own: Values, flux: float, centre: Values) -> tuple[Profile, ...]:
    e1, e2 = _turned(own, own["envelope_ellipticity"], own["envelope_twist"])
    envelope = {
        "R_sersic": own["R_sersic"] * own["envelope_radius"],
        "n_sersic": own["envelope_n_sersic"],
        "e1": e1,
        "e2": e2,
    }
    share = own["envelope_fraction"]
    shape = {key: own[key] for key in SHAPE}
    return (
        _sersic(flux * (1 - share), shape, centre, quick=True),
        _sersic(flux * share, envelope, centre, quick=True),
    )


def _structured_disc(own: Values, flux: float, centre: Values) -> tuple[Profile, ...]:
    modulus = math.hypot(own["e1"], own["e2"])
    scale = STEP * own["R_sersic"]
    image = {
        "image": disc_image(own, (1 - modulus) / (1 + modulus)),
        "amp": flux / own["R_sersic"] ** 2,
        "phi_G": 0.5 * math.atan2(own["e2"], own["e1"]),
        "scale": scale,
    }
    disc = Profile("INTERPOL", image | dict(centre), quick=True)
    if own["bulge_fraction"] == 0:
        return (disc,)
    e1, e2 = _turned(own, BULGE_ELLIPTICITY, 0.0)
    bulge = {
        "R_sersic": own["R_sersic"] * own["bulge_radius"],
        "n_sersic": own["bulge_n_sersic"],
        "e1": e1,
        "e2": e2,
    }
    return disc, _sersic(flux * own["bulge_fraction"], bulge, centre, quick=True)


def _sersic(flux: float, shape: Values, centre: Values, *, quick: bool) -> Profile:
    amplitude = flux / SERSIC.total_flux(amp=1.0, **shape)
    return Profile("SERSIC_ELLIPSE", {"amp": float(amplitude), **shape, **centre}, quick)


def _turned(own: Values, factor: float, angle: float) -> tuple[float, float]:
    """Return a galaxy's ellipticities times a factor, turned by an angle [rad]."""
    modulus = min(math.hypot(own["e1"], own["e2"]) * factor, MAX_ELLIPTICITY)
    direction = math.atan2(own["e2"], own["e1"]) + 2 * angle
    return modulus * math.cos(direction), modulus * math.sin(direction)


def _is_absent(values: Values, name: str) -> bool:
    return math.isnan(values.get(name, math.nan))
