"""Precision, recall, density and coverage: is what is made real, and is all that is real made?"""

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.metrics.features import check_vectors, squared_distances

BLOCK = 1024


def measure_coverage(
    generated: NDArray[np.floating], real: NDArray[np.floating], num_neighbours: int = 5
) -> dict[str, float]:
    """Compare two sets of features by balls around the points of each.

    The ball of a point reaches to its k-th neighbour in its own set. Memory grows with the number of
    points, not with its square.

    Args:
        generated: Features, shape ``(M, F)``. Scale them as the distance should weigh them.
        real: Features, shape ``(N, F)``.
        num_neighbours: k, the number of neighbours that set the radius of a ball.

    Returns:
        ``precision``, the fraction of generated points that lie in the ball of a real point;
        ``recall``, that of real points in the ball of a generated one; ``density``, the mean number of
        real balls that hold a generated point, over k, for which 1 is expected of two sets of one
        distribution; ``coverage``, the fraction of real balls that hold a generated point.

    Raises:
        GravLensError: If shapes do not agree, a value is not finite, or a set has no more than k
            points.

    References:
        Kynkaanniemi et al. 2019, arXiv:1904.06991, eqs. 1-2 (precision, recall).
        Naeem et al. 2020, arXiv:2002.09797, eqs. 3-4 (density, coverage).
    """
    check_vectors(generated, real)
    if num_neighbours < 1:
        raise GravLensError(f"the number of neighbours must be positive, got {num_neighbours}")
    fewest = min(len(generated), len(real))
    if fewest <= num_neighbours:
        raise GravLensError(
            f"coverage with {num_neighbours} neighbours needs more than {num_neighbours} images "
            f"in each set, got {fewest}"
        )
    # About the mean, squares lose least to rounding.
    centre = real.mean(0, dtype=np.float64)
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


def _distances(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return squared distances in which equal points are at zero: all copies of one point are."""
    distances = squared_distances(a, b)
    distances[distances < 1e-12 * (np.square(a).sum(1).max() + np.square(b).sum(1).max())] = 0
    return distances


def _radii(points: NDArray[np.floating], num_neighbours: int) -> NDArray[np.float64]:
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
