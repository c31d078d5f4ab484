"""Hostile .npy and .npz files."""

import io
import pickle
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.formats.contents import npy_bytes, npz_bytes, zip_bytes
from tests.hostile.bases import deeplense
from tests.hostile.crafted import Content, Crafted, Runs, crafted, sparse
from tests.sets.files import lens_images


def array_files() -> list[Crafted]:
    """Return all of them."""
    return [
        *crafted("npy", "set", "a.npy", dict(_headers())),
        *crafted("npy", "set", "a.npy", {f"{k}, not allowed": v for k, v in _pickles()}),
        *crafted("npy", "objects", "a.npy", dict(_pickles())),
        *crafted("npz", "set", "a.npz", dict(_archives())),
        Crafted("npy", "100 GB that are a hole", "set", _sparse_stack),
        Crafted("npy", "a header of 4 GB that is a hole", "set", _sparse_header),
        Crafted("npz", "100 GB that are a hole", "set", _sparse_archive),
    ]


def header(text: str, data: bytes = b"", version: int = 1) -> bytes:
    """Return a .npy file with any text for a header."""
    width = 2 if version == 1 else 4
    raw = text.encode("latin1") + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + len(raw).to_bytes(width, "little") + raw + data


def described(descr: str, shape: str, data: bytes = bytes(4096)) -> bytes:
    """Return a .npy file that declares what it likes."""
    return header(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}", data)


def _headers() -> Iterator[tuple[str, bytes]]:
    for shape in (
        "(100000, 100000)",
        "(12500000000,)",
        "(10**6, 100, 100)",
        f"({10**30}, 8)",
        "(-1, 8)",
        "(True, 8, 8)",
        "(8.0, 8)",
        "()",
        "(0, 8, 8)",
        "8",
        "None",
        "(" * 90 + ")" * 90,
        "(" * 4000 + ")" * 4000,
        "(8, " * 300 + "8" + ")" * 300,
        "(2, 2, 2, 2, 2, 2)",
        f"({'1, ' * 70})",
        "__import__('os').system('touch $GRAVLENS_TEST_MARKER_FOLDER/marker')",
        "(9**9**9, 8)",
        "[8, 8]",
        "(4096, 1)",
        "(1, 2, 2, 1)",
    ):
        yield f"shape {shape:.60}", described("'<f4'", shape)
    for descr in (
        "'|V2000000000'",
        "'<M8[ns]'",
        "'<U1000000'",
        "'O'",
        "'<f16'",
        "'<c32'",
        "'<f4,<f4'",
        "[('x', '<f4', (100000, 100000))]",
        "('<f4', (1000000,))",
        "[('a', 'O')]",
        "'<f3'",
        "'nonsense'",
        "'|b1'",
        "3",
        "[" * 90 + "]" * 90,
        "'<f8\\x00'",
        "'=f4'",
    ):
        yield f"type {descr:.60}", described(descr, "(8, 8)")
    yield "no header", b"\x93NUMPY\x01\x00\x00\x00"
    yield "a header of 4 GB", b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + bytes(100)
    yield "unknown keys", header("{'descr': '<f4', 'shape': (8, 8), 'evil': 1}", bytes(256))
    yield "keys twice", header("{'descr': '<f4', 'fortran_order': 1, 'shape': (8, 8)}", bytes(256))
    yield "bytes that are no letters", header("\xff\x00\x1b[31m", bytes(256))
    yield "numbers that are all huge", described("'>f8'", "(8, 8)", b"\x7f\xef" + b"\xff" * 600)


def object_array(pickled: bytes, shape: str = "(2,)") -> bytes:
    """Return a .npy file of an object array with any pickle."""
    return described("'|O'", shape, pickled)


def _pickles() -> Iterator[tuple[str, bytes]]:
    runs = np.empty(2, dtype=object)
    runs[:] = [lens_images(1)[0], Runs()]
    yield "a pickle in an array that runs code", npy_bytes(runs)
    for protocol in range(6):
        code = pickle.dumps(Runs(), protocol)
        yield f"a pickle of protocol {protocol} that runs code", object_array(code)
    for name in (
        "builtins.eval",
        "os.system",
        "numpy.load",
        "numpy.f2py.compile",
        "subprocess.run",
    ):
        module, _, what = name.rpartition(".")
        code = b"c%b\n%b\n(S'touch $GRAVLENS_TEST_MARKER_FOLDER/marker'\ntR." % (
            module.encode(),
            what.encode(),
        )
        yield f"a pickle that calls {name}", object_array(code)
    good = npy_bytes(deeplense())
    yield (
        "a pickle of numbers that asks for 100 GB",
        object_array(b"\x80\x02cnumpy\nndarray\n(K\x00J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x87tR."),
    )
    yield (
        "a pickle that asks for bytes of 100 GB",
        object_array(b"\x80\x04\x8e" + (10**11).to_bytes(8, "little") + bytes(64)),
    )
    yield (
        "a pickle that is a list within lists",
        object_array(b"\x80\x02" + b"]" * 9000 + b"a" * 8999 + b"."),
    )
    yield "a pickle with a memory slot at 2^31", object_array(b"\x80\x02]r\xff\xff\xff\x7f.")
    yield "a pickle that goes on", good + bytes(1000)
    yield "a pickle that declares another shape", good.replace(b"(2,)", b"(9,)")
    yield "a pickle that stops at once", object_array(b".")
    yield "no pickle", object_array(b"")


def _packed(zeros: dict[str, tuple[str, str, int]], **others: bytes) -> bytes:
    """Return an archive of arrays of zeros, each of some type, shape and number of bytes."""
    arrays = {name: described(*head, b"") + bytes(num) for name, (*head, num) in zeros.items()}
    whole = {f"{name}.npy": content for name, content in others.items()} | arrays
    return zip_bytes(whole, zipfile.ZIP_DEFLATED)


def _archives() -> Iterator[tuple[str, Content]]:
    stack = npy_bytes(lens_images(3))
    zeros = ("'<f4'", "(1, 8000, 8000)", 4 * 8000 * 8000)
    many = ("'<f4'", "(70000, 32, 32)", 4 * 70000 * 1024)
    labels = ("'<U1000'", "(60000,)", 4 * 1000 * 60000)
    yield "a plane of zeros packed by a factor of 1000", lambda: _packed({"images.npy": zeros})
    yield "a stack of zeros packed by a factor of 1000", lambda: _packed({"images.npy": many})
    yield (
        "labels packed by a factor of 1000",
        lambda: _packed({"labels.npy": labels}, images=stack),
    )
    yield (
        "a million classes",
        lambda: npz_bytes(
            compress=True, images=lens_images(2), class_names=np.arange(10**6).astype("U7")
        ),
    )
    whole = zip_bytes({"images.npy": stack}, zipfile.ZIP_DEFLATED)
    place = whole.rindex(b"PK\x01\x02")
    for what, start in (("packed", 20), ("unpacked", 24), ("place", 42)):
        for number in (0, 1, 2**31, 2**32 - 1):
            changed = bytearray(whole)
            changed[place + start : place + start + 4] = number.to_bytes(4, "little")
            yield f"a member whose size or place ({what}) is {number}", bytes(changed)
    for flag, what in ((1, "encrypted"), (32, "patched"), (64, "strongly encrypted")):
        changed = bytearray(whole)
        changed[place + 8] |= flag
        yield f"a member that is {what}", bytes(changed)
    for method in (1, 9, 12, 14, 93, 99):
        changed = bytearray(whole)
        changed[place + 10] = method
        yield f"a member packed by method {method}", bytes(changed)
    for name in (
        "../../escape.npy",
        "/tmp/escape.npy",
        "a\nb\x1b[2J.npy",
        "x" * 60000 + ".npy",
    ):
        yield f"a member called {name!r:.40}", zip_bytes({name: stack, "b.npy": stack})
        yield f"the only member called {name!r:.40}", zip_bytes({name: stack})
    yield "20,000 members", lambda: zip_bytes({f"{k}.npy": b"" for k in range(20_000)})
    yield "a member twice", _twice(stack)
    yield "pickled images", npz_bytes(images=deeplense())
    yield "pickled images that run code", _archive_of(object_array(pickle.dumps(Runs())))
    yield (
        "pickled classes that run code",
        zip_bytes({"images.npy": stack, "class_names.npy": object_array(pickle.dumps(Runs()))}),
    )
    yield (
        "classes with line breaks",
        npz_bytes(images=lens_images(2), labels=[0, 1], class_names=["a\nb", "\x1b]0;evil\x07"]),
    )
    yield (
        "classes of five thousand digits",
        npz_bytes(images=lens_images(2), labels=["9" * 5000, "1" * 5000]),
    )
    yield "a name half of a letter", npz_bytes(images=lens_images(2), labels=["\ud800", "b"])
    yield "an archive within an archive", zip_bytes({"images.npy": whole})
    yield (
        "labels of no length",
        zip_bytes({"images.npy": stack, "labels.npy": described("'<U0'", "(3,)", b"")}),
    )
    yield "an empty file with an archive's end", b"PK\x05\x06" + bytes(18)
    yield "an archive of 4 GB by its end", b"PK\x05\x06" + b"\xff" * 18


def _twice(stack: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("images.npy", stack)
        archive.filelist *= 2
    return stream.getvalue()


def _archive_of(member: bytes) -> bytes:
    return zip_bytes({"images.npy": member})


def _sparse_stack(folder: Path) -> Path:
    start = described("'<f4'", "(25000000, 32, 32)", b"")
    return sparse(folder / "a.npy", start, len(start) + 25_000_000 * 4096)


def _sparse_header(folder: Path) -> Path:
    return sparse(folder / "a.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\xff", 2**32 + 100)


def _sparse_archive(folder: Path) -> Path:
    """A stored member that lies in a hole of the file."""
    member = described("'<f4'", "(500000, 32, 32)", b"")
    size = len(member) + 500_000 * 4096
    name = b"images.npy"
    sizes = size.to_bytes(4, "little") * 2
    crc = zlib.crc32(b"").to_bytes(4, "little")
    local = b"PK\x03\x04" + bytes([20, 0]) + bytes(8) + crc + sizes + b"\x0a\x00\x00\x00" + name
    central = b"PK\x01\x02" + bytes([20, 0, 20, 0]) + bytes(8) + crc + sizes
    central += b"\x0a\x00" + bytes(4 + 2 + 2 + 4 + 4) + name
    place = len(local) + size
    end = b"PK\x05\x06" + bytes(4) + b"\x01\x00\x01\x00" + len(central).to_bytes(4, "little")
    end += place.to_bytes(4, "little") + b"\x00\x00"
    path = sparse(folder / "a.npz", local + member, place)
    with path.open("ab") as stream:
        stream.write(central + end)
    return path
