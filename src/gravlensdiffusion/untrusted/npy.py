"""What `.npy` files hold, read without obeying them.

numpy's loader sets aside what a header declares, and runs a pickle, which is a program: loading one can
call any function. DeepLense saves axion images as object arrays ``[image, mass]``, which numpy can only
pickle. Here every instruction is checked before the first is run, and the names that numpy's own arrays
ask for stand for plain Python objects that record what they are given; arrays are then built from the
recorded bytes. Any other name ends the reading, and nothing of numpy or Python is called on the file's
behalf.
"""

import io
import math
import pickle
import pickletools
from threading import Lock
from typing import IO, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.errors import BadImageError

MAX_OBJECT_BYTES = 2**26
"""Size of a pickled object array that is still read."""
MAX_HEADER_BYTES = 2**16
"""Size of a header that is still read; numpy itself parses 10,000 bytes."""
_PARSER = Lock()
"""Python 3.11 can fail to parse literals in several threads at once (its issue 106905)."""


class NpyHeader(NamedTuple):
    """What the header of a `.npy` stream declares, and where the data begin [bytes]."""

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    order: Literal["C", "F"]
    offset: int

    @property
    def num_bytes(self) -> int:
        """Size of the declared data."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(stream: IO[bytes]) -> NpyHeader:
    """Read the header and leave the stream at the first byte of data."""
    start = stream.tell()
    try:
        version = np.lib.format.read_magic(stream)
        _check_length(stream, version)
        readers = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        if version not in readers:
            raise BadImageError(f"has .npy version {version}, allowed are (1, 0) and (2, 0)")
        with _PARSER:
            shape, is_fortran, dtype = readers[version](stream)
    except BadImageError:
        raise
    # The header is a Python literal: a damaged one fails in the parser in many ways.
    except Exception as error:
        raise BadImageError("is no readable .npy file (damaged or missing header)") from error
    if any(isinstance(side, bool) or side < 0 for side in shape):
        raise BadImageError(f"declares the impossible shape {shape}")
    return NpyHeader(tuple(shape), dtype, "F" if is_fortran else "C", stream.tell() - start)


def _check_length(stream: IO[bytes], version: tuple[int, int]) -> None:
    """Refuse a long header before it is read, and leave the stream where it was."""
    place = stream.tell()
    length = int.from_bytes(stream.read(2 if version == (1, 0) else 4), "little")
    if length > MAX_HEADER_BYTES:
        raise BadImageError(f"has a header of {length} bytes, allowed are {MAX_HEADER_BYTES}")
    stream.seek(place)


_ALLOWED_OPCODES = frozenset(
    {
        *("PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "BININT"),
        *("BININT1", "BININT2", "LONG1", "BINFLOAT", "SHORT_BINUNICODE", "BINUNICODE"),
        *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "SHORT_BINSTRING", "BINSTRING"),
        *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "APPEND"),
        *("APPENDS", "EMPTY_DICT", "BINGET", "LONG_BINGET", "BINPUT", "LONG_BINPUT"),
        *("MEMOIZE", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"),
    }
)
_MAX_OPCODES = 10_000
_STAND_INS = {("numpy", "ndarray"): "ndarray", ("numpy", "dtype"): "dtype"} | {
    (place, name): stand_in
    for place in ("numpy.core.multiarray", "numpy._core.multiarray")
    for name, stand_in in (("_reconstruct", "array"), ("scalar", "scalar"))
}
"""What the names that numpy's arrays ask for become; see `_kind`."""


class _Recorded:
    """Stands for an object of numpy: keeps what it is made from and its state."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


def read_object_array(pickled: bytes) -> list[Any]:
    """Return the elements of a one-dimensional object array, pickled as `numpy.save` does after its header.

    Returns:
        The elements: numbers, and arrays of numbers.

    Raises:
        BadImageError: If the pickle holds anything else, or asks for any name but those of numpy's
            own arrays.
    """
    try:
        _check_opcodes(pickled)
        array = _Unpickler(io.BytesIO(pickled), encoding="latin1").load()
        return [_value(element) for element in _elements(array)]
    except BadImageError:
        raise
    # A damaged pickle fails in as many ways as there are instructions.
    except Exception as error:
        raise BadImageError(f"has a damaged pickle ({type(error).__name__})") from error


class _Unpickler(pickle.Unpickler):
    """Resolves the names of numpy's arrays to recorders, and no others."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STAND_INS:
            raise _refusal(f"{module}.{name}")
        # Made afresh each time: what a pickle does to it is forgotten with it.
        return type(_STAND_INS[module, name], (_Recorded,), {})


def _refusal(name: str) -> BadImageError:
    return BadImageError(
        f"has a pickle that asks for {name!r:.80}, which is not numpy's; refused unread"
    )


def _check_opcodes(pickled: bytes) -> None:
    """Refuse a pickle by its instructions alone, before any of them is run."""
    for number, (opcode, argument, _) in enumerate(pickletools.genops(pickled)):
        if opcode.name not in _ALLOWED_OPCODES or number > _MAX_OPCODES:
            raise BadImageError(
                f"has a pickle with the instruction {opcode.name} at step {number}, "
                "which no array of images and masses needs; refused unread"
            )
        # A slot number is also a size of memory to set aside.
        if opcode.name in ("BINPUT", "LONG_BINPUT") and int(argument or 0) > _MAX_OPCODES:
            raise BadImageError("has a damaged pickle (absurd memory slot)")
        if opcode.name == "GLOBAL":
            module, _, name = str(argument).partition(" ")
            if module.split(".")[0] != "numpy":
                raise _refusal(f"{module}.{name}")


def _kind(value: Any) -> str:
    return type(value).__name__ if isinstance(value, _Recorded) else ""


def _elements(array: Any) -> list[Any]:
    """Return the elements of the outer array."""
    if _kind(array) != "array":
        raise BadImageError("has a pickle that is no array")
    _, shape, dtype, _, elements = array.state
    if _dtype(dtype) != np.dtype(object) or not isinstance(elements, list):
        raise BadImageError("has a pickle that is no object array")
    if shape != (len(elements),):
        raise BadImageError(f"has an object array of shape {shape!r:.40}, expected (2,)")
    return elements


def _value(element: Any) -> float | NDArray[np.generic]:
    """Return a number or an array of numbers."""
    if isinstance(element, (int, float)):
        return float(element)
    if _kind(element) == "scalar":
        dtype, raw = element.arguments
        return float(np.frombuffer(_bytes(raw), _number_dtype(dtype), count=1)[0])
    if _kind(element) == "array":
        _, shape, dtype, is_fortran, raw = element.state
        flat = np.frombuffer(_bytes(raw), _number_dtype(dtype))
        return flat.reshape(shape, order="F" if is_fortran else "C")
    raise BadImageError("has an object array of other things than an image and a mass")


def _bytes(raw: Any) -> bytes:
    # Python 2 pickled bytes as text.
    return raw.encode("latin1") if isinstance(raw, str) else bytes(memoryview(raw))


def _number_dtype(dtype: Any) -> np.dtype[Any]:
    kind = _dtype(dtype)
    if kind.kind not in "iuf":
        raise BadImageError(f"has an object array with values of type {kind}")
    return kind


def _dtype(dtype: Any) -> np.dtype[Any]:
    """Return the dtype that a pickle describes, from its two letters and its byte order."""
    if _kind(dtype) != "dtype":
        raise BadImageError("has a damaged pickle (no dtype)")
    code = dtype.arguments[0]
    if not isinstance(code, str) or code[:1] not in "iufO" or not code[1:].isdigit():
        raise BadImageError(f"has an object array with values of type {code!r:.40}")
    kind = np.dtype(object) if code[0] == "O" else np.dtype(code)
    order = dtype.state[1] if dtype.state else "="
    if kind.kind == "O" or order not in ("<", ">"):
        return kind
    return np.dtype(order + code)
