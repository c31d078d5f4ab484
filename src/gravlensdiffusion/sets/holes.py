"""What fills pixels that were not observed."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, uniform_filter


def like_those_beside(
    channel: NDArray[np.floating], masked: NDArray[np.bool_]
) -> NDArray[np.floating]:
    """Return what fills the masked pixels of an image, in row-major order.

    Each takes the mean about the pixel that is nearest of those that are not masked, and grain as that
    of the image, the same at every call.

    Args:
        channel: Shape ``(H, W)``.
        masked: Which pixels are to be filled, some of them and not all, shape ``(H, W)``.
    """
    known = np.where(masked, 0, channel).astype(np.float64)
    share = uniform_filter((~masked).astype(np.float64), 3, mode="constant")
    near = uniform_filter(known, 3, mode="constant") / np.where(masked, 1, share)
    rows, columns = distance_transform_edt(masked, return_distances=False, return_indices=True)
    smooth = near[rows[masked], columns[masked]]
    steps = np.diff(np.where(masked, np.nan, channel).astype(np.float64), axis=1)
    steps = steps[np.isfinite(steps)]
    # The median of a normal deviate's modulus is 0.6745, and a step has the noise of two pixels.
    grain = float(np.median(np.abs(steps))) / (0.6745 * math.sqrt(2)) if steps.size else 0.0
    values = smooth + grain * np.random.default_rng(0).standard_normal(smooth.size)
    observed = channel[~masked]
    return np.clip(values, observed.min(), observed.max()).astype(channel.dtype)
