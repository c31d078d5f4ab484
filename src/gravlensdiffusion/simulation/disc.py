"""A disc galaxy with arms, a bar, a ring and clumps, without its bulge."""

import math
from collections.abc import Mapping

import numpy as np
from lenstronomy.LensModel.Profiles.sersic_utils import SersicUtil
from numpy.typing import NDArray

Floats = NDArray[np.float32]

STEP = 0.056
"""Side of a cell, in units of the half-light radius."""
HALF_WIDTH = 4.5
"""Half the width of the square that holds a disc seen face-on, in the same units."""
CLUMP_SIZES = 0.07, 0.3
"""Smallest and largest standard deviation of a clump, in the same units."""


def disc_image(own: Mapping[str, float], ratio: float) -> Floats:
    """Return the brightness of a disc whose half-light radius is 1.

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


def _axis(stretch: float) -> Floats:
    count = 2 * math.ceil(HALF_WIDTH * stretch / STEP)
    return ((np.arange(count) - (count - 1) / 2) * STEP).astype(np.float32)


def _clumps(
    count: int, columns: Floats, rows: Floats, flattening: float, rng: np.random.Generator
) -> Floats:
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


def _outside(radius: Floats, core: float) -> Floats:
    """Return a weight that grows from 0 in the middle to 1 far from it."""
    square = radius * radius
    return np.asarray(square / (square + np.float32(core**2)))
