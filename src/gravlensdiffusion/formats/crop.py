"""The middle of larger images.

Where a side and the crop are not both even or both odd, the middle moves by half a pixel, to smaller
x and y.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.errors import BadImageError, GravLensError
from gravlensdiffusion.formats.numbers import looked_at
from gravlensdiffusion.formats.source import Facts, ImageReader
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.sets.records import SetHeader


def middle(height: int, width: int, size: int) -> tuple[slice, slice]:
    """Return the rows and columns of the middle of an image.

    Args:
        height: Height of the image [pixel].
        width: Width of the image [pixel].
        size: Height and width of the middle [pixel].
    """
    top, left = (height - size) // 2, (width - size) // 2
    return slice(top, top + size), slice(left, left + size)


class CropReader:
    """Reads the middle of each image; one that is smaller cannot be used.

    Args:
        reader: Reads the whole images.
        size: Height and width that are kept [pixel].
    """

    def __init__(self, reader: ImageReader, size: int) -> None:
        self._reader, self._size = reader, size

    def images(self, path: Path) -> Iterator[tuple[NDArray[np.generic], Facts]]:
        """Yield the middle of each image of a file."""
        for pixels, facts in self._reader.images(path):
            yield self._cropped(pixels), looked_at(facts, pixels)

    def pixels(self, path: Path, index: int) -> NDArray[np.generic]:
        """Return the middle of an image of a file."""
        return self._cropped(self._reader.pixels(path, index))

    def _cropped(self, pixels: NDArray[np.generic]) -> NDArray[np.generic]:
        height, width = pixels.shape[-2:]
        if min(height, width) < self._size:
            raise BadImageError(
                f"has {height} x {width} pixels, fewer than the {self._size} to crop to"
            )
        rows, columns = middle(height, width, self._size)
        return pixels[..., rows, columns]


class CroppedSource:
    """The middle of each image of a store.

    What the store says of its making is left out: it was made for larger images.

    Args:
        source: The whole images.
        size: Height and width that are kept [pixel].

    Raises:
        GravLensError: If the images are smaller.
    """

    def __init__(self, source: LensSet, size: int) -> None:
        channels, height, width = source.image_shape
        if size > min(height, width):
            raise GravLensError(f"{source.name(0)}: has {height} x {width} pixels, too few to crop")
        self._source = source
        self.files = source.files
        self._rows, self._columns = middle(height, width, size)
        self.image_shape = (channels, size, size)
        self.header: SetHeader = replace(source.header, config="")
        self.labels: NDArray[np.int16] = source.labels
        self.parameters: dict[str, NDArray[np.float64]] = source.parameters
        self.subhaloes: NDArray[np.void] = source.subhaloes
        self.problems: tuple[str, ...] = source.problems
        self.num_skipped: int = source.num_skipped
        self.dtypes: tuple[str, ...] = source.dtypes
        self.notes: tuple[str, ...] = source.notes
        self.has_noise_free: bool = source.has_noise_free

    def __len__(self) -> int:
        return len(self._source)

    def name(self, index: int) -> str:
        """Return where image ``index`` comes from."""
        return self._source.name(index)

    def read(self, indices: Sequence[int] | NDArray[np.integer] | slice) -> NDArray[np.float32]:
        """Return the middle of images, shape ``(B, C, size, size)``."""
        return self._source.read(indices)[..., self._rows, self._columns]

    def read_noise_free(
        self, indices: Sequence[int] | NDArray[np.integer] | slice
    ) -> NDArray[np.float32]:
        """Return the middle of noise-free twins, shape ``(B, C, size, size)``."""
        return self._source.read_noise_free(indices)[..., self._rows, self._columns]

    def close(self) -> None:
        """Close open files; a later read opens them again."""
        self._source.close()
