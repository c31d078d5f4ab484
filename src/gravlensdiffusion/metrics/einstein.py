"""The Einstein radius of a lens, from its image alone."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Floats = NDArray[np.float64]

NUM_DIRECTIONS = 48
"""Rays from the middle of the image, evenly spaced; an even number, so that each has an opposite."""
STEP = 0.5
"""Distance of the points on a ray [pixel]."""
SIGNIFICANCE = 3.0
"""How far an arc must stand out, in units of the sky's rms."""
CONTRAST = 0.3
"""How far an arc must stand out, as a fraction of the lens galaxy's light beneath it."""
FAINTEST = 1e-3
"""How far an arc must stand out, as a fraction of the image's brightest pixel."""
DETECTION = 8.0
"""How far at least one point must stand out, in units of the sky's rms."""
HALF = 0.5
"""The fraction of a ray's own maximum down to which its points count."""
HARMONICS = (1, 2)
"""Harmonics of the critical curve: 1 is the source's offset, 2 shear and ellipticity."""
RIDGE = 0.02
"""Penalty on the square of the harmonics' amplitudes, for arcs seen in few directions only."""


class _Rays(NamedTuple):
    """Sampling of images of one size along rays."""

    operator: csr_array  # bilinear interpolation, shape (rays * points, H * H)
    radii: NDArray[np.float32]  # of the points from the middle, shape (points,) [pixel]
    waves: Floats  # constant, cosines and sines at the rays' angles, (rays, 1 + 2 harmonics)


def einstein_radius(flux: NDArray[np.floating], sky_rms: Floats) -> Floats:
    """Return the Einstein radius of each lens.

    Of a singular isothermal sphere the image is brightest, along the ray at angle phi from the
    lens, at ``theta_E + beta cos(phi - phi_s)`` for a source at distance beta and angle phi_s, and
    falls off alike on both sides; shear and ellipticity add even harmonics whose mean over phi is
    zero. So:

    1. Sample the image along rays from its middle, and smooth a little over angle.
    2. Subtract the light of the lens galaxy: of each ray and its opposite the fainter, made to fall
       outwards (minimum of all points further in). Of an image without a lens galaxy this subtracts
       the little light there is in the middle of the ring.
    3. On each ray, r(phi) is the mean radius of the points above half of the ray's maximum, weighted
       by their excess and by the square of its share in the light.
    4. Fit ``r(phi) = theta_E + a1 cos phi + b1 sin phi + a2 cos 2phi + b2 sin 2phi``, each ray
       weighted by its sum of weights, with a weak penalty on the amplitudes.

    No step is calibrated on simulations. docs/evaluation.md has the errors against the true
    ``theta_E`` of simulated lenses, as ``python benchmarks/lens_physics.py`` measures them. Of real
    DeepLense images that a lens model fits well, the fitted radius is met with -0.6% +- 2%. The light
    of the lens galaxy is the limit: where arcs are fainter than it, the radius of a single lens is
    only a rough one.

    Args:
        flux: Sky-subtracted images, shape ``(N, H, H)`` [flux].
        sky_rms: Shape ``(N,)`` [flux].

    Returns:
        Shape ``(N,)`` [pixel]; NaN where nothing stands out of the middle's light.
    """
    rays = _rays(flux.shape[-1])
    flat = flux.reshape(len(flux), -1)
    light = (rays.operator @ flat.T).T.reshape(len(flux), NUM_DIRECTIONS, -1)
    light = (np.roll(light, 1, axis=1) + 2 * light + np.roll(light, -1, axis=1)) / 4
    weights = _weights(light, sky_rms.astype(flux.dtype), flat.max(1))
    sums = weights.sum(2).astype(np.float64)
    radii = (weights @ rays.radii) / np.where(sums > 0, sums, 1)
    total = sums.sum(1)
    return _mean_radius(radii, sums / np.where(total > 0, total, 1)[:, None], rays.waves)


def _weights(
    light: NDArray[np.floating], sky_rms: NDArray[np.floating], brightest: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Return how much each point counts for the radius of its ray, of the shape of `light`."""
    opposite = np.roll(light, NUM_DIRECTIONS // 2, axis=1)
    galaxy = np.minimum.accumulate(np.minimum(light, opposite), axis=2)
    excess = light - galaxy
    galaxy = np.maximum(galaxy, 0)
    least = np.maximum(SIGNIFICANCE * sky_rms, FAINTEST * brightest)[:, None, None]
    threshold = np.maximum(least, CONTRAST * galaxy)
    standing_out = np.where(excess > threshold, excess, 0)
    highest = standing_out.max(2, keepdims=True)
    threshold = np.maximum(threshold, HALF * highest)
    share = excess / np.where(excess > 0, excess + galaxy, 1)
    weights = np.maximum(excess - threshold, 0) * share**2
    detected = highest.max((1, 2)) > DETECTION * sky_rms
    return np.asarray(weights * detected[:, None, None])


def _mean_radius(radii: Floats, weights: Floats, waves: Floats) -> Floats:
    """Return the constant term of the harmonic fit to the rays' radii; NaN without weights."""
    normal = np.einsum("np,pi,pj->nij", weights, waves, waves, optimize=True)
    penalty = np.full(waves.shape[1], RIDGE)
    penalty[0] = 0
    seen = weights.sum(1) > 0
    normal[~seen] = np.eye(len(penalty))
    right = (weights * radii) @ waves
    constant = np.linalg.solve(normal + np.diag(penalty), right[..., None])[:, 0, 0]
    return np.where(seen, constant, np.nan)


@lru_cache(maxsize=8)
def _rays(size: int) -> _Rays:
    """Return the sampling of images of `size` pixels a side."""
    middle = (size - 1) / 2
    radii = np.arange(0, middle + STEP / 2, STEP)
    angles = np.arange(NUM_DIRECTIONS) * 2 * np.pi / NUM_DIRECTIONS
    x = np.clip(middle + radii * np.cos(angles)[:, None], 0, size - 1).ravel()
    y = np.clip(middle + radii * np.sin(angles)[:, None], 0, size - 1).ravel()
    column, row = np.minimum(x.astype(int), size - 2), np.minimum(y.astype(int), size - 2)
    u, v = x - column, y - row
    values = np.concatenate([(1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v])
    corner = row * size + column
    pixels = np.concatenate([corner, corner + 1, corner + size, corner + size + 1])
    points = np.tile(np.arange(x.size), 4)
    operator = csr_array((values.astype(np.float32), (points, pixels)), shape=(x.size, size * size))
    waves = [np.ones_like(angles)]
    for harmonic in HARMONICS:
        waves += [np.cos(harmonic * angles), np.sin(harmonic * angles)]
    return _Rays(operator, radii.astype(np.float32), np.stack(waves, axis=1))
