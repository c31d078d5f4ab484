"""Training images: brought to their size once, kept in a file, read by position."""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.codec import read_record
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.files import FileWatch, identity, whole_file, write_atomically
from gravlensdiffusion.sets.images import Indices, as_indices, evenly_spread
from gravlensdiffusion.sets.lens_set import LensSet, View


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingSet:
    """Images at their training size, with what is learned of them.

    Attributes:
        images: The images.
        labels: Class indices, int64 of shape ``(N,)``.
        parameters: Physical parameters, float64 of shape ``(N, P)``; NaN where one is not known.
        fingerprint: Digest of the images and labels.
        parameters_fingerprint: Digest of the parameters; empty where there are none.
        watch: Says whether the file that the images are kept in has changed since.
    """

    images: LensSet
    labels: NDArray[np.int64]
    parameters: NDArray[np.float64]
    fingerprint: str
    parameters_fingerprint: str = ""
    watch: FileWatch

    def __len__(self) -> int:
        return len(self.images)

    def select(self, rows: NDArray[np.integer]) -> "TrainingSet":
        """Return some of the images as a set of their own; the fingerprint stays that of all."""
        return replace(
            self,
            images=self.images.select(rows),
            labels=self.labels[rows],
            parameters=self.parameters[rows],
        )


class _CachedSet(View):
    """A set whose images are kept in an .npy file of float32, and read when they are asked for.

    Pages of a file that is mapped stay with the process once they were touched, until it holds the
    whole set; here nothing stays. Each read opens the file for itself, so that threads and
    processes do not disturb each other.
    """

    def __init__(self, source: LensSet, path: Path) -> None:
        super().__init__(source)
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        self._path, self._offset = path, int(mapped.offset)

    def read(self, indices: Indices) -> NDArray[np.float32]:
        """Read images, shape ``(B, C, S, S)``.

        Raises:
            GravLensError: If the file has become shorter.
            IndexError: If there is no such image.
        """
        where = as_indices(indices, len(self))
        images = np.empty((len(where), *self.image_shape), dtype=np.float32)
        size = 4 * math.prod(self.image_shape)
        # Neighbours in the file are read in one go.
        breaks = np.flatnonzero(np.diff(where) != 1) + 1
        with self._path.open("rb", buffering=0) as file:
            for low, high in pairwise([0, *breaks.tolist(), len(where)]):
                file.seek(self._offset + int(where[low]) * size if high > low else 0)
                if file.readinto(images[low:high].data) != (high - low) * size:
                    raise GravLensError(f"{self._path}: damaged: it has become shorter")
        return images


def prepare(
    source: LensSet,
    folder: Path,
    size: int,
    method: str,
    *,
    parameters: Sequence[str] = (),
    may_lack: bool = False,
    writes: bool = True,
    keeps: bool = True,
) -> TrainingSet:
    """Resize a set once into ``folder/images.npy``, or reuse what stands there.

    It is reused where neither the files of the set nor that file have changed since.

    Args:
        source: The images.
        folder: Where the prepared images are kept.
        size: Height and width to train at [pixel].
        method: Named resize, used where the images have another size.
        parameters: Names of the physical parameters to keep.
        may_lack: Whether the set may be without some of them.
        writes: Whether this process does so; another one has done it for those that do not.
        keeps: Whether they are prepared at all; else they are read from the set each time, where
            they are not prepared yet.

    Raises:
        GravLensError: If there are no images, if they are not square, or smaller than ``size``, if
            they lack a parameter, or if another process has prepared other images.
    """
    if len(source) == 0:
        raise GravLensError("the training set is empty")
    values = _parameters(source, parameters, may_lack=may_lack)
    source = source.resized(size, method)
    stamp = _stamp(source, size, method)
    images_path, stamp_path = folder / "images.npy", folder / "prepared.json"
    known: dict[str, Any] = {}
    # A damaged record is as good as none: the images are prepared anew.
    with suppress(GravLensError):
        known = read_record(stamp_path)
    is_kept = (
        "fingerprint" in known
        and known.get("stamp") == stamp
        and known.get("file") == _size_and_time(images_path)
    )
    if not is_kept and not keeps:
        known = {"fingerprint": digest_of(source)}
    elif not is_kept:
        if not writes:
            raise GravLensError(
                f"{folder} holds other images than this process reads; all processes need the same "
                "data and the same run directory, on a file system that they share"
            )
        stamp_path.unlink(missing_ok=True)
        fingerprint = _write(source, images_path)
        known = {"stamp": stamp, "fingerprint": fingerprint, "file": _size_and_time(images_path)}
        write_atomically(stamp_path, json.dumps(known))
    in_file = is_kept or keeps
    return TrainingSet(
        images=_CachedSet(source, images_path) if in_file else source,
        labels=np.asarray(source.labels, dtype=np.int64),
        parameters=values,
        fingerprint=known["fingerprint"],
        parameters_fingerprint=hashlib.sha256(values.tobytes()).hexdigest() if parameters else "",
        watch=FileWatch([images_path] if in_file else []),
    )


def _size_and_time(path: Path) -> list[int]:
    # A copy of the run has another inode.
    return list(identity(path)[:2])


def _parameters(source: LensSet, names: Sequence[str], *, may_lack: bool) -> NDArray[np.float64]:
    """Return the named parameters, shape ``(N, P)``."""
    stored, values = source.parameters, np.full((len(source), len(names)), np.nan)
    for name, column in zip(names, values.T, strict=True):
        if name in stored:
            column[:] = stored[name]
        if not (may_lack or np.isfinite(column).any()):
            known = ", ".join(sorted(stored)) or "none"
            raise GravLensError(f"the training set has no parameter '{name}'; it has: {known}")
    return values


def _write(source: LensSet, path: Path) -> str:
    description = {"descr": "<f4", "fortran_order": False, "shape": source.shape}
    with whole_file(path, overwrite=True) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, description)
        return digest_of(source, lambda block: file.write(block.data))


def digest_of(
    source: LensSet, take: Callable[[NDArray[np.float32]], object] = lambda block: block
) -> str:
    """Return the digest of labels and images; ``take`` is called with each block ``(B, C, H, W)`` on the way."""
    digest = hashlib.sha256(np.asarray(source.labels, dtype=np.int64).tobytes())
    for images in source.blocks():
        block = np.ascontiguousarray(images, dtype="<f4")
        take(block)
        digest.update(block.data)
    return digest.hexdigest()


def _stamp(source: LensSet, size: int, method: str) -> str:
    """Digest of what a set and its files look like from outside, and of 16 of its images, or of all without files."""
    files = [(path.name, *_size_and_time(path)) for path in source.files]
    facts = json.dumps(
        [asdict(source.header), len(source), source.image_shape, size, method, files]
    )
    digest = hashlib.sha256(facts.encode())
    digest.update(np.asarray(source.labels).tobytes())
    if files:
        digest.update(np.ascontiguousarray(source.read(evenly_spread(len(source), 16))).tobytes())
    else:  # of a set in memory nothing else tells that it has changed
        digest.update(digest_of(source).encode())
    return digest.hexdigest()
