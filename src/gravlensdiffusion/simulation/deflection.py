"""Deflections of the substructure, in closed form and fast.

Positions and deflections are in arcseconds; x runs along the columns of an image, y along its
rows. In the complex notation z = x + i y, a point lens with Einstein radius t deflects by
t^2 / conj(z). Each function adds its result to the two arrays handed in, since most of the time
of an image with 25 subhaloes goes into moving arrays about.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

NEAREST_SQUARE = 1e-20
"""Squared distance below which a point is taken to lie on a point mass [arcsec^2]."""


def add_point_masses(
    alpha_x: Array, alpha_y: Array, x: Array, y: Array, positions: Array, einstein_radii: Array
) -> None:
    """Add the deflection of point masses.

    Args:
        alpha_x: Deflection along x to add to, shape ``(N,)`` [arcsec].
        alpha_y: Deflection along y to add to, shape ``(N,)`` [arcsec].
        x: Where it is wanted, shape ``(N,)`` [arcsec].
        y: Where it is wanted, shape ``(N,)`` [arcsec].
        positions: Where the masses lie, shape ``(K, 2)`` [arcsec].
        einstein_radii: Their Einstein radii, shape ``(K,)`` [arcsec].
    """
    dx, dy, weight, square = (np.empty_like(x) for _ in range(4))
    for (centre_x, centre_y), radius in zip(positions, einstein_radii, strict=True):
        np.subtract(x, centre_x, out=dx)
        np.subtract(y, centre_y, out=dy)
        np.multiply(dx, dx, out=weight)
        np.multiply(dy, dy, out=square)
        weight += square
        # On the very spot of a mass the direction is undefined; nothing is deflected there.
        np.maximum(weight, NEAREST_SQUARE, out=weight)
        np.divide(radius**2, weight, out=weight)
        dx *= weight
        dy *= weight
        alpha_x += dx
        alpha_y += dy


def add_segment(
    alpha_x: Array,
    alpha_y: Array,
    x: Array,
    y: Array,
    einstein_radius: float,
    length: float,
    angle: float,
) -> None:
    r"""Add the deflection of a mass spread evenly along a segment through the origin.

    The integral of the point lens over the segment: with w = z exp(-i angle),

    .. math:: \bar\alpha = \frac{t^2}{L} e^{-i\phi} \log\frac{w + L/2}{w - L/2}

    whose branch cut, with the principal logarithm, is the segment itself: the deflection across
    it jumps by 2 pi t^2 / L, as it does at a line of mass.

    Args:
        alpha_x: Deflection along x to add to, shape ``(N,)`` [arcsec].
        alpha_y: Deflection along y to add to, shape ``(N,)`` [arcsec].
        x: Where it is wanted, shape ``(N,)`` [arcsec].
        y: Where it is wanted, shape ``(N,)`` [arcsec].
        einstein_radius: Einstein radius t of the whole mass gathered in one point [arcsec].
        length: Length L of the segment [arcsec].
        angle: Angle from the x axis to the segment [rad].
    """
    cos, sin = np.cos(angle), np.sin(angle)
    along = cos * x + sin * y
    across = cos * y - sin * x
    ahead, behind = along + length / 2, along - length / 2
    square = across * across
    tiny = np.finfo(np.float64).tiny
    # Real part of the logarithm, and minus its imaginary part.
    log_ratio = 0.5 * np.log((ahead * ahead + square + tiny) / (behind * behind + square + tiny))
    opening = np.arctan2(length * across, ahead * behind + square)
    scale = einstein_radius**2 / length
    alpha_x += scale * (cos * log_ratio - sin * opening)
    alpha_y += scale * (sin * log_ratio + cos * opening)
