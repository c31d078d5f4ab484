"""What files hold: bytes in formats that are read, some that declare what is not there, and maps of noise."""

import io
import struct
import zipfile
import zlib

import numpy as np
from PIL import Image

SIZE = 32
FLAGGED = (slice(20, 30), slice(2, 12))


def npy_bytes(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def npy_declaring(shape: tuple[int, ...], data: bytes = b"", descr: str = "<f8") -> bytes:
    """Return a .npy file that declares a shape, whatever its data."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": descr, "fortran_order": False, "shape": shape}
    )
    return stream.getvalue() + data


def npz_bytes(compress: bool = False, **arrays: object) -> bytes:
    stream = io.BytesIO()
    (np.savez_compressed if compress else np.savez)(stream, **arrays)
    return stream.getvalue()


def zip_bytes(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def picture_bytes(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format=kind, **options)
    return stream.getvalue()


def png_bytes(image: Image.Image, **options: object) -> bytes:
    return picture_bytes(image, "PNG", **options)


def chunk(name: bytes, data: bytes) -> bytes:
    """Return a PNG chunk."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    width: int, height: int, depth: int = 8, colour: int = 0, pixels: bytes = b"", *more: bytes
) -> bytes:
    """Return a PNG that declares what it likes."""
    start = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(pixels or bytes(1000), 9))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", start) + b"".join(more) + data + chunk(b"IEND", b"")
    )


def flat(level, *flagged):
    """Return noise that is everywhere the same but at flagged places."""
    noise = np.full((SIZE, SIZE), float(level))
    for place in flagged:
        noise[place] = 1e16
    return noise
