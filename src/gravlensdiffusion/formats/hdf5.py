"""Images from HDF5 files of others: `arrays` says which data set is which, or `lenstronomy` does."""

import math
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.errors import BadImageError
from gravlensdiffusion.formats.arrays import (
    CLASS_NAMES,
    MAX_LABEL_BYTES,
    ArrayChoice,
    Arrays,
    facts_of_images,
)
from gravlensdiffusion.formats.image import Facts, as_image, check_dtype, image_shape, of_type
from gravlensdiffusion.formats.lenstronomy import LenstronomyReader, is_lenstronomy
from gravlensdiffusion.formats.npy import is_stack
from gravlensdiffusion.store.trial import check_storage, hdf5_verdict, read_pixels
from gravlensdiffusion.untrusted import refuse_bad

JUDGE = f"{__name__}:judge"
MAX_ARRAYS = 1000
MAX_DEPTH = 8
"""Groups in groups that are still looked into."""
BLOCK_BYTES = 2**24
"""Images that are read at a time, and chunks that are kept."""


class Hdf5Reader:
    """Reads HDF5 files of any layout, one block of images in memory at a time.

    Every file is tried out in another process first; the one that was read last stays open.

    Args:
        choice: What the user chooses where files hold several arrays.
    """

    def __init__(self, choice: ArrayChoice | None = None) -> None:
        self.choice = choice or ArrayChoice()
        self._lenstronomy = LenstronomyReader()
        self._kept: tuple[Path, int, h5py.Dataset] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": None}

    def images(self, path: Path) -> Iterator[tuple[NDArray[np.generic], Facts]]:
        """Yield the images of a file in order."""
        if self._has_known_names(path):
            yield from self._lenstronomy.images(path)
            return
        refuse_bad(path, JUDGE, self.choice.dataset, self.choice.labels)
        with h5py.File(path, "r") as file:
            arrays = _choose(file, self.choice)
            images = file[arrays.images]
            num = _num_images(images)
            every = facts_of_images(arrays, partial(_read, file), num)
            for pixels, facts in zip(_walk(images), every, strict=True):
                yield as_image(pixels), of_type(facts, images.dtype)

    def pixels(self, path: Path, index: int) -> NDArray[np.generic]:
        """Return one image of a file."""
        if self._has_known_names(path):
            return self._lenstronomy.pixels(path, index)
        if self._kept is None or self._kept[:2] != (path, os.getpid()):
            file = h5py.File(path, "r", rdcc_nbytes=BLOCK_BYTES)
            self._kept = (path, os.getpid(), file[_choose(file, self.choice).images])
        images = self._kept[2]
        return as_image(images[index] if is_stack(images.shape) else images[()])

    def _has_known_names(self, path: Path) -> bool:
        return self.choice == ArrayChoice() and is_lenstronomy(path)


def _choose(file: h5py.File, choice: ArrayChoice) -> Arrays:
    """Return which arrays count, of those that lie in the file itself."""
    names = list(_names(file, "", MAX_DEPTH))
    return choice.among(names, lambda name: tuple(file[name].shape or ()))


def _names(group: h5py.Group, prefix: str, depth: int) -> Iterator[str]:
    """Yield the arrays of a group and of those in it, without following a link."""
    if len(group) > MAX_ARRAYS:
        raise BadImageError(f"holds over {MAX_ARRAYS} arrays in a group")
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            continue
        found = group[name]
        if isinstance(found, h5py.Group) and depth:
            yield from _names(found, f"{prefix}{name}/", depth - 1)
        elif isinstance(found, h5py.Dataset) and not (found.is_virtual or found.external):
            yield f"{prefix}{name}"


def _num_images(images: h5py.Dataset) -> int:
    """Return the number of images in an array."""
    shape = images.shape if is_stack(images.shape) else (1, *images.shape)
    check_dtype(images.dtype)
    if not shape[0]:
        raise BadImageError("is empty: it holds no image")
    image_shape(shape[1:])
    return int(shape[0])


def _walk(images: h5py.Dataset) -> Iterator[NDArray[np.generic]]:
    """Yield the images of an array, read in blocks."""
    if not is_stack(images.shape):
        yield images[()]
        return
    block = max(1, BLOCK_BYTES // (math.prod(images.shape[1:]) * images.dtype.itemsize))
    for start in range(0, len(images), block):
        yield from images[start : start + block]


def _read(file: h5py.File, name: str) -> NDArray[np.generic] | None:
    """Return an array of classes or of their names, or None where there is none."""
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        return None
    found = file[name]
    if not isinstance(found, h5py.Dataset) or not found.shape or not found.size:
        raise BadImageError(f"has {name} that is no array of values")
    if found.size * found.dtype.itemsize > MAX_LABEL_BYTES:
        raise BadImageError(f"has {name} of the impossible shape {found.shape}")
    if found.dtype.kind not in "biufS" and h5py.check_string_dtype(found.dtype) is None:
        raise BadImageError(f"has {name} of type {found.dtype}")
    return np.asarray(found[()])


def judge(path: Path, dataset: str | None = None, labels: str | None = None) -> str | None:
    """Return what is wrong with a file, or None; called in a process of its own.

    That the user has to choose an array first is nothing wrong.
    """

    def look() -> None:
        with h5py.File(path, "r") as file:
            arrays = _choose(file, ArrayChoice(dataset=dataset, labels=labels))
            num = _num_images(file[arrays.images])
            for name in filter(None, (arrays.images, arrays.labels, CLASS_NAMES)):
                if isinstance(file.get(name), h5py.Dataset):
                    check_storage(file[name], name, path)
            facts_of_images(arrays, partial(_read, file), num)
            if is_stack(file[arrays.images].shape):
                read_pixels(file[arrays.images], arrays.images, path)
            else:
                file[arrays.images][()]

    return hdf5_verdict(path, look)
