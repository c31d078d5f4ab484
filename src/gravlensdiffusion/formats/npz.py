"""Images from `.npz` archives, with optional labels; `arrays` says which array is which."""

import math
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from lzma import LZMAError
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.errors import BadImageError
from gravlensdiffusion.formats.arrays import MAX_LABEL_BYTES, ArrayChoice, Arrays, facts_of_images
from gravlensdiffusion.formats.image import Facts, as_image, of_type
from gravlensdiffusion.formats.npy import check_stack, is_stack
from gravlensdiffusion.untrusted import NpyHeader, check_unpacked, held_bytes, read_header

MAX_COMPRESSED_BYTES = 2**33
"""Size up to which a compressed stack is unpacked into memory."""
_DAMAGE = (zipfile.BadZipFile, zlib.error, LZMAError, EOFError, RuntimeError, struct.error)
_LOCAL_HEADER = 30
_ENCRYPTED = 1


class NpzReader:
    """Reads `.npz` archives; what is not compressed is mapped, the rest unpacked once.

    The stack that was read last is kept, because a compressed one can only be read from its start.

    Args:
        choice: What the user chooses where files hold several arrays.
    """

    def __init__(self, choice: ArrayChoice | None = None) -> None:
        self.choice = choice or ArrayChoice()
        self._kept: tuple[Path, NDArray[np.generic]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"choice": self.choice, "_kept": None}

    def images(self, path: Path) -> Iterator[tuple[NDArray[np.generic], Facts]]:
        """Yield the images of an archive in order, one in memory at a time."""
        with _archive(path) as archive:
            arrays, member = _find(archive, self.choice)
            with archive.open(member) as stream:
                header, shape = _stack_header(stream, member)
                check_unpacked(4 * math.prod(shape), _held(archive, member))
                read = partial(_read_vector, archive)
                for facts in facts_of_images(arrays, read, shape[0]):
                    yield _next_image(stream, header, shape), of_type(facts, header.dtype)
                # Reading to the end also checks the member's checksum.
                if stream.read(1):
                    raise BadImageError("has bytes after its images")

    def pixels(self, path: Path, index: int) -> NDArray[np.generic]:
        """Return one image of an archive."""
        if self._kept is None or self._kept[0] != path:
            self._kept = (path, _load(path, self.choice))
        return as_image(self._kept[1][index])


def _load(path: Path, choice: ArrayChoice) -> NDArray[np.generic]:
    with _archive(path) as archive:
        _, member = _find(archive, choice)
        with archive.open(member) as stream:
            header, shape = _stack_header(stream, member)
            if member.compress_type == zipfile.ZIP_STORED:
                return _map(path, member, header, shape)
            data = bytearray(header.num_bytes)
            _read_into(stream, memoryview(data))
    return _shaped(np.frombuffer(data, header.dtype), header, shape)


def _shaped(
    flat: NDArray[np.generic], header: NpyHeader, shape: tuple[int, ...]
) -> NDArray[np.generic]:
    whole = flat.reshape(header.shape, order="F" if header.is_fortran else "C")
    return np.asarray(whole.reshape(shape))


def _map(
    path: Path, member: zipfile.ZipInfo, header: NpyHeader, shape: tuple[int, ...]
) -> NDArray[np.generic]:
    with path.open("rb") as stream:
        stream.seek(member.header_offset + _LOCAL_HEADER - 4)
        lengths = stream.read(4)
    name, extra = int.from_bytes(lengths[:2], "little"), int.from_bytes(lengths[2:], "little")
    start = member.header_offset + _LOCAL_HEADER + name + extra + header.offset
    num = math.prod(header.shape)
    mapped = np.memmap(path, header.dtype, "r", offset=start, shape=(num,))
    return _shaped(mapped, header, shape)


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except _DAMAGE as error:
        raise BadImageError(f"is a damaged .npz archive ({error!s:.100})") from error


def _find(archive: zipfile.ZipFile, choice: ArrayChoice) -> tuple[Arrays, zipfile.ZipInfo]:
    """Return the arrays that count, and the member that holds the images."""
    members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}

    def shape(name: str) -> tuple[int, ...]:
        try:
            with archive.open(_checked(archive, members[name])) as stream:
                return read_header(stream).shape
        except (BadImageError, *_DAMAGE):
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
    if header.is_fortran and len(header.shape) > 2:
        raise BadImageError("keeps its images in Fortran order; save them in C order")
    is_compressed = member.compress_type != zipfile.ZIP_STORED
    if is_compressed and header.num_bytes > MAX_COMPRESSED_BYTES:
        raise BadImageError(
            f"unpacks to {header.num_bytes} bytes, more than the limit of {MAX_COMPRESSED_BYTES}; "
            "save it without compression"
        )
    check_stack(header, shape, member.file_size)
    return header, shape


def _next_image(
    stream: IO[bytes], header: NpyHeader, shape: tuple[int, ...]
) -> NDArray[np.generic]:
    data = bytearray(math.prod(shape[1:]) * header.dtype.itemsize)
    _read_into(stream, memoryview(data))
    pixels = np.frombuffer(data, header.dtype)
    return as_image(pixels.reshape(shape[1:], order="F" if header.is_fortran else "C"))


def _read_into(stream: IO[bytes], data: memoryview) -> None:
    filled = 0
    while filled < len(data):
        part = stream.read(min(len(data) - filled, 2**20))
        if not part:
            raise BadImageError(f"is truncated: {filled} of {len(data)} bytes of data")
        data[filled : filled + len(part)] = part
        filled += len(part)


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
        data = bytearray(header.num_bytes)
        _read_into(stream, memoryview(data))
    order: Literal["F", "C"] = "F" if header.is_fortran else "C"
    flat = np.frombuffer(data, header.dtype)
    return np.asarray(np.reshape(flat, header.shape, order=order))
