"""Images from `.npy` files, DeepLense's object arrays among them, and from `.npz` archives with optional labels."""

import math
import struct
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.errors import BadImageError
from gravlensdiffusion.formats.arrays import MAX_LABEL_BYTES, ArrayChoice, Arrays, facts_of_images
from gravlensdiffusion.formats.image import (
    Facts,
    are_channels,
    as_image,
    check_dtype,
    image_shape,
    of_type,
)
from gravlensdiffusion.untrusted.npy import (
    MAX_OBJECT_BYTES,
    NpyHeader,
    read_header,
    read_object_array,
)
from gravlensdiffusion.untrusted.probe import check_unpacked, held_bytes, readable

AS_ARRAY = (
    "if you trust it, np.save('images.npy', np.stack([a[0] for a in np.load('FILE', "
    "allow_pickle=True)])) makes a set of the images in it"
)

MAX_COMPRESSED_BYTES = 2**33
"""Size up to which a compressed stack is unpacked into memory."""
_LOCAL_HEADER = 30
_ENCRYPTED = 1


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
        _check_stack(header, shape, path.stat().st_size)
        check_unpacked(header.num_bytes, held_bytes(path))
        return _mapped(path, header, header.offset).reshape(shape)

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
        parameters = {"axion_mass": elements[1]} if len(elements) > 1 else {}
        if not all(np.isfinite(value) for value in parameters.values()):
            raise BadImageError("has a mass that is not finite")
        units = dict.fromkeys(parameters, "eV")
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


def _check_stack(header: NpyHeader, shape: tuple[int, ...], size: int) -> None:
    """Refuse a stack, declared as ``(N, ...)``, that a file of a size [bytes] cannot hold, or that is none of images."""
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


def _mapped(path: Path, header: NpyHeader, offset: int) -> NDArray[np.generic]:
    """Return the array of a header whose data begin somewhere in a file [bytes]."""
    return np.memmap(path, header.dtype, "r", offset, header.shape, header.order)


class NpzReader:
    """Reads `.npz` archives; what is not compressed is mapped, the rest unpacked once.

    The stack that was read last is kept, because a compressed one can only be read from its start.
    """

    def __init__(self, choice: ArrayChoice) -> None:
        self.choice = choice
        self._kept: tuple[Path, NDArray[np.generic]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"choice": self.choice, "_kept": None}

    def images(self, path: Path) -> Iterator[tuple[NDArray[np.generic], Facts]]:
        """Yield the images of an archive in order, one in memory at a time."""
        with readable(".npz archive"), zipfile.ZipFile(path) as archive:
            arrays, member = _find(archive, self.choice)
            with archive.open(member) as stream:
                header, shape = _stack_header(stream, member)
                check_unpacked(4 * math.prod(shape), _held(archive, member))
                read = partial(_read_vector, archive)
                for facts in facts_of_images(arrays, read, shape[0]):
                    pixels = as_image(_unpacked(stream, header, shape[1:]))
                    yield pixels, of_type(facts, header.dtype)
                # Reading to the end also checks the member's checksum.
                if stream.read(1):
                    raise BadImageError("has bytes after its images")

    def pixels(self, path: Path, index: int) -> NDArray[np.generic]:
        """Return one image of an archive."""
        kept = self._kept  # which other threads may replace
        if kept is None or kept[0] != path:
            self._kept = kept = (path, _load(path, self.choice))
        return as_image(kept[1][index])


def _load(path: Path, choice: ArrayChoice) -> NDArray[np.generic]:
    with readable(".npz archive"), zipfile.ZipFile(path) as archive:
        _, member = _find(archive, choice)
        with archive.open(member) as stream:
            header, shape = _stack_header(stream, member)
            if member.compress_type != zipfile.ZIP_STORED:
                return _unpacked(stream, header, header.shape).reshape(shape)
    with path.open("rb") as file:
        file.seek(member.header_offset + _LOCAL_HEADER - 4)
        name, extra = struct.unpack("<HH", file.read(4))
    start = member.header_offset + _LOCAL_HEADER + name + extra
    return _mapped(path, header, start + header.offset).reshape(shape)


def _find(archive: zipfile.ZipFile, choice: ArrayChoice) -> tuple[Arrays, zipfile.ZipInfo]:
    """Return the arrays that count, and the member that holds the images."""
    members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}

    def shape(name: str) -> tuple[int, ...]:
        try:
            with readable("array"), archive.open(_checked(archive, members[name])) as stream:
                return read_header(stream).shape
        except BadImageError:
            return ()

    arrays = choice.among(members, shape)
    return arrays, _checked(archive, members[arrays.images])


def _checked(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> zipfile.ZipInfo:
    """Refuse a member that cannot be read, or that would unpack to far more than it holds."""
    if member.flag_bits & _ENCRYPTED:
        raise BadImageError("is encrypted")
    # No more is ever unpacked than the archive's list of members declares.
    check_unpacked(member.file_size, _held(archive, member))
    return member


def _held(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> int:
    return min(member.compress_size, held_bytes(Path(str(archive.filename))))


def _stack_header(stream: IO[bytes], member: zipfile.ZipInfo) -> tuple[NpyHeader, tuple[int, ...]]:
    """Return the header and the shape ``(N, ...)`` of the images."""
    header = read_header(stream)
    shape = header.shape
    if not is_stack(shape):
        shape = (1, *shape)
    if header.order == "F" and len(header.shape) > 2:
        raise BadImageError("keeps its images in Fortran order; save them in C order")
    is_compressed = member.compress_type != zipfile.ZIP_STORED
    if is_compressed and header.num_bytes > MAX_COMPRESSED_BYTES:
        raise BadImageError(
            f"unpacks to {header.num_bytes} bytes, more than the limit of {MAX_COMPRESSED_BYTES}; "
            "save it without compression"
        )
    _check_stack(header, shape, member.file_size)
    return header, shape


def _unpacked(stream: IO[bytes], header: NpyHeader, shape: tuple[int, ...]) -> NDArray[np.generic]:
    """Return the next array of a shape, of the type and order of a header."""
    size = math.prod(shape) * header.dtype.itemsize
    data = stream.read(size)
    if len(data) < size:
        raise BadImageError(f"is truncated: {len(data)} of {size} bytes of data")
    return np.frombuffer(data, header.dtype).reshape(shape, order=header.order)


def _read_vector(archive: zipfile.ZipFile, name: str) -> NDArray[np.generic] | None:
    members = [m for m in archive.infolist() if m.filename.removesuffix(".npy") == name]
    if not members:
        return None
    with archive.open(_checked(archive, members[0])) as stream:
        header = read_header(stream)
        if header.dtype.hasobject or header.dtype.kind not in "biuUSf":
            raise BadImageError(f"has {name} of type {header.dtype}")
        if header.num_bytes > MAX_LABEL_BYTES or math.prod(header.shape) == 0:
            raise BadImageError(f"has {name} of the impossible shape {header.shape}")
        return _unpacked(stream, header, header.shape)
