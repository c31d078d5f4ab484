"""The light of galaxies as lenstronomy's profiles, most of them in 32 bits, some times faster, and discs with structure.

A survey's image takes a dozen of them. The quick profiles agree with lenstronomy's to about a millionth of
the brightest point.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from lenstronomy.LensModel.Profiles.sersic_utils import SersicUtil
from lenstronomy.LightModel.Profiles.sersic import SersicElliptic
from numpy.typing import NDArray

from gravlensdiffusion.config.galaxies import MAX_ELLIPTICITY

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Values = Mapping[str, float]

SMALLEST_RADIUS = 1e-4
"""Radius within which a Sersic profile is flat [arcsec]."""
STEP = 0.056
"""Side of a cell of a disc's image, in units of the half-light radius."""
HALF_WIDTH = 4.5
"""Half the width of the square that holds a disc seen face-on, in the same units."""
CLUMP_SIZES = 0.07, 0.3
"""Smallest and largest standard deviation of a clump, in the same units."""
SERSIC = SersicElliptic()
BULGE_ELLIPTICITY = 0.5
"""Ellipticity of a disc's bulge in units of the disc's."""
SHAPE = ("R_sersic", "n_sersic", "e1", "e2")


@dataclass(frozen=True, slots=True)
class Profile:
    """One component.

    Attributes:
        name: What lenstronomy calls the profile in its lists of models.
        arguments: Its arguments, by lenstronomy's names.
        quick: Whether it is rendered in 32 bits, by what is here.
    """

    name: str
    arguments: Mapping[str, Any]
    quick: bool = False


def _sersic_ellipse(
    x: Floats,
    y: Floats,
    amp: float,
    R_sersic: float,
    n_sersic: float,
    e1: float,
    e2: float,
    center_x: float,
    center_y: float,
) -> Floats32:
    """Return the brightness of an elliptical Sersic profile; the arguments are lenstronomy's."""
    modulus, angle = math.hypot(e1, e2), 0.5 * math.atan2(e2, e1)
    ratio = math.sqrt((1 - modulus) / (1 + modulus))
    u, v = _turned(x, y, center_x, center_y, angle)
    u *= np.float32(ratio / R_sersic)
    v *= np.float32(1 / (ratio * R_sersic))
    u *= u
    v *= v
    u += v
    np.maximum(u, np.float32((SMALLEST_RADIUS / R_sersic) ** 2), out=u)
    b_n = float(SersicUtil.b_n(n_sersic))
    np.power(u, np.float32(0.5 / n_sersic), out=u)
    u -= np.float32(1)
    u *= np.float32(-b_n)
    np.exp(u, out=u)
    u *= np.float32(amp)
    return u


def _interpolated(
    x: Floats,
    y: Floats,
    image: Floats32,
    amp: float,
    center_x: float,
    center_y: float,
    phi_G: float,
    scale: float,
) -> Floats32:
    """Return the brightness of an image, bilinear between its pixels; arguments are lenstronomy's."""
    height, width = image.shape
    u, v = _turned(x, y, center_x, center_y, phi_G)
    u *= np.float32(1 / scale)
    v *= np.float32(1 / scale)
    u += np.float32((width - 1) / 2)
    v += np.float32((height - 1) / 2)
    inside = np.flatnonzero((u >= 0) & (u < width - 1) & (v >= 0) & (v < height - 1))
    result = np.zeros(u.shape, np.float32)
    if inside.size:
        result[inside] = np.float32(amp) * _between(image, u[inside], v[inside])
    return result


def _between(image: Floats32, column: Floats32, row: Floats32) -> Floats32:
    left, below = column.astype(np.int32), row.astype(np.int32)
    column, row = column - left, row - below
    width, flat = image.shape[1], image.ravel()
    first = below * np.int32(width) + left
    low, high = flat.take(first), flat.take(first + width)
    low += (flat.take(first + 1) - low) * column
    high += (flat.take(first + width + 1) - high) * column
    return np.asarray(low + (high - low) * row, np.float32)


def _turned(
    x: Floats, y: Floats, center_x: float, center_y: float, angle: float
) -> tuple[Floats32, Floats32]:
    """Return the coordinates from a centre, the first along an angle [rad]."""
    dx, dy = (x - center_x).astype(np.float32), (y - center_y).astype(np.float32)
    cosine, sine = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    return cosine * dx + sine * dy, cosine * dy - sine * dx


def _disc_image(own: Values, ratio: float) -> Floats32:
    """Return the brightness of a disc with arms, a bar, a ring and clumps, whose half-light radius is 1.

    Args:
        own: Its parameters; all that has no parameter of its own is drawn from ``texture``.
        ratio: Axis ratio at which it is seen; the half-light radius is the mean of both axes.

    Returns:
        Shape ``(H, W)``, of cells of side `STEP`, the long axis along the columns; the integral is 1
        less the share of the bulge.
    """
    rng = np.random.default_rng(int(own["texture"]))
    arms = int(rng.choice((2, 2, 2, 3, 4)))
    winding = rng.choice((-1, 1)) / math.tan(math.radians(rng.uniform(12, 30)))
    start, side, turn = rng.uniform(0, 2 * math.pi, 3)
    bar_length, bar_ratio = rng.uniform(0.4, 1.0), rng.uniform(0.2, 0.4)
    ring_radius, ring_width = rng.uniform(0.8, 1.6), rng.uniform(0.1, 0.2)
    # In the plane of the disc, u and v are of one length.
    flattening = math.sqrt(ratio)
    columns, rows = _axis(1 / flattening), _axis(flattening)
    u, v = np.meshgrid(columns * np.float32(flattening), rows / np.float32(flattening))
    radius, angle = np.hypot(u, v), np.arctan2(v, u)

    disc = np.exp(-np.float32(SersicUtil.b_n(own["n_sersic"])) * radius ** (1 / own["n_sersic"]))
    if own["arm_contrast"] > 0:
        phase = arms * (angle - np.float32(winding) * np.log(radius)) + np.float32(start)
        disc *= 1 + np.float32(own["arm_contrast"]) * np.cos(phase) * _outside(radius, 0.4)
    if own["lopsidedness"] > 0:
        tilt = np.float32(own["lopsidedness"]) * np.cos(angle - np.float32(side))
        disc *= 1 + tilt * _outside(radius, 0.5)
    parts = {}
    if own["bar_fraction"] > 0:
        along = (u * math.cos(turn) + v * math.sin(turn)) / bar_length
        across = (v * math.cos(turn) - u * math.sin(turn)) / (bar_length * bar_ratio)
        parts["bar"] = np.exp(-((along**2 + across**2) ** 1.5))
    if own["ring_fraction"] > 0:
        parts["ring"] = np.exp(-0.5 * ((radius - ring_radius) / ring_width) ** 2)
    if own["clump_fraction"] > 0 and own["clump_count"] > 0:
        parts["clump"] = _clumps(int(own["clump_count"]), columns, rows, flattening, rng)
    rest = 1 - own["bulge_fraction"] - sum(own[f"{name}_fraction"] for name in parts)
    total = np.float32(rest / (disc.sum() * STEP**2)) * disc
    for name, part in parts.items():
        total += np.float32(own[f"{name}_fraction"] / (part.sum() * STEP**2)) * part
    return np.asarray(total, np.float32)


def _axis(stretch: float) -> Floats32:
    count = 2 * math.ceil(HALF_WIDTH * stretch / STEP)
    return ((np.arange(count) - (count - 1) / 2) * STEP).astype(np.float32)


def _clumps(
    count: int, columns: Floats32, rows: Floats32, flattening: float, rng: np.random.Generator
) -> Floats32:
    """Return clumps of unequal light, most of them where the disc is bright."""
    distance = np.minimum(rng.gamma(2.0, 0.6, count), HALF_WIDTH - 1)
    angle = rng.uniform(0, 2 * math.pi, count)
    x = distance * np.cos(angle) / flattening
    y = distance * np.sin(angle) * flattening
    width = np.clip(rng.lognormal(math.log(0.12), 0.4, count), *CLUMP_SIZES)
    height = np.maximum(width * flattening, CLUMP_SIZES[0])
    light = rng.lognormal(0.0, 0.8, count) / (width * height)
    along = np.exp(-0.5 * ((columns - x[:, None]) / width[:, None]) ** 2)
    across = np.exp(-0.5 * ((rows - y[:, None]) / height[:, None]) ** 2)
    return np.asarray((light[:, None] * across).T @ along, np.float32)


def _outside(radius: Floats32, core: float) -> Floats32:
    """Return a weight that grows from 0 in the middle to 1 far from it."""
    square = radius * radius
    return np.asarray(square / (square + np.float32(core**2)))


def galaxy_profiles(
    own: Values, flux: float, centre: Values, *, quick: bool
) -> tuple[Profile, ...]:
    """Return the profiles of a galaxy.

    Args:
        own: Its parameters, by the ends of their names.
        flux: All its light [e- / s].
        centre: Where it lies, ``center_x`` and ``center_y`` [arcsec].
        quick: Whether a single Sersic profile is rendered in 32 bits; of several, each is.
    """
    if not is_absent(own, "texture"):
        return _structured_disc(own, flux, centre)
    shape = {key: own[key] for key in SHAPE}
    if is_absent(own, "envelope_fraction"):
        return (_sersic(flux, shape, centre, quick=quick),)
    envelope = _part(own, "envelope", own["envelope_ellipticity"], own["envelope_twist"])
    share = own["envelope_fraction"]
    return (
        _sersic(flux * (1 - share), shape, centre, quick=True),
        _sersic(flux * share, envelope, centre, quick=True),
    )


def _structured_disc(own: Values, flux: float, centre: Values) -> tuple[Profile, ...]:
    modulus = math.hypot(own["e1"], own["e2"])
    scale = STEP * own["R_sersic"]
    image = {
        "image": _disc_image(own, (1 - modulus) / (1 + modulus)),
        "amp": flux / own["R_sersic"] ** 2,
        "phi_G": 0.5 * math.atan2(own["e2"], own["e1"]),
        "scale": scale,
    }
    disc = Profile("INTERPOL", image | dict(centre), quick=True)
    if own["bulge_fraction"] == 0:
        return (disc,)
    bulge = _part(own, "bulge", BULGE_ELLIPTICITY, 0.0)
    return disc, _sersic(flux * own["bulge_fraction"], bulge, centre, quick=True)


def _sersic(flux: float, shape: Values, centre: Values, *, quick: bool) -> Profile:
    amplitude = flux / SERSIC.total_flux(amp=1.0, **shape)
    return Profile("SERSIC_ELLIPSE", {"amp": float(amplitude), **shape, **centre}, quick)


def _part(own: Values, name: str, ellipticity: float, twist: float) -> dict[str, float]:
    """Return the shape of a part of a galaxy, with an ellipticity in units of the galaxy's, turned by an angle [rad]."""
    modulus = min(math.hypot(own["e1"], own["e2"]) * ellipticity, MAX_ELLIPTICITY)
    direction = math.atan2(own["e2"], own["e1"]) + 2 * twist
    return {
        "R_sersic": own["R_sersic"] * own[f"{name}_radius"],
        "n_sersic": own[f"{name}_n_sersic"],
        "e1": modulus * math.cos(direction),
        "e2": modulus * math.sin(direction),
    }


def is_absent(values: Values, name: str) -> bool:
    """Return whether a parameter is missing or NaN."""
    return math.isnan(values.get(name, math.nan))


LIGHT: dict[tuple[str, bool], Callable[..., NDArray[np.floating]]] = {
    ("SERSIC_ELLIPSE", False): SERSIC.function,
    ("SERSIC_ELLIPSE", True): _sersic_ellipse,
    ("INTERPOL", True): _interpolated,
}
"""The brightness of the profiles of galaxies by lenstronomy's names, and whether it is the quick one."""
