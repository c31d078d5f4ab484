"""Images from `.npy` files: one image or a stack of them, and DeepLense's object arrays."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.errors import BadImageError
from gravlensdiffusion.formats.image import (
    Facts,
    are_channels,
    as_image,
    check_dtype,
    image_shape,
    of_type,
)
from gravlensdiffusion.untrusted import (
    MAX_OBJECT_BYTES,
    NpyHeader,
    check_unpacked,
    held_bytes,
    read_header,
    read_object_array,
)

MASS_NAME = "axion_mass"
MASS_UNIT = "eV"
AS_ARRAY = (
    "if you trust it, np.save('images.npy', np.stack([a[0] for a in np.load('FILE', "
    "allow_pickle=True)])) makes a set of the images in it"
)


class NpyReader:
    """Reads `.npy` files through a memory map.

    Args:
        is_alone: Whether the file is the whole set: ``(N, H, W)`` of few planes are images then, and
            channels of one image in a folder.
        allow_object_arrays: Whether pickled object arrays ``[image, mass]`` are read.
    """

    def __init__(self, *, is_alone: bool, allow_object_arrays: bool) -> None:
        self.is_alone = is_alone
        self.allow_object_arrays = allow_object_arrays

    def images(self, path: Path) -> Iterator[tuple[NDArray[np.generic], Facts]]:
        """Yield the images of a file in order."""
        header = _header(path)
        if header.dtype.hasobject:
            yield self._read_objects(path, header)
            return
        stack = self._stack(path, header)
        facts = Facts(is_stacked=len(stack) > 1, taken=_doubtful(header.shape, len(stack)))
        facts = of_type(facts, stack.dtype)
        for pixels in stack:
            yield as_image(pixels), facts

    def pixels(self, path: Path, index: int) -> NDArray[np.generic]:
        """Return one image of a file."""
        header = _header(path)
        if header.dtype.hasobject:
            return self._read_objects(path, header)[0]
        return as_image(self._stack(path, header)[index])

    def _stack(self, path: Path, header: NpyHeader) -> NDArray[np.generic]:
        shape = header.shape
        are_bands = not self.is_alone and len(shape) == 3 and are_channels(shape[0], shape[1:])
        if are_bands or not is_stack(shape):
            shape = (1, *shape)
        check_stack(header, shape, path.stat().st_size)
        check_unpacked(header.num_bytes, held_bytes(path))
        mapped = np.memmap(
            path,
            header.dtype,
            mode="r",
            offset=header.offset,
            shape=header.shape,
            order="F" if header.is_fortran else "C",
        )
        return mapped.reshape(shape)

    def _read_objects(self, path: Path, header: NpyHeader) -> tuple[NDArray[np.generic], Facts]:
        if not self.allow_object_arrays:
            raise BadImageError(
                "is a pickled object array, and loading a pickle can run any code; "
                "`allow_object_arrays` reads DeepLense's [image, mass] without running any"
            )
        if path.stat().st_size > MAX_OBJECT_BYTES:
            raise BadImageError("is a pickled object array of absurd size")
        elements = read_object_array(path.read_bytes()[header.offset :])
        kinds = [isinstance(element, float) for element in elements]
        if kinds not in ([False], [False, True]):
            raise BadImageError(f"has an object array that is not [image, mass]; {AS_ARRAY}")
        parameters = {MASS_NAME: elements[1]} if len(elements) > 1 else {}
        if not all(np.isfinite(value) for value in parameters.values()):
            raise BadImageError("has a mass that is not finite")
        units = dict.fromkeys(parameters, MASS_UNIT)
        facts = of_type(Facts(parameters=parameters, parameter_units=units), elements[0].dtype)
        return as_image(elements[0]), facts


def is_stack(shape: tuple[int, ...]) -> bool:
    """Return whether a declared shape is that of several images.

    It has four axes, or three of which the last is not that of channels: ``(N, H, W)``.
    """
    return len(shape) == 4 or (len(shape) == 3 and not are_channels(shape[2], shape[:2]))


def _doubtful(shape: tuple[int, ...], num: int) -> str:
    """Say how three planes, which may be images or colours, were taken; empty for any other number."""
    if len(shape) != 3 or num != 3 or not are_channels(num, shape[1:]):
        return ""
    return (
        f"an array of shape {shape}, taken as {num} images; of shape {(1, *shape)}, or in a folder, it "
        f"is one image of {num} channels"
    )


def check_stack(header: NpyHeader, shape: tuple[int, ...], size: int) -> None:
    """Refuse a declared stack that cannot hold images.

    Args:
        header: What the file declares.
        shape: Its shape, read as ``(N, ...)``.
        size: What the file holds, header and data [bytes].

    Raises:
        BadImageError: If it is empty or cut off, its images too large, or its values no real numbers.
    """
    check_dtype(header.dtype)
    if shape[0] == 0:
        raise BadImageError("is empty: it holds no image")
    image_shape(shape[1:])
    present = size - header.offset
    if present < header.num_bytes:
        raise BadImageError(f"is truncated: {present} of {header.num_bytes} bytes of data")


def _header(path: Path) -> NpyHeader:
    with path.open("rb") as stream:
        return read_header(stream)
