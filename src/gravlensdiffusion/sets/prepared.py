"""Training images: brought to their size once, kept in a file, read by position."""

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.codec import read_record
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.files import FileWatch, identity
from gravlensdiffusion.sets.records import SetHeader
from gravlensdiffusion.sets.sized import CHUNK, SizedSource


class ImageSource(Protocol):
    """What a set of images must offer: a store, or what the readers return."""

    @property
    def header(self) -> SetHeader:
        """What is common to all images."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """``(C, H, W)``."""

    @property
    def labels(self) -> NDArray[np.int16]:
        """Class indices, shape ``(N,)``; -1 where there is none."""

    @property
    def parameters(self) -> Mapping[str, NDArray[np.float64]]:
        """Values by name, shape ``(N,)`` each; NaN where an image has none."""

    def __len__(self) -> int: ...

    def read(self, indices: Sequence[int] | NDArray[np.integer]) -> NDArray[np.float32]:
        """Return images, shape ``(B, C, H, W)``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PreparedSet:
    """Images at their training size, left in their file rather than held in memory.

    Attributes:
        images: Flux, float32 of shape ``(N, C, S, S)``.
        labels: Class indices, int64 of shape ``(N,)``.
        parameters: Physical parameters, float64 of shape ``(N, P)``; NaN where one is not known.
        fingerprint: Digest of the images and labels.
        parameters_fingerprint: Digest of the parameters; empty where there are none.
    """

    images: "ImageFile | SourceImages"
    labels: NDArray[np.int64]
    parameters: NDArray[np.float64]
    fingerprint: str
    parameters_fingerprint: str = ""

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, size: int = CHUNK) -> "Batches":
        """Return the images in order, in batches, as often as asked."""
        return Batches(self.images, size)

    def take(self, rows: NDArray[np.integer]) -> "PreparedSet":
        """Return some of the images as a set of their own; the fingerprint stays that of all.

        Args:
            rows: Their positions, shape ``(M,)``.
        """
        return PreparedSet(
            images=self.images.take(rows),
            labels=self.labels[rows],
            parameters=self.parameters[rows],
            fingerprint=self.fingerprint,
            parameters_fingerprint=self.parameters_fingerprint,
        )


class ImageFile:
    """Images in an .npy file of float32, read when they are asked for.

    Pages of a file that is mapped stay with the process once they were touched, until it holds the
    whole set; here nothing stays. Each read opens the file for itself, so that threads and
    processes do not disturb each other.

    Args:
        path: The file.
        rows: Positions in the file of the images that count, shape ``(N,)``; None for all.

    Attributes:
        shape: ``(N, C, S, S)``.
        watch: Says whether the file has changed since.
    """

    def __init__(self, path: Path, rows: NDArray[np.integer] | None = None) -> None:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        self.watch = FileWatch([path])
        num = len(mapped) if rows is None else len(rows)
        self.shape: tuple[int, ...] = (num, *mapped.shape[1:])
        self._path, self._offset, self._rows = path, int(mapped.offset), rows

    def __len__(self) -> int:
        return self.shape[0]

    def take(self, rows: NDArray[np.integer]) -> "ImageFile":
        """Return some of the images, by their positions, shape ``(M,)``."""
        return ImageFile(self._path, rows if self._rows is None else self._rows[rows])

    def __getitem__(self, where: slice | NDArray[np.integer]) -> NDArray[np.float32]:
        """Read images, shape ``(B, C, S, S)``.

        Args:
            where: A slice, or positions from 0 to N - 1 in any order, shape ``(B,)``.

        Raises:
            GravLensError: If the file has become shorter.
            IndexError: If there is no such image.
        """
        if isinstance(where, slice):
            where = np.arange(*where.indices(len(self)))
        if len(where) and not 0 <= where.min() <= where.max() < len(self):
            raise IndexError(f"image index must lie in 0 to {len(self) - 1}")
        if self._rows is not None:
            where = self._rows[where]
        images = np.empty((len(where), *self.shape[1:]), dtype=np.float32)
        size = 4 * math.prod(self.shape[1:])
        # Neighbours in the file are read in one go.
        breaks = np.flatnonzero(np.diff(where) != 1) + 1
        with self._path.open("rb", buffering=0) as file:
            for low, high in pairwise([0, *breaks.tolist(), len(where)]):
                file.seek(self._offset + int(where[low]) * size if high > low else 0)
                if file.readinto(images[low:high].data) != (high - low) * size:
                    raise GravLensError(f"{self._path}: damaged: it has become shorter")
        return images


class SourceImages:
    """Images read from their set whenever they are asked for, and kept nowhere.

    Args:
        source: The images, at their training size.
        rows: Positions of the images that count, shape ``(N,)``; None for all.

    Attributes:
        shape: ``(N, C, S, S)``.
        watch: Watches nothing.
    """

    def __init__(self, source: ImageSource, rows: NDArray[np.integer] | None = None) -> None:
        self._source = source
        self._rows = np.arange(len(source)) if rows is None else rows
        self.shape: tuple[int, ...] = (len(self._rows), *source.image_shape)
        self.watch = FileWatch([])

    def __len__(self) -> int:
        return self.shape[0]

    def take(self, rows: NDArray[np.integer]) -> "SourceImages":
        """Return some of the images, by their positions, shape ``(M,)``."""
        return SourceImages(self._source, self._rows[rows])

    def __getitem__(self, where: slice | NDArray[np.integer]) -> NDArray[np.float32]:
        """Read images, shape ``(B, C, S, S)``, by a slice or positions, shape ``(B,)``."""
        return np.ascontiguousarray(self._source.read(self._rows[where]), dtype="<f4")


@dataclass(frozen=True, slots=True)
class Batches:
    """Images walked through in batches, as often as asked."""

    images: ImageFile | SourceImages
    size: int

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        for start in range(0, len(self.images), self.size):
            yield self.images[start : start + self.size]


def prepare(
    source: ImageSource,
    folder: Path,
    size: int,
    method: str,
    *,
    parameters: Sequence[str] = (),
    writes: bool = True,
    keeps: bool = True,
) -> PreparedSet:
    """Resize a set once into ``folder/images.npy``, or reuse what stands there.

    It is reused where neither the files of the set nor that file have changed since.

    Args:
        source: The images.
        folder: Where the prepared images are kept.
        size: Height and width to train at [pixel].
        method: Named resize, used where the images have another size.
        parameters: Names of the physical parameters to keep.
        writes: Whether this process does so; another one has done it for those that do not.
        keeps: Whether they are prepared at all; else they are read from the set each time, where
            they are not prepared yet.

    Raises:
        GravLensError: If there are no images, if they are not square, or smaller than ``size``, if
            they lack a parameter, or if another process has prepared other images.
    """
    _, height, width = source.image_shape
    if len(source) == 0:
        raise GravLensError("the training set is empty")
    if height != width:
        raise GravLensError(f"training images must be square, these are {height} by {width} pixels")
    if size > height:
        raise GravLensError(f"training images have {height} pixels a side, fewer than {size}")
    values = _parameters(source, parameters)
    source = SizedSource(source, size, method)
    stamp = _stamp(source, size, method)
    images_path, stamp_path = folder / "images.npy", folder / "prepared.json"
    known: dict[str, Any] = {}
    # A damaged record is as good as none: the images are prepared anew.
    with suppress(GravLensError):
        known = read_record(stamp_path)
    fresh = SourceImages(source)
    images: ImageFile | SourceImages = fresh
    if (
        "fingerprint" in known
        and known.get("stamp") == stamp
        and known.get("file") == _size_and_time(images_path)
    ):
        images = ImageFile(images_path)
    elif not keeps:
        known = {"fingerprint": _digest(source, fresh)}
    else:
        if not writes:
            raise GravLensError(
                f"{folder} holds other images than this process reads; all processes need the same "
                "data and the same run directory, on a file system that they share"
            )
        folder.mkdir(parents=True, exist_ok=True)
        stamp_path.unlink(missing_ok=True)
        digest = _write(source, fresh, images_path)
        temporary = folder / ".prepared.json.tmp"
        known = {"stamp": stamp, "fingerprint": digest, "file": _size_and_time(images_path)}
        temporary.write_text(json.dumps(known))
        temporary.replace(stamp_path)
        images = ImageFile(images_path)
    return PreparedSet(
        images=images,
        labels=np.asarray(source.labels, dtype=np.int64),
        parameters=values,
        fingerprint=known["fingerprint"],
        parameters_fingerprint=hashlib.sha256(values.tobytes()).hexdigest() if parameters else "",
    )


def _size_and_time(path: Path) -> list[int]:
    # A copy of the run has another inode.
    return list(identity(path)[:2])


def _parameters(source: ImageSource, names: Sequence[str]) -> NDArray[np.float64]:
    """Return the named parameters, shape ``(N, P)``."""
    if not names:
        return np.empty((len(source), 0))
    stored = source.parameters
    for name in names:
        if name not in stored or not np.isfinite(stored[name]).any():
            known = ", ".join(sorted(stored)) or "none"
            raise GravLensError(f"the training set has no parameter '{name}'; it has: {known}")
    return np.stack([stored[name] for name in names], axis=1)


def _write(source: ImageSource, images: SourceImages, path: Path) -> str:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    description = {"descr": "<f4", "fortran_order": False, "shape": images.shape}
    try:
        with temporary.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, description)
            digest = _digest(source, images, file.write)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return digest


def _digest(
    source: ImageSource,
    images: SourceImages,
    take: Callable[[bytes], object] = lambda pixels: pixels,
) -> str:
    """Return the digest of labels and images, whose pixels go to ``take`` on the way."""
    digest = hashlib.sha256(np.asarray(source.labels, dtype=np.int64).tobytes())
    for batch in Batches(images, CHUNK):
        pixels = batch.tobytes()
        take(pixels)
        digest.update(pixels)
    return digest.hexdigest()


def _stamp(source: ImageSource, size: int, method: str) -> str:
    """Digest of what a set and its files look like from outside, and of 16 of its images."""
    some = np.unique(np.linspace(0, len(source) - 1, 16).astype(int))
    files = [(path.name, *_size_and_time(path)) for path in getattr(source, "files", ())]
    facts = json.dumps(
        [asdict(source.header), len(source), source.image_shape, size, method, files]
    )
    digest = hashlib.sha256(facts.encode())
    digest.update(np.asarray(source.labels).tobytes())
    digest.update(np.ascontiguousarray(source.read(some)).tobytes())
    return digest.hexdigest()
