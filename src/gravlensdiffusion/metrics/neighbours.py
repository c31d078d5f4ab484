"""Euclidean distances between sets of vectors, by blocks of matrix products."""

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.errors import GravLensError

Floats = NDArray[np.floating]


def check_vectors(*sets: Floats) -> None:
    """Refuse sets of vectors that no distance can be measured between.

    Raises:
        GravLensError: If a set is not of shape ``(N, D)``, is empty, holds values that are not
            finite, or if the sets differ in D.
    """
    for vectors in sets:
        if vectors.ndim != 2 or 0 in vectors.shape:
            raise GravLensError(f"expected vectors of shape (N, D), got shape {vectors.shape}")
        if vectors.shape[1] != sets[0].shape[1]:
            raise GravLensError(
                f"the two sets differ in length of their vectors: {sets[0].shape[1]} "
                f"and {vectors.shape[1]}"
            )
        if not np.isfinite(vectors).all():
            raise GravLensError("a set of vectors holds NaN or infinite values")


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
