"""What every comparison of two sets of features demands of them."""

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
