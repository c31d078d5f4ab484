"""Part of a lens set, seen as a set of its own."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.sets.records import SetHeader
from gravlensdiffusion.store.reader import LensStore, as_indices

_SCAN_BYTES = 2**24


class SubsetSource:
    """Some images of a store, in their order.

    Args:
        store: The whole set.
        kept: Indices of the images that belong to the subset, increasing.
        problems: Why the others were left out, one line each.
        num_skipped: How many files and images were left out.
    """

    dtypes = LensStore.dtypes

    def __init__(
        self, store: LensStore, kept: NDArray[np.int64], problems: Sequence[str], num_skipped: int
    ) -> None:
        self._store = store
        self._kept = kept
        self.problems = tuple(problems)
        self.num_skipped = num_skipped

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def header(self) -> SetHeader:
        """What is common to all images."""
        return self._store.header

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """``(C, H, W)``."""
        return self._store.image_shape

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that the images are read from."""
        return self._store.files

    @property
    def labels(self) -> NDArray[np.int16]:
        """Class of each image, shape ``(N,)``; -1 where it is not known."""
        return self._store.labels[self._kept]

    @property
    def parameters(self) -> dict[str, NDArray[np.float64]]:
        """Values by name, shape ``(N,)`` each; NaN where an image has none."""
        return {name: values[self._kept] for name, values in self._store.parameters.items()}

    @property
    def subhaloes(self) -> NDArray[np.void]:
        """Table of subhaloes: columns image, x [arcsec], y [arcsec], mass [M_sun]."""
        rows = self._store.subhaloes
        rows = rows[np.isin(rows["image"], self._kept)].copy()
        rows["image"] = np.searchsorted(self._kept, rows["image"])
        return rows

    @property
    def notes(self) -> tuple[str, ...]:
        """What else a reader of the set should know, one line each."""
        return self._store.notes

    @property
    def has_noise_free(self) -> bool:
        """Whether every image has a noise-free twin."""
        return self._store.has_noise_free

    def name(self, index: int) -> str:
        """Return where image ``index`` comes from."""
        return self._store.name(int(self._kept[index]))

    def read(self, indices: Sequence[int] | NDArray[np.integer] | slice) -> NDArray[np.float32]:
        """Return images, shape ``(B, C, H, W)``."""
        return self._store.read(self._kept[as_indices(indices, len(self))])

    def read_noise_free(
        self, indices: Sequence[int] | NDArray[np.integer] | slice
    ) -> NDArray[np.float32]:
        """Return the noise-free twins of images, shape ``(B, C, H, W)``.

        Raises:
            GravLensError: If there are none.
        """
        return self._store.read_noise_free(self._kept[as_indices(indices, len(self))])

    def close(self) -> None:
        """Close open files; a later read opens them again."""
        self._store.close()


def find_bad_images(store: LensStore) -> dict[int, str]:
    """Look at every image once and return what is wrong, by index.

    Raises:
        GravLensError: If the file is damaged.
    """
    found = {}
    step = max(1, _SCAN_BYTES // (4 * int(np.prod(store.image_shape))))
    for start in range(0, len(store), step):
        images = store.read(slice(start, start + step))
        low, high = images.min(axis=(1, 2, 3)), images.max(axis=(1, 2, 3))
        for k in np.flatnonzero(~(np.isfinite(low) & np.isfinite(high))):
            num = int(np.count_nonzero(~np.isfinite(images[k])))
            found[start + int(k)] = f"is not finite in {num} of {images[k].size} pixels"
        for k in np.flatnonzero(low == high):
            found[start + int(k)] = f"is constant: every pixel is {float(low[k]):g}"
        if store.has_noise_free:
            twins = store.read_noise_free(slice(start, start + step))
            for k in np.flatnonzero(~np.isfinite(twins).all(axis=(1, 2, 3))):
                found.setdefault(start + int(k), "has a noise-free image that is not finite")
    store.close()
    return found
