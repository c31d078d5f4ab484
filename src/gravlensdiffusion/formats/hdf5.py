"""Images from HDF5 files of others: `arrays` says which data set is which, or the names of lenstronomy do.

A file of lenstronomy holds `IMAGE`, an argument of its ``ImageData``, beside what it takes to fit the image: the
exposure time, the noise of the sky or of each pixel, and the matrix from pixels to angles [arcsec]. One with
`PSF` alone is that of an image beside it.
"""

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
from gravlensdiffusion.formats.fits_header import side_of_pixel
from gravlensdiffusion.formats.image import (
    BACKGROUND_RMS,
    EXPOSURE_TIME,
    TIME,
    USED,
    Facts,
    as_image,
    check_dtype,
    image_shape,
    of_type,
    with_maps,
)
from gravlensdiffusion.formats.npy import is_stack
from gravlensdiffusion.sets.naming import NOISE
from gravlensdiffusion.store.hdf5_file import check_storage, read_pixels, try_out
from gravlensdiffusion.store.schema import own_dataset
from gravlensdiffusion.untrusted.probe import probe_file, readable, refuse_bad

MAX_ARRAYS = 1000
MAX_DEPTH = 8
"""Groups in groups that are still looked into."""
BLOCK_BYTES = 2**24
"""Images that are read at a time, and chunks that are kept."""
IMAGE = "image_data"
PSF = "kernel_point_source"
NOISE_MAP, MASK = "noise_map", "likelihood_mask"
EXPOSURE = (EXPOSURE_TIME, "exposure_map")
"""What the exposure time is called, that of all pixels or of each."""
BESIDE = {
    **dict.fromkeys(EXPOSURE, "exposure time"),
    NOISE_MAP: "noise map",
    MASK: "mask",
    PSF: "PSF",
}
"""What lies beside an image of lenstronomy, and what it is."""
MATRIX = "transform_pix2angle"


class Hdf5Reader:
    """Reads HDF5 files of any layout, one block of images in memory at a time.

    Every file is tried out in another process first; the one that was read last stays open.
    """

    def __init__(self, choice: ArrayChoice) -> None:
        self.choice = choice
        self._kept: tuple[Path, int, h5py.Dataset] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": None}

    def images(self, path: Path) -> Iterator[tuple[NDArray[np.generic], Facts]]:
        """Yield the images of a file in order."""
        if self._has_known_names(path):
            yield _of_lenstronomy(path)
            return
        refuse_bad(path, _try_out, *self.choice)
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
            return _of_lenstronomy(path)[0]
        kept = self._kept  # which other threads may replace
        if kept is None or kept[:2] != (path, os.getpid()):
            file = h5py.File(path, "r", rdcc_nbytes=BLOCK_BYTES)
            images = file[_choose(file, self.choice).images]
            self._kept = kept = (path, os.getpid(), images)
        _, _, images = kept
        return as_image(images[index] if is_stack(images.shape) else images[()])

    def _has_known_names(self, path: Path) -> bool:
        return self.choice == ArrayChoice() and is_lenstronomy(path)


def _try_out(path: Path, *choice: str | None) -> None:
    """Do all that reading a file does, but for one of lenstronomy."""
    with readable("HDF5 file"), h5py.File(path, "r") as file:
        arrays = _choose(file, ArrayChoice(*choice))
        num = _num_images(file[arrays.images])
        for name in filter(None, (arrays.images, arrays.labels, CLASS_NAMES)):
            if isinstance(file.get(name), h5py.Dataset):
                check_storage(file[name])
        facts_of_images(arrays, partial(_read, file), num)
        if is_stack(file[arrays.images].shape):
            read_pixels(file[arrays.images])
        else:
            file[arrays.images][()]


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


def is_lenstronomy(path: Path) -> bool:
    """Return whether an HDF5 file is no set of ours, and has the names of lenstronomy."""
    is_ours = probe_file(path, try_out) is None
    return not is_ours and probe_file(path, _check_names) is None


def _check_names(path: Path) -> None:
    with h5py.File(path, "r") as file:
        if not {IMAGE, PSF} & set(file):
            raise BadImageError("has other names")


def _of_lenstronomy(path: Path) -> tuple[NDArray[np.generic], Facts]:
    """Return the image of a file with the names of lenstronomy, and what it says of it."""
    refuse_bad(path, _read_lenstronomy)
    return _read_lenstronomy(path)


def _read_lenstronomy(path: Path) -> tuple[NDArray[np.generic], Facts]:
    with readable("HDF5 file"), h5py.File(path, "r") as file:
        names = sorted(file)
        if IMAGE not in names:
            what = f"a PSF ({PSF})" if PSF in names else f"no {IMAGE}"
            raise BadImageError(f"holds {what}, and no image of a lens")
        dataset = _checked(file, IMAGE)
        image_shape(dataset.shape)
        pixels = as_image(dataset[()])
        rms = _finite(_array(file, BACKGROUND_RMS, ()))
        matrix = _finite(_array(file, MATRIX, (2, 2)))
        noise = _array(file, NOISE_MAP, dataset.shape)
        mask = _array(file, MASK)
        times = [_array(file, name, (), dataset.shape) for name in EXPOSURE]
    time = next((each for each in times if each is not None and _exposed(each).any()), None)
    parameters = {} if rms is None else {BACKGROUND_RMS: float(rms)}
    if time is not None:
        parameters[EXPOSURE_TIME] = float(np.median(time[_exposed(time)]))
    units = {BACKGROUND_RMS: "", EXPOSURE_TIME: "s"}
    used = {NOISE_MAP: noise, MASK: mask, **dict.fromkeys(EXPOSURE, time)}
    left = [name for name in BESIDE if name in names and used.get(name) is None]
    told = ", ".join(f"{name} ({BESIDE[name]})" for name in left)
    facts = Facts(
        pixel_scale_arcsec=None if matrix is None else side_of_pixel(matrix),
        parameters=parameters,
        parameter_units={name: units[name] for name in parameters},
        taken=f"of HDF5 files {IMAGE} taken, {told} left" if left else "",
        has_mask=True,
    )
    exposure = time if time is not None and time.ndim else None
    maps = {NOISE: noise, USED: mask, TIME: exposure}
    shown = {kind: as_image(values) for kind, values in maps.items() if values is not None}
    return with_maps(pixels, facts, shown)


def _checked(file: h5py.File, name: str) -> h5py.Dataset:
    """Return a data set that lies in the file as it should."""
    dataset = own_dataset(file, name)
    if name != MASK or dataset.dtype != np.bool_:
        check_dtype(dataset.dtype)
    check_storage(dataset)
    return dataset


def _exposed(time: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.isfinite(time) & (time > 0)


def _array(file: h5py.File, name: str, *shapes: tuple[int, ...]) -> NDArray[np.float64] | None:
    """Return an array, or None where the file does not hold one, or none of some shapes."""
    if name not in sorted(file):
        return None
    dataset = _checked(file, name)
    return np.asarray(dataset[()], np.float64) if not shapes or dataset.shape in shapes else None


def _finite(values: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    return values if values is not None and np.isfinite(values).all() else None
