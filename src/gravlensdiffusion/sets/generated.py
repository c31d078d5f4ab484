"""Which images of a set were made by a model to fill up its classes."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.sets.records import GENERATED


class ParameterSource(Protocol):
    """What a set must offer: a number of images, and their parameters."""

    @property
    def parameters(self) -> Mapping[str, NDArray[np.float64]]:
        """Values by name, shape ``(N,)`` each; NaN where an image has none."""

    def __len__(self) -> int: ...


def generated_images(source: ParameterSource) -> NDArray[np.bool_]:
    """Return which images of a set are flagged as generated, shape ``(N,)``.

    An image without a flag counts as an original: so do all of a set that was never balanced.

    Args:
        source: The set.
    """
    flags = source.parameters.get(GENERATED)
    if flags is None:
        return np.zeros(len(source), dtype=bool)
    return np.asarray(flags == 1)
