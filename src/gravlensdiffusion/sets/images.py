"""Images that are read on demand, by their numbers, with what is known of each."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.records import GENERATED, LensRecord, SetHeader

Indices = Sequence[int] | NDArray[np.integer] | NDArray[np.bool_] | slice
"""Which images: whole numbers in any order, each as often as wanted, a slice, or whether each is wanted."""
SUBHALO_DTYPE = np.dtype([("image", "<i8"), ("x", "<f8"), ("y", "<f8"), ("mass", "<f8")])
BLOCK = 256
"""Images that are read at a time, at most."""
BLOCK_BYTES = 2**26
"""Memory that images read at a time take, at most, but for a single one [byte]."""


class LazyImages(ABC):
    """Images that are read on demand.

    What reads images gives the first three attributes and `read`, and what else it knows.

    Attributes:
        header: What is common to all images.
        image_shape: ``(C, H, W)``.
        labels: Class of each image, shape ``(N,)``; -1 where it is not known.
        files: The files that the images are read from.
        problems: What was left out, one line per file or image.
        num_skipped: How many files or images were left out.
        dtypes: Types of the pixel values as they are stored.
        notes: What else a reader of the set should know, one line each.
        states_unit: Whether the files state the flux unit, so that it is not told by their numbers alone.
        has_noise_free: Whether every image has a noise-free twin.
        has_masked: Whether pixels of some images were not observed; `read` fills them.
    """

    header: SetHeader
    image_shape: tuple[int, int, int]
    labels: NDArray[np.int16]
    files: tuple[Path, ...] = ()
    problems: tuple[str, ...] = ()
    num_skipped: int = 0
    dtypes: tuple[str, ...] = ("float32",)
    notes: tuple[str, ...] = ()
    states_unit: bool = True
    has_noise_free: bool = False
    has_masked: bool = False

    @abstractmethod
    def read(self, indices: Indices) -> NDArray[np.float32]:
        """Return images, shape ``(B, C, H, W)``, in the set's flux unit.

        Raises:
            GravLensError: If a file is damaged, or has changed since the set was opened.
            IndexError: If there is no such image.
        """

    def read_whole(self, index: int) -> NDArray[np.float32]:
        """Return all of an image, shape ``(C, H, W)``, where the set holds a part of it."""
        return self.read([index])[0]

    def read_noise_free(self, indices: Indices) -> NDArray[np.float32]:
        """Return the noise-free twins of images, shape ``(B, C, H, W)``.

        Raises:
            GravLensError: If there are none.
        """
        raise GravLensError("the set has no noise-free images")

    def read_masked(self, indices: Indices) -> NDArray[np.bool_]:
        """Return which pixels of images were not observed, shape ``(B, C, H, W)``."""
        return np.zeros((len(as_indices(indices, len(self))), *self.image_shape), bool)

    def read_psf(self, index: int) -> NDArray[np.generic] | None:
        """Return the point spread function that comes with an image, shape ``(C, h, w)``, in its pixels; None for none."""
        return None

    def name(self, index: int) -> str:
        """Return where image ``index`` comes from: file, and position in it, if it is known."""
        return f"image {index}"

    def close(self) -> None:  # noqa: B027 - most sets hold no file open
        """Close open files; a later read opens them again."""

    @cached_property
    def parameters(self) -> Mapping[str, NDArray[np.float64]]:
        """Values by name, shape ``(N,)`` each; NaN where an image has none."""
        return {}

    @cached_property
    def subhaloes(self) -> NDArray[np.void]:
        """Table of subhaloes: columns image, x [arcsec], y [arcsec], mass [M_sun]."""
        return np.empty(0, SUBHALO_DTYPE)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int | Indices) -> NDArray[np.float32]:
        """Return image ``index``, shape ``(C, H, W)``, or images, shape ``(B, C, H, W)``."""
        if isinstance(index, int | np.integer):
            return self.read([index + len(self) if index < 0 else index])[0]
        return self.read(index)

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Yield the images in order, shape ``(C, H, W)`` each."""
        for block in self.blocks():
            yield from block

    def __repr__(self) -> str:
        _, height, width = self.image_shape
        counts = ", ".join(f"{name} {num:,}" for name, num in self.class_counts.items())
        noun = "image" if len(self) == 1 else "images"
        told = f"{len(self):,} {noun} of {height}x{width} pixels in {self.header.flux_unit}"
        return f"{type(self).__name__}({told}{f'; {counts}' if counts else ''})"

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """``(N, C, H, W)``."""
        return len(self), *self.image_shape

    @property
    def is_generated(self) -> NDArray[np.bool_]:
        """Which images a model has made, shape ``(N,)``; one without a flag is an original."""
        flags = self.parameters.get(GENERATED)
        return np.zeros(len(self), bool) if flags is None else np.asarray(flags == 1)

    @property
    def class_counts(self) -> dict[str, int]:
        """Number of images of each class, by its name."""
        names = self.header.class_names
        counts = np.bincount(self.labels[self.labels >= 0], minlength=len(names)).tolist()
        return dict(zip(names, counts, strict=True)) if names else {}

    @property
    def absent_classes(self) -> tuple[str, ...]:
        """Names of the classes that have no images."""
        return tuple(name for name, num in self.class_counts.items() if not num)

    def slices(self, num: int | None = None) -> Iterator[slice]:
        """Yield where blocks of images lie, in order, of ``num`` or of as many as memory is to hold."""
        if num is None:
            num = max(1, min(BLOCK, BLOCK_BYTES // (4 * int(np.prod(self.image_shape)))))
        for start in range(0, len(self), num):
            yield slice(start, min(start + num, len(self)))

    def blocks(self, num: int | None = None) -> Iterable[NDArray[np.float32]]:
        """Return the images in order, block by block, as often as asked; ``num`` is as in `slices`."""
        return _Blocks(self, num)

    def records(self, *, with_unknown: bool = False) -> Iterator[LensRecord]:
        """Yield the images in order with what is known of each.

        Args:
            with_unknown: Whether parameters that an image lacks are there as NaN, not left out.
        """
        rows, values = self.subhaloes, self.parameters
        table = np.stack([rows[name] for name in ("x", "y", "mass")], axis=1)
        edges = np.searchsorted(rows["image"], np.arange(len(self) + 1))
        for where in self.slices():
            images = self.read(where)
            twins = self.read_noise_free(where) if self.has_noise_free else None
            for place, k in enumerate(range(where.start, where.stop)):
                known = {name: float(each[k]) for name, each in values.items()}
                own = table[edges[k] : edges[k + 1]]
                yield LensRecord(
                    image=images[place],
                    label=int(self.labels[k]),
                    parameters={
                        name: value
                        for name, value in known.items()
                        if with_unknown or not np.isnan(value)
                    },
                    subhaloes=own if len(own) else None,
                    noise_free=None if twins is None else twins[place],
                )


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Images walked through in blocks, as often as asked."""

    images: LazyImages
    num: int | None

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        for where in self.images.slices(self.num):
            yield self.images.read(where)


def evenly_spread(num: int, most: int) -> NDArray[np.int64]:
    """Return ``most`` of the numbers from 0 to ``num - 1``, evenly spread; all where they are no more."""
    return np.linspace(0, num - 1, min(num, most)).astype(np.int64)


def drawn_rows(num: int, most: int, seed: int | np.random.Generator = 0) -> NDArray[np.int64]:
    """Return ``most`` of the numbers from 0 to ``num - 1``, drawn at random, in order; all where they are no more."""
    return np.sort(np.random.default_rng(seed).permutation(num)[:most])


def as_indices(indices: Indices, num: int) -> NDArray[np.int64]:
    """Return the indices into ``num`` images as an array.

    Raises:
        IndexError: If an index lies outside or is no whole number, or not each image is said to be wanted or not.
    """
    wanted = indices if isinstance(indices, slice) else np.asarray(indices).reshape(-1)
    if isinstance(wanted, slice) or wanted.dtype == np.bool_:
        return np.arange(num, dtype=np.int64)[wanted]
    if wanted.size and wanted.dtype.kind not in "iu":
        raise IndexError(f"images have whole numbers, got {wanted.dtype}")
    if wanted.size and (wanted.min() < 0 or wanted.max() >= num):
        raise IndexError(f"image index must lie in 0 to {num - 1}")
    return wanted.astype(np.int64)
