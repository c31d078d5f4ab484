"""A set seen at the size that a classifier takes."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.data.dataset import CHUNK, ImageSource
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.records import SetHeader
from gravlensdiffusion.resize import resize, resize_flux

PER_PIXEL = "e-/s"
"""Flux unit of images that hold the flux in each pixel, which grows with its area."""
PEAK = "peak"
"""Flux unit of images that were each scaled to [0, 1]."""


class SizedSource:
    """A set whose images are brought to another size as they are read.

    They become what ``gravlens simulate --size`` would have made of them: the sum of flux per pixel
    is kept, and images that were scaled to [0, 1] are scaled to [0, 1] again.

    Args:
        source: The images.
        size: New height and width [pixel]; None for their own.
        method: Named resize.

    Raises:
        GravLensError: If the images are not square, or smaller than ``size``.
    """

    def __init__(self, source: ImageSource, size: int | None, method: str) -> None:
        _, height, width = source.image_shape
        if height != width:
            raise GravLensError(
                f"a classifier takes square images, these are {height} by {width} pixels"
            )
        self.size = height if size is None else size
        if self.size > height:
            raise GravLensError(f"the images have {height} pixels a side, fewer than {self.size}")
        self._source, self._method = source, method
        self.is_resized = self.size != height

    def __len__(self) -> int:
        return len(self._source)

    @property
    def header(self) -> SetHeader:
        """What is common to all images, at their new size."""
        header = self._source.header
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
    def labels(self) -> NDArray[np.int16]:
        """Class of each image, shape ``(N,)``; -1 where it is not known."""
        return self._source.labels

    @property
    def parameters(self) -> Mapping[str, NDArray[np.float64]]:
        """Values by name, shape ``(N,)`` each."""
        return self._source.parameters

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

    def read(self, indices: Sequence[int] | NDArray[np.integer]) -> NDArray[np.float32]:
        """Return images at their new size, shape ``(B, C, S, S)``."""
        images = self._source.read(indices)
        if not self.is_resized:
            return images
        unit = self._source.header.flux_unit
        bring = resize_flux if unit == PER_PIXEL else resize
        images = np.asarray(bring(images, self.size, self._method), dtype=np.float32)
        return to_unit_range(images) if unit == PEAK else images

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yield all images in order, some at a time."""
        for start in range(0, len(self), CHUNK):
            yield self.read(np.arange(start, min(start + CHUNK, len(self))))


def to_unit_range(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale each image to [0, 1] by its own extremes, shape ``(B, C, S, S)``."""
    low = images.min(axis=(1, 2, 3), keepdims=True)
    span = images.max(axis=(1, 2, 3), keepdims=True) - low
    return np.asarray((images - low) / np.where(span > 0, span, 1), dtype=np.float32)


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
