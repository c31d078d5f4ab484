"""What a `.npy` stream declares, read without numpy's loader, which would obey it."""

import math
from dataclasses import dataclass
from typing import IO

import numpy as np

from gravlensdiffusion.errors import BadImageError

MAX_OBJECT_BYTES = 2**26
"""Size of a pickled object array that is still read."""
MAX_HEADER_BYTES = 2**16
"""Size of a header that is still read; numpy itself parses 10,000 bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NpyHeader:
    """The header of a `.npy` stream.

    Attributes:
        shape: Declared shape.
        dtype: Declared dtype.
        is_fortran: Whether the first axis varies fastest.
        offset: Where the data begin [bytes].
    """

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    is_fortran: bool
    offset: int

    @property
    def num_bytes(self) -> int:
        """Size of the declared data."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(stream: IO[bytes]) -> NpyHeader:
    """Read the header and leave the stream at the first byte of data.

    Raises:
        BadImageError: If it is no `.npy` stream.
    """
    start = stream.tell()
    try:
        version = np.lib.format.read_magic(stream)
        _check_length(stream, version)
        if version == (1, 0):
            shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        elif version == (2, 0):
            shape, is_fortran, dtype = np.lib.format.read_array_header_2_0(stream)
        else:
            raise BadImageError(f"has .npy version {version}, allowed are (1, 0) and (2, 0)")
    except BadImageError:
        raise
    # The header is a Python literal: a damaged one fails in the parser in many ways.
    except Exception as error:
        raise BadImageError("is no readable .npy file (damaged or missing header)") from error
    if any(isinstance(side, bool) or side < 0 for side in shape):
        raise BadImageError(f"declares the impossible shape {shape}")
    return NpyHeader(
        shape=tuple(shape), dtype=dtype, is_fortran=is_fortran, offset=stream.tell() - start
    )


def _check_length(stream: IO[bytes], version: tuple[int, int]) -> None:
    """Refuse a long header before it is read, and leave the stream where it was."""
    place = stream.tell()
    length = int.from_bytes(stream.read(2 if version == (1, 0) else 4), "little")
    if length > MAX_HEADER_BYTES:
        raise BadImageError(f"has a header of {length} bytes, allowed are {MAX_HEADER_BYTES}")
    stream.seek(place)
