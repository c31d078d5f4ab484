"""Images as they come back from 8-bit PNG files."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def quantise_truncating(images: ArrayLike) -> NDArray[np.float32]:
    """Return images as they come back from 8-bit PNG files that torchvision wrote.

    Values are clipped to [0, 1], multiplied by 255, cut to whole numbers (not rounded), and divided
    by 255. So do ``ToPILImage`` and ``ToTensor``, through which both sets of the reference project's
    protocol go; an image that is already of 8 bits is not changed.

    Args:
        images: Any shape.
    """
    clipped = np.clip(np.asarray(images, dtype=np.float32), 0, 1)
    grey = (clipped * np.float32(255)).astype(np.uint8)
    return np.asarray(grey, dtype=np.float32) / np.float32(255)


def quantise_rounding(images: ArrayLike) -> NDArray[np.float32]:
    """Return images as they come back from 8-bit PNG files with the nearest grey.

    As `quantise_truncating`, but rounded: on average it changes the flux of an image by nothing,
    where truncation takes half a level, 0.002 of the peak, from every pixel.

    Args:
        images: Any shape.
    """
    clipped = np.clip(np.asarray(images, dtype=np.float32), 0, 1)
    return np.rint(clipped * np.float32(255)) / np.float32(255)
