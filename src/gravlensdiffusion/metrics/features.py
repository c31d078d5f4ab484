"""What every comparison of two sets of features demands of them, and distances between them."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gravlensdiffusion.errors import GravLensError


def check_features(features: ArrayLike, name: str = "the set") -> NDArray[np.float64]:
    """Return the features of one set in double precision.

    Args:
        features: Shape ``(N, D)``, with at least two images.
        name: What the set is called in the error message.

    Raises:
        GravLensError: If the shape is another, or a value is not finite.
    """
    array = np.asarray(features, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] < 1:
        raise GravLensError(f"features of {name} must have shape (N, D), got {array.shape}")
    if len(array) < 2:
        raise GravLensError(f"{name} has {len(array)} images; at least 2 are needed to compare")
    if not np.isfinite(array).all():
        raise GravLensError(f"features of {name} hold values that are not finite")
    return array


def check_pair(x: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the features of two sets in double precision; see `check_features`.

    Args:
        x: Features of the generated images, shape ``(N, D)``.
        y: Features of the reference images, shape ``(M, D)``.

    Raises:
        GravLensError: If one of them is not as it should be, or D differs.
    """
    x, y = check_features(x, "the generated set"), check_features(y, "the reference set")
    if x.shape[1] != y.shape[1]:
        raise GravLensError(
            f"features of the two sets differ in number: {x.shape[1]} and {y.shape[1]}"
        )
    return x, y


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
