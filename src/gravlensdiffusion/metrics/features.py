"""What every comparison of two sets of features demands of them, and distances between them."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gravlensdiffusion.errors import GravLensError

Floats = NDArray[np.floating]


def check_vectors(*sets: Floats, least: int = 1) -> None:
    """Refuse sets of vectors that no distance can be measured between.

    Args:
        sets: Of shape ``(N, D)`` each.
        least: Vectors that each set needs.

    Raises:
        GravLensError: If a set has another shape, too few vectors or values that are not finite, or
            if the sets differ in D.
    """
    for vectors in sets:
        if vectors.ndim != 2 or 0 in vectors.shape:
            raise GravLensError(f"expected vectors of shape (N, D), got shape {vectors.shape}")
        if vectors.shape[1] != sets[0].shape[1]:
            raise GravLensError(
                f"the two sets differ in length of their vectors: {sets[0].shape[1]} "
                f"and {vectors.shape[1]}"
            )
        if len(vectors) < least:
            raise GravLensError(
                f"a set has {len(vectors)} images; at least {least} are needed to compare"
            )
        if not np.isfinite(vectors).all():
            raise GravLensError("a set of vectors holds NaN or infinite values")


def check_pair(x: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the features ``(N, D)`` and ``(M, D)`` of two sets in double precision.

    Raises:
        GravLensError: As `check_vectors`, or if a set has one image.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    check_vectors(x, y, least=2)
    return x, y


def squared_distances(a: Floats, b: Floats) -> Floats:
    """Return |a_i - b_j|^2 = |a_i|^2 + |b_j|^2 - 2 a_i b_j, in the dtype of the arguments.

    Rounding may leave a small number, of either sign, where two vectors are equal.

    Args:
        a: Shape ``(M, D)``.
        b: Shape ``(N, D)``, of the same dtype.

    Returns:
        Shape ``(M, N)``.
    """
    distances = a @ b.T
    distances *= -2
    distances += np.einsum("nd,nd->n", a, a)[:, None]
    distances += np.einsum("nd,nd->n", b, b)
    return np.asarray(distances)
