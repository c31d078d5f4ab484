"""Lens sets on disk: write, read and check `lenses.h5`, one file or a folder of shards."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.files import told_apart
from gravlensdiffusion.sets.images import SUBHALO_DTYPE, Indices, as_indices
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.sets.naming import SHARD_SUFFIXES, natural_key
from gravlensdiffusion.sets.records import SetHeader
from gravlensdiffusion.store.hdf5_file import try_out
from gravlensdiffusion.store.schema import NOISE_FREE, FileLayout, read_layout
from gravlensdiffusion.untrusted.probe import probe_files

_MAX_OPEN_FILES = 64


class LensStore(LensSet):
    """A lens set that is read lazily.

    Opening reads the structure and the labels; pixels are read on demand. Files that this process
    has not written are first tried out in another one, see `untrusted.probe`. A store can be pickled
    and used in forked processes: each process opens the files for itself.

    Args:
        path: A file, or a folder of shards, read in natural order of their names.
        shards: The shards to read, where not all of the folder are wanted.

    Raises:
        GravLensError: If the path is no lens set; the field is named.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, shards: Sequence[Path] | None = None
    ) -> None:
        self.path = Path(path)
        self.files = tuple(_shard_paths(self.path) if shards is None else shards)
        for file, wrong in probe_files(self.files, try_out).items():
            raise GravLensError(f"{file}: {wrong}")
        layouts = [_open_layout(file) for file in self.files]
        self.header = _joint_header(self.files, layouts)
        self.image_shape = layouts[0].image_shape
        self.has_noise_free = all(layout.has_noise_free for layout in layouts)
        self._starts = np.cumsum([0] + [layout.num_images for layout in layouts])
        self._layouts = layouts
        self._handles: dict[int, h5py.File] = {}
        self._owner = os.getpid()
        labels = [self._values(i, "labels") for i in range(len(self.files))]
        self.labels = np.concatenate(labels).astype(np.int16)
        self.close()
        self.notes = tuple(self._notes())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handles": {}}

    @cached_property
    def parameters(self) -> Mapping[str, NDArray[np.float64]]:
        """Values by name, shape ``(N,)`` each; NaN where an image has none."""
        values = {name: np.full(len(self), np.nan) for name in self.header.parameter_units}
        for i, layout in enumerate(self._layouts):
            for name in layout.header.parameter_units:
                part = self._values(i, f"parameters/{name}")
                values[name][self._starts[i] : self._starts[i + 1]] = part
        return values

    @cached_property
    def subhaloes(self) -> NDArray[np.void]:
        """Table of subhaloes: columns image, x [arcsec], y [arcsec], mass [M_sun]."""
        parts = [np.empty(0, SUBHALO_DTYPE)]
        for i, layout in enumerate(self._layouts):
            if layout.num_subhaloes:
                rows = self._values(i, "subhaloes").astype(SUBHALO_DTYPE)
                rows["image"] += self._starts[i]
                parts.append(rows)
        return np.concatenate(parts)

    def _notes(self) -> Iterator[str]:
        num = sum(layout.has_noise_free for layout in self._layouts)
        num_files = len(self.files)
        if num not in (0, num_files):
            yield f"noise-free images are in {num} of {num_files} files only: left alone"
        for each in self.header.fillings:
            made = ", ".join(f"{one.name} {one.num:,}" for one in each.classes if one.num)
            yield f"filled up by model {each.model}, seed {each.seed}: {made or 'nothing'}"

    def read(self, indices: Indices) -> NDArray[np.float32]:
        """Read images, shape ``(B, C, H, W)``."""
        return self._read("images", indices)

    def read_noise_free(self, indices: Indices) -> NDArray[np.float32]:
        """Read the noise-free twins of images, shape ``(B, C, H, W)``."""
        for path, layout in zip(self.files, self._layouts, strict=True):
            if not layout.has_noise_free:
                raise GravLensError(f"{path}: /{NOISE_FREE}: missing")
        return self._read(NOISE_FREE, indices)

    def _read(self, dataset: str, indices: Indices) -> NDArray[np.float32]:
        wanted = as_indices(indices, len(self))
        images = np.empty((wanted.size, *self.image_shape), np.float32)
        order = np.argsort(wanted, kind="stable")
        shards = np.searchsorted(self._starts, wanted[order], side="right") - 1
        positions = wanted[order] - self._starts[shards]
        # Runs of neighbouring images in one shard are read in one go.
        breaks = np.flatnonzero((np.diff(positions) != 1) | (np.diff(shards) != 0)) + 1
        for low, high in pairwise([0, *breaks.tolist(), wanted.size] if wanted.size else []):
            shard, start = int(shards[low]), int(positions[low])
            part = self._values(shard, dataset, slice(start, start + high - low))
            images[order[low:high]] = part
        return images

    def name(self, index: int) -> str:
        """Return where image ``index`` comes from: file, and position in it."""
        shard = int(np.searchsorted(self._starts, index, side="right")) - 1
        return f"{self.files[shard]}[{index - int(self._starts[shard])}]"

    def close(self) -> None:
        """Close the files; a later read opens them again."""
        handles, self._handles = self._handles, {}
        for shard, handle in handles.items():
            with _damage_named(self.files[shard], "damaged HDF5 file"):
                handle.close()

    def _values(self, shard: int, name: str, rows: slice = slice(None)) -> NDArray[Any]:
        """Read rows of a dataset of one file."""
        with _damage_named(self.files[shard], f"/{name}: damaged"):
            values: NDArray[Any] = self._handle(shard)[name][rows]
        return values

    def _handle(self, shard: int) -> h5py.File:
        if self._owner != os.getpid() or len(self._handles) >= _MAX_OPEN_FILES:
            # Those of the parent are not ours to close, nor those that another thread reads by.
            self._handles, self._owner = {}, os.getpid()
        handles = self._handles
        if shard not in handles:
            handles[shard] = _open(self.files[shard])
        return handles[shard]


def validate_store(path: str | os.PathLike[str]) -> None:
    """Check a lens set against the specification, down to every pixel.

    Raises:
        GravLensError: At the first breach; the message names file and field.
    """
    with LensStore(path) as store:
        for name, values in store.parameters.items():
            if np.isinf(values).any():
                k = int(np.argmax(np.isinf(values)))
                raise GravLensError(f"{path}: /parameters/{name}: image {k} has an infinite value")
        readers = {"images": store.read}
        if store.has_noise_free:
            readers[NOISE_FREE] = store.read_noise_free
        for name, read in readers.items():
            for where in store.slices():
                bad = ~np.isfinite(read(where)).all(axis=(1, 2, 3))
                if bad.any():
                    k = where.start + int(np.argmax(bad))
                    raise GravLensError(
                        f"{path}: /{name}: image {k} has a value that is not finite"
                    )


def _shard_paths(path: Path) -> list[Path]:
    if not path.exists():
        raise GravLensError(f"{path}: no such file or folder")
    if not path.is_dir():
        return [path]
    shards = [file for file in path.iterdir() if file.suffix.lower() in SHARD_SUFFIXES]
    shards = [file for file in shards if not file.name.startswith(".")]
    if not shards:
        raise GravLensError(f"{path}: holds no {' or '.join(SHARD_SUFFIXES)} file")
    return sorted(shards, key=lambda file: natural_key(file.name))


def _open(path: Path) -> h5py.File:
    if not path.is_file():
        raise GravLensError(f"{path}: is not a regular file")
    if path.stat().st_size == 0:
        raise GravLensError(f"{path}: is empty")
    return h5py.File(path, "r")


def _open_layout(path: Path) -> FileLayout:
    with _damage_named(path, "damaged HDF5 file"), _open(path) as file:
        return read_layout(file)


@contextmanager
def _damage_named(path: Path, what: str) -> Iterator[None]:
    """Tell the damage that HDF5 finds in a file, as it is read or closed, in any way, with what is damaged."""
    try:
        yield
    except (GravLensError, MemoryError):
        raise
    except Exception as error:
        raise GravLensError(f"{path}: {what}: {error!s:.100}") from error


def _joint_header(paths: Sequence[Path], layouts: Sequence[FileLayout]) -> SetHeader:
    """Return the header of all shards, which must agree in what pixels and labels mean."""
    first = layouts[0].header
    units: dict[str, str] = {}
    for path, layout in zip(paths, layouts, strict=True):
        _, other = told_apart((path, paths[0]))
        if layout.image_shape != layouts[0].image_shape:
            raise GravLensError(
                f"{path}: /images: shape {layout.image_shape} differs from "
                f"{layouts[0].image_shape} in {other}"
            )
        for name in ("class_names", "pixel_scale_arcsec", "flux_unit", "resize"):
            if getattr(layout.header, name) != getattr(first, name):
                raise GravLensError(
                    f"{path}: {name}: {getattr(layout.header, name)!r} differs from "
                    f"{getattr(first, name)!r} in {other}"
                )
        for name, unit in layout.header.parameter_units.items():
            if units.setdefault(name, unit) != unit:
                raise GravLensError(
                    f"{path}: /parameters/{name}: unit {unit!r} differs from {units[name]!r}"
                )
    same: dict[str, Any] = {}
    unknowns = {"preset": None, "config": "", "seed": None, "software": "", "request": None}
    for name, unknown in unknowns.items():
        values = {getattr(layout.header, name) for layout in layouts}
        same[name] = values.pop() if len(values) == 1 else unknown
    fillings = dict.fromkeys(each for layout in layouts for each in layout.header.fillings)
    return replace(
        first, parameter_units=dict(sorted(units.items())), fillings=tuple(fillings), **same
    )
