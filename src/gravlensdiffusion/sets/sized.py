"""A set seen at another size."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.flux import UNKNOWN, bring_to_size, default_method
from gravlensdiffusion.sets.records import SetHeader

if TYPE_CHECKING:
    from gravlensdiffusion.sets.prepared import ImageSource

CHUNK = 256
"""Images read at a time."""


class SizedSource:
    """A set whose images are brought to another size as they are read.

    They become what ``gravlens simulate --size`` would have made of them; see
    `resize.bring_to_size`.

    Args:
        source: The images.
        size: New height and width [pixel]; None for their own.
        method: Named resize; None for the one that goes with the size.
        flux_unit: Unit that images which do not tell theirs are taken to be in; None for none.

    Attributes:
        size: Height and width of the images [pixel].
        is_resized: Whether it is not that of the source.

    Raises:
        GravLensError: If the images are not square, or smaller than ``size``.
    """

    def __init__(
        self,
        source: "ImageSource",
        size: int | None = None,
        method: str | None = None,
        *,
        flux_unit: str | None = None,
    ) -> None:
        _, height, width = source.image_shape
        if height != width:
            raise GravLensError(f"images must be square, these are {height} by {width} pixels")
        self.size = height if size is None else size
        if self.size > height:
            raise GravLensError(f"the images have {height} pixels a side, fewer than {self.size}")
        # What else a set may have, twins and files, a source in memory need not.
        self._source: Any = source
        self._method = method or default_method(self.size)
        self._unit = source.header.flux_unit
        if self._unit == UNKNOWN and flux_unit is not None:
            self._unit = flux_unit
        self.is_resized = self.size != height

    def __len__(self) -> int:
        return len(self._source)

    @property
    def header(self) -> SetHeader:
        """What is common to all images, at their new size."""
        header: SetHeader = self._source.header
        if not self.is_resized:
            return header
        scale = header.pixel_scale_arcsec
        new_scale = None if scale is None else scale * self._source.image_shape[1] / self.size
        return replace(header, pixel_scale_arcsec=new_scale, resize=self._method)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """``(C, S, S)``."""
        return self._source.image_shape[0], self.size, self.size

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that the images are read from, as far as the set can tell."""
        return tuple(getattr(self._source, "files", ()))

    @property
    def labels(self) -> NDArray[np.int16]:
        """Class of each image, shape ``(N,)``; -1 where it is not known."""
        labels: NDArray[np.int16] = self._source.labels
        return labels

    @property
    def parameters(self) -> Mapping[str, NDArray[np.float64]]:
        """Values by name, shape ``(N,)`` each."""
        parameters: Mapping[str, NDArray[np.float64]] = self._source.parameters
        return parameters

    @property
    def has_noise_free(self) -> bool:
        """Whether every image has a noise-free twin."""
        return bool(getattr(self._source, "has_noise_free", False))

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """``(N, C, S, S)``."""
        return len(self), *self.image_shape

    def __getitem__(self, where: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return images at their new size, shape ``(B, C, S, S)``."""
        return self.read(where)

    def name(self, index: int) -> str:
        """Return where image ``index`` comes from, as far as the set can tell."""
        named = getattr(self._source, "name", None)
        return f"image {index}" if named is None else str(named(int(index)))

    def read(self, indices: Sequence[int] | NDArray[np.integer] | slice) -> NDArray[np.float32]:
        """Return images at their new size, shape ``(B, C, S, S)``."""
        return self._brought(self._source.read(indices))

    def read_noise_free(
        self, indices: Sequence[int] | NDArray[np.integer] | slice
    ) -> NDArray[np.float32]:
        """Return the noise-free twins of images at their new size, shape ``(B, C, S, S)``.

        Raises:
            GravLensError: If there are none.
        """
        return self._brought(self._source.read_noise_free(indices))

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yield all images in order, some at a time."""
        for start in range(0, len(self), CHUNK):
            yield self.read(np.arange(start, min(start + CHUNK, len(self))))

    def _brought(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        if not self.is_resized:
            return images
        brought = bring_to_size(images, self.size, self._method, self._unit)
        return np.asarray(brought, dtype=np.float32)


class SetDigest:
    """Digest of images and labels, as `data.dataset.prepare` makes it.

    Args:
        labels: Class of each image as it is stored, shape ``(N,)``.
    """

    def __init__(self, labels: NDArray[np.integer]) -> None:
        self._digest = hashlib.sha256(np.asarray(labels, dtype=np.int64).tobytes())

    def update(self, images: NDArray[np.float32]) -> None:
        """Take the next images in."""
        self._digest.update(np.ascontiguousarray(images, dtype="<f4").tobytes())

    def hexdigest(self) -> str:
        """Return the digest of all that was taken in."""
        return self._digest.hexdigest()
