"""Comparisons of two sets of features: the Fréchet distance, precision, recall, density and coverage.

What every comparison demands of them, and distances between vectors and between single numbers, stand here too.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import wasserstein_distance
from sklearn.metrics import euclidean_distances

from gravlensdiffusion.errors import GravLensError

Floats = NDArray[np.floating]

BLOCK = 1024
"""Vectors whose distances are held at a time."""


def check_vectors(*sets: ArrayLike, least: int = 1) -> list[NDArray[np.float64]]:
    """Return sets of vectors in double precision, if distances can be measured between them.

    Args:
        sets: Of shape ``(N, D)`` each.
        least: Vectors that each set needs.

    Raises:
        GravLensError: If a set has another shape, too few vectors or values that are not finite, or
            if the sets differ in D.
    """
    found = [np.asarray(vectors, dtype=np.float64) for vectors in sets]
    for vectors in found:
        if vectors.ndim != 2 or 0 in vectors.shape:
            raise GravLensError(f"expected vectors of shape (N, D), got shape {vectors.shape}")
        if vectors.shape[1] != found[0].shape[1]:
            raise GravLensError(
                f"the two sets differ in length of their vectors: {found[0].shape[1]} "
                f"and {vectors.shape[1]}"
            )
        if len(vectors) < least:
            raise GravLensError(
                f"a set has {len(vectors)} images; at least {least} are needed to compare"
            )
        if not np.isfinite(vectors).all():
            raise GravLensError("a set of vectors holds NaN or infinite values")
    return found


def frechet_distance(x: ArrayLike, y: ArrayLike) -> float:
    """Return the squared Fréchet (2-Wasserstein) distance between the Gaussians of two sets.

    ``|mean_1 - mean_2|^2 + tr C_1 + tr C_2 - 2 tr (C_1^1/2 C_2 C_1^1/2)^1/2``, where the last trace
    is the sum of the singular values of ``X Y^T / sqrt((N - 1) (M - 1))`` for the centred features
    ``X`` and ``Y``: no covariance is formed, and no eigenvalue squared or rooted. From the distance
    by scipy's ``sqrtm`` of the product of the covariances it differs by less than 1e-8 of its value
    at full rank, and by 1e-7 to 1e-6 at rank 99 of 2048, where ``sqrtm`` of a singular matrix is in
    error.

    Args:
        x: Shape ``(N, D)``.
        y: Shape ``(M, D)``.

    Raises:
        GravLensError: If the features are not finite, too few, or of different number.

    References:
        Dowson and Landau 1982, J. Multivariate Anal. 12, 450.
        Heusel et al. 2017, arXiv:1706.08500, equation 6.
    """
    x, y = check_vectors(x, y, least=2)
    shift = x.mean(axis=0) - y.mean(axis=0)
    x_root, y_root = _root(x), _root(y)
    trace = np.sum(x_root**2) + np.sum(y_root**2)
    nuclear_norm = np.linalg.svd(x_root @ y_root.T, compute_uv=False).sum()
    # Rounding may take the distance between equal sets a little below 0.
    return max(0.0, float(shift @ shift + trace - 2 * nuclear_norm))


def _root(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a root R of the covariance ``R^T R``, of at most D rows."""
    root = (features - features.mean(axis=0)) / np.sqrt(len(features) - 1)
    # Turning the rows changes neither the covariance nor any singular value.
    return np.asarray(np.linalg.qr(root, mode="r")) if len(root) > root.shape[1] else root


def measure_coverage(generated: Floats, real: Floats, num_neighbours: int = 5) -> dict[str, float]:
    """Compare two sets of features by balls around the points of each.

    The ball of a point reaches to its k-th neighbour in its own set. Memory grows with the number of
    points, not with its square.

    Args:
        generated: Features, shape ``(M, F)``. Scale them as the distance should weigh them.
        real: Features, shape ``(N, F)``.
        num_neighbours: k, the number of neighbours that set the radius of a ball; fewer than points.

    Returns:
        ``precision``, the fraction of generated points that lie in the ball of a real point;
        ``recall``, that of real points in the ball of a generated one; ``density``, the mean number of
        real balls that hold a generated point, over k, for which 1 is expected of two sets of one
        distribution; ``coverage``, the fraction of real balls that hold a generated point.

    Raises:
        GravLensError: If shapes do not agree or a value is not finite.

    References:
        Kynkaanniemi et al. 2019, arXiv:1904.06991, eqs. 1-2 (precision, recall).
        Naeem et al. 2020, arXiv:2002.09797, eqs. 3-4 (density, coverage).
    """
    generated, real = check_vectors(generated, real)
    # About the mean, squares lose least to rounding.
    centre = real.mean(0)
    generated, real = generated - centre, real - centre
    real_radii = _radii(real, num_neighbours)
    generated_radii = _radii(generated, num_neighbours)
    in_real_balls = np.zeros(len(generated), dtype=np.int64)
    covered, recalled = np.zeros(len(real), dtype=bool), np.zeros(len(real), dtype=bool)
    for start in range(0, len(generated), BLOCK):
        block = slice(start, start + BLOCK)
        distances = _distances(generated[block], real)
        inside = distances <= real_radii
        in_real_balls[block] = inside.sum(1)
        covered |= inside.any(0)
        recalled |= (distances <= generated_radii[block, None]).any(0)
    return {
        "precision": float(np.mean(in_real_balls > 0)),
        "recall": float(recalled.mean()),
        "density": float(in_real_balls.mean() / num_neighbours),
        "coverage": float(covered.mean()),
    }


def _distances(a: Floats, b: Floats) -> Floats:
    """Return squared distances in which equal points are at zero: all copies of one point are."""
    distances = np.asarray(euclidean_distances(a, b, squared=True))
    distances[distances < 1e-12 * (np.square(a).sum(1).max() + np.square(b).sum(1).max())] = 0
    return distances


def _radii(points: Floats, num_neighbours: int) -> NDArray[np.float64]:
    """Return the squared distance of each point to its k-th neighbour, itself left out."""
    radii = np.empty(len(points))
    for start in range(0, len(points), BLOCK):
        distances = _distances(points[start : start + BLOCK], points)
        rows = np.arange(len(distances))
        distances[rows, start + rows] = np.inf
        radii[start : start + BLOCK] = np.partition(distances, num_neighbours - 1, axis=1)[
            :, num_neighbours - 1
        ]
    return radii


def scaled_wasserstein(generated: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """Return the Wasserstein distance in units of the real scatter.

    Args:
        generated: Values, shape ``(N,)``; those that are not finite are left out.
        reference: Real values, shape ``(M,)``.

    Returns:
        NaN where a side has no values or the real ones have no scatter.
    """
    one, two = finite(generated), finite(reference)
    if not len(one) or not len(two) or not two.std() > 0:
        return float("nan")
    return float(wasserstein_distance(one, two) / two.std())


def finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values that are finite."""
    return values[np.isfinite(values)]
