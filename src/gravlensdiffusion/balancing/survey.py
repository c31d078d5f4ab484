"""One look at every image of a set: a digest, and the extremes of each."""

import hashlib
import json
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.lens_set import LensSet

_SLACK = 0.01
"""How far the extremes of a peak-scaled image may lie out of 0 and 1 after rounding."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """What was seen of a set.

    Attributes:
        digest: SHA-256 of all that the set holds.
        lows: Faintest pixel of each image, shape ``(N,)`` [flux unit].
        highs: Brightest pixel of each image, shape ``(N,)`` [flux unit].
        source: The set.
    """

    digest: str
    lows: NDArray[np.float32]
    highs: NDArray[np.float32]
    source: LensSet

    def check_peak(self) -> None:
        """Refuse images of which somebody said that each was scaled to [0, 1], there or at a larger size.

        Raises:
            GravLensError: If one was not.
        """
        wrong = np.maximum(-self.lows, self.highs - 1) > _SLACK
        if wrong.any():
            k = int(np.argmax(wrong))
            raise GravLensError(
                f"the flux unit is no peak: image {k} runs from {self.lows[k]:.4g} to "
                f"{self.highs[k]:.4g}, out of 0 to 1"
            )

    def examples(self, label: int) -> NDArray[np.intp]:
        """Return the originals of a class, or all of them where it has none."""
        is_original = ~self.source.is_generated
        for chosen in (is_original & (self.source.labels == label), is_original):
            if chosen.any():
                return np.flatnonzero(chosen)
        return np.arange(len(self.source))


def survey(source: LensSet) -> Survey:
    """Read a set once, with flat memory."""
    digest = hashlib.sha256(json.dumps(asdict(source.header), sort_keys=True).encode())
    digest.update(json.dumps([len(source), *source.image_shape, source.has_noise_free]).encode())
    digest.update(np.ascontiguousarray(source.labels).tobytes())
    for name, values in sorted(source.parameters.items()):
        digest.update(name.encode() + np.ascontiguousarray(values).tobytes())
    digest.update(np.ascontiguousarray(source.subhaloes).tobytes())
    lows, highs = np.empty(len(source), np.float32), np.empty(len(source), np.float32)
    for block in source.slices():
        images = source.read(block)
        digest.update(np.ascontiguousarray(images).tobytes())
        if source.has_noise_free:
            digest.update(np.ascontiguousarray(source.read_noise_free(block)).tobytes())
        lows[block], highs[block] = images.min((1, 2, 3)), images.max((1, 2, 3))
    return Survey(digest=digest.hexdigest(), lows=lows, highs=highs, source=source)
