"""Hostile FITS and PNG files."""

import gzip
import json
import struct
import zlib
from collections.abc import Iterator
from functools import cache

import numpy as np
from astropy.io import fits
from PIL import Image, PngImagePlugin

from tests.formats.contents import chunk, png, png_bytes
from tests.hostile.bases import GREY, IMAGE, fits_bytes
from tests.hostile.crafted import Content, Crafted, crafted, sparse
from tests.sets.files import lens_images


def image_files() -> list[Crafted]:
    """Return all of them."""
    holes = {
        "a header of 1 GB that is a hole": lambda folder: sparse(
            folder / "a.fits", cards("SIMPLE  =                    T"), 2**30
        ),
        "an extension's header of 1 GB that is a hole": lambda folder: sparse(
            folder / "a.fits", EMPTY + block("XTENSION= 'IMAGE   '", end=False), 2**30
        ),
    }
    return [
        *crafted("FITS", "set", "a.fits", dict(_fits())),
        *crafted("FITS", "set", "a.fits.gz", dict(_gzip())),
        *crafted("PNG", "set", "a.png", dict(_png())),
        *(Crafted("FITS", title, "set", build) for title, build in holes.items()),
    ]


def cards(*lines: str) -> bytes:
    """Return header cards without an end."""
    return "".join(line.ljust(80) for line in lines).encode("latin1")


def block(*lines: str, end: bool = True) -> bytes:
    """Return a whole header."""
    raw = cards(*lines, *(["END"] if end else []))
    return raw + b" " * (-len(raw) % 2880)


EMPTY = block(
    "SIMPLE  =                    T",
    "BITPIX  =                    8",
    "NAXIS   =                    0",
)


def _card(name: str, value: object) -> str:
    return f"{name:8}= {value:>20}"


def declaring(
    bitpix: object = -32, naxis: object = 2, sides: tuple[object, ...] = (16, 16), *more: str
) -> bytes:
    """Return a FITS file that declares what it likes."""
    lines = [_card("SIMPLE", "T"), _card("BITPIX", bitpix), _card("NAXIS", naxis)]
    lines += [_card(f"NAXIS{k}", side) for k, side in enumerate(sides, start=1)]
    pixels = IMAGE.astype(">f4").tobytes()
    return block(*lines, *more) + pixels + bytes(-len(pixels) % 2880)


def _fits() -> Iterator[tuple[str, bytes]]:
    for bitpix in (0, 7, -16, 128, "T", "'-32'", "1E9", 10**30):
        yield f"BITPIX {bitpix}", declaring(bitpix)
    for naxis, sides in (
        (2, (10**6, 10**5)),
        (2, (8000, 8000)),
        (2, (-16, -16)),
        (2, (0, 16)),
        (2, ("T", 16)),
        (2, (10**30, 16)),
        (999, (16, 16)),
        (999, (2,) * 999),
        (1000, (16, 16)),
        (-1, ()),
        (3, (16, 16, 10**9)),
        (2, ()),
        ("'two'", (16, 16)),
    ):
        yield f"NAXIS {naxis} of {sides!s:.30}", declaring(-32, naxis, sides)
    for more in (
        "PCOUNT  =           -100000000", "GCOUNT  =            999999999", "GROUPS  =                    T",
        "BSCALE  =              1E300", "BZERO   =                 1E400", "BLANK   = 'nothing'",
        "BSCALE  =                  0", "CDELT1  =                    0", "CDELT1  =              1E-310",
        "CDELT1  = 'evil'", "CD1_1   =                1E308", "CUNIT1  = '2**9999999999 deg'",
        "CUNIT1  = 'deg(999999999/7)'", "CUNIT1  = 'm(((((((((((((((((((('", "CUNIT1  = '10**(9**9**9) deg'",
        "CUNIT1  = '%s'" % ("(" * 60), "BUNIT   = 'a\nb\x1b[31m'", "BUNIT   = ''", "CLASS   = '\x1b]0;evil\x07'",
        "LABEL   = " + "9" * 60, "LABEL   =                1E300", "CTYPE1  = '\xff\xff'", "PIXSCALE=                1E-300",
        "HIERARCH a b c d = " + "9" * 50, "CONTINUE  'and so on'", "=" * 80, "\x00" * 80, "EXTEND  = maybe",
        "DATE    = '" + "x" * 68, "MAGZERO =                  NaN",
    ):  # fmt: skip
        extra = (_card("CDELT2", 1e-5), _card("CDELT1", 1e-5)) if "CUNIT" in more else ()
        yield f"card {more[:40]!r}", declaring(-32, 2, (16, 16), more, *extra)
    long = "".join(f"CONTINUE  '{'9' * 60}&'".ljust(80) for _ in range(100))
    yield (
        "a class of six thousand digits",
        declaring(-32, 2, (16, 16), f"CLASS   = '{'9' * 60}&'", long),
    )
    yield "a header without end", cards(_card("SIMPLE", "T"), *["COMMENT"] * 10**5)
    yield (
        "an extension's header without end",
        EMPTY + cards("XTENSION= 'IMAGE   '", *["COMMENT"] * 10**5),
    )
    yield "a header of 5 MB", block(_card("SIMPLE", "T"), *["COMMENT"] * 65_000)
    yield (
        "3,000 empty units",
        EMPTY
        + 3000
        * block(
            "XTENSION= 'IMAGE   '",
            _card("BITPIX", 8),
            _card("NAXIS", 0),
            _card("PCOUNT", 0),
            _card("GCOUNT", 1),
        ),
    )
    yield (
        "a unit of no known kind",
        EMPTY + block("XTENSION= 'EVIL    '", _card("BITPIX", 8), _card("NAXIS", 0)),
    )
    yield (
        "gzip with a header without end",
        gzip.compress(cards(_card("SIMPLE", "T"), *["COMMENT"] * 10**6)),
    )
    yield "gzip with a good image", gzip.compress(declaring())
    yield "bzip2's first letters", b"BZh9" + bytes(5000)
    yield "zip's first letters", b"PK\x03\x04" + bytes(5000)
    yield from _packed_fits()
    for num in (-1, 0, 1, 10**6, 10**12, 10**30, "T"):
        yield f"a catalogue of {num} rows", _catalogue(num)
    for name in ("../a.fits", "/dev/zero", "a.fits", "\n", "."):
        yield f"a catalogue that names {name!r}", _catalogue(1, name)


def _gzip() -> Iterator[tuple[str, Content]]:
    whole = gzip.compress(declaring())
    yield "packed, cut off", whole[: len(whole) // 2]
    yield "packed, damaged", whole[:30] + b"\xff" * 8 + whole[38:]
    bomb = cache(lambda: gzip.compress(declaring() + bytes(2**28), compresslevel=1))
    yield "packed, of 256 MB of zeros", bomb


def _catalogue(num: object, name: str = "b.fits") -> bytes:
    """Return a table of one image in another file, which declares a number of rows."""
    columns = [_card("TTYPE1", "'GAL_FILENAME'"), _card("TFORM1", "'64A'")]
    columns += [_card("TTYPE2", "'GAL_HDU '"), _card("TFORM2", "'J'")]
    sides = [_card("BITPIX", 8), _card("NAXIS", 2), _card("NAXIS1", 68), _card("NAXIS2", num)]
    sides += [_card("PCOUNT", 0), _card("GCOUNT", 1), _card("TFIELDS", 2)]
    row = name.encode().ljust(64, b"\0") + bytes(4)
    return EMPTY + block("XTENSION= 'BINTABLE'", *sides, *columns) + row.ljust(2880, b"\0")


def _packed_fits() -> Iterator[tuple[str, bytes]]:
    """Tile-compressed images whose header lies about what a tile holds."""
    for kind in ("RICE_1", "HCOMPRESS_1", "PLIO_1", "GZIP_1", "GZIP_2"):
        image = lens_images(1, size=32)[0]
        pixels = (image * 1000).astype(np.int16)
        raw = fits_bytes(fits.PrimaryHDU(), fits.CompImageHDU(pixels, compression_type=kind))
        for name, value in (
            ("ZNAXIS1", 10**6), ("ZNAXIS1", 8000), ("ZNAXIS1", -5), ("ZNAXIS", 999), ("ZTILE1", 0),
            ("ZTILE1", 10**9), ("ZTILE2", 10**9), ("ZTILE1", -1), ("ZBITPIX", 64), ("ZBITPIX", -64), ("ZBITPIX", 3),
            ("ZCMPTYPE", "'EVIL    '"), ("ZCMPTYPE", "'RICE_1  '"), ("ZCMPTYPE", "'HCOMPRESS_1'"),
            ("ZVAL1", 2**31), ("ZVAL1", 0), ("ZVAL2", 1), ("NAXIS2", 10**9), ("NAXIS1", 10**9), ("PCOUNT", 10**11), ("THEAP", 10**9),
        ):  # fmt: skip
            place = raw.find(f"{name:8}=".encode(), 2880)
            if place > 0:
                changed = raw[:place] + _card(name, value).ljust(80).encode() + raw[place + 80 :]
                yield f"{kind} with {name} {value}", changed


@cache
def _bomb() -> bytes:
    return zlib.compress(bytes(10**8), 9)


def _png() -> Iterator[tuple[str, Content]]:
    for width, height in (
        (60_000, 60_000),
        (2**31, 2**31),
        (0, 0),
        (2**32 - 1, 1),
        (64_000_000, 1),
        (3, 2),
    ):
        yield f"{width} x {height} pixels", png(width, height)
    pixels = bytearray(8001 * 8000)
    pixels[5000] = 200
    yield "64 million pixels in 60 kB", lambda: png(8000, 8000, pixels=bytes(pixels))
    yield (
        "64 million pixels in 60 kB with a stretch",
        lambda: png(
            8000,
            8000,
            8,
            0,
            bytes(pixels),
            _stated({"stretch": "asinh", "low": 0.0, "high": 1.0, "flux_unit": "e-/s"}),
        ),
    )
    yield "64 million colours", lambda: png(8000, 8000, 8, 6, bytes(8000 * 32001))
    yield "64 million bits", lambda: png(8000, 8000, 1, 0, bytes(8000 * 1001))
    for depth, colour in ((0, 0), (3, 0), (16, 2), (16, 6), (8, 5), (255, 255), (4, 3), (16, 3)):
        yield f"depth {depth}, colours {colour}", png(16, 16, depth, colour)
    grey = Image.fromarray(GREY)
    for title, card in (
        ("nothing", ""), ("deep nesting", "[" * 10**5), ("no mapping", "[1]"), ("another key", '{"evil": 1}'),
        ("a range of a thousand digits", _text(low=0, high=10**1000)), ("an endless range", _text(low=-1e308, high=1e308)),
        ("a range of text", _text(low="a", high="b")), ("no number", '{"stretch": "linear", "low": NaN, "high": 1, "flux_unit": ""}'),
        ("a class of five thousand digits", _text(class_name="9" * 5000)), ("a class with line breaks", _text(class_name="a\nb\x1b[2J")),
        ("a label of 4,000 digits", _text(label=10**4000)), ("a unit with line breaks", _text(flux_unit="a\nb\x1b[31m")),
        ("a unit of a million letters", _text(flux_unit="x" * 10**6)), ("half of a letter", _text(flux_unit="\ud800")),
        ("an endless scale", _text(pixel_scale_arcsec=1e400)), ("a list for a scale", _text(pixel_scale_arcsec=[1])),
    ):  # fmt: skip
        info = PngImagePlugin.PngInfo()
        info.add_text("gravlens", card)
        yield f"states {title}", png_bytes(grey, pnginfo=info)
    yield (
        "text packed by a factor of 1000",
        lambda: png(16, 16, 8, 0, b"", chunk(b"zTXt", b"gravlens\0\0" + _bomb())),
    )
    yield (
        "a profile packed by a factor of 1000",
        lambda: png(16, 16, 8, 0, b"", chunk(b"iCCP", b"x\0\0" + _bomb())),
    )
    yield (
        "a hundred packed texts",
        png(16, 16, 8, 0, b"", *[chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**6)))] * 100),
    )
    yield "20,000 texts", png(16, 16, 8, 0, b"", *[chunk(b"tEXt", b"a\0b")] * 20_000)
    yield "2^31 frames", png(16, 16, 8, 0, b"", chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)))
    yield (
        "a frame that lies outside",
        png(
            16,
            16,
            8,
            0,
            b"",
            chunk(b"acTL", struct.pack(">II", 1, 0)),
            chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 99, 99, 9, 9, 1, 1, 0, 0)),
        ),
    )
    yield "a chunk of 4 GB", png(16, 16)[:33] + b"\xff\xff\xff\xffIDAT" + bytes(100)
    yield (
        "a palette of 4 colours and pixels of 255",
        png(16, 16, 8, 3, b"\xff" * 272, chunk(b"PLTE", bytes(12))),
    )
    yield (
        "no pixels",
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 8, 0, 0, 0, 0))
        + chunk(b"IEND", b""),
    )
    yield "more pixels than declared", png(16, 16, pixels=bytes(range(256)) * 4000)


def _text(**changes: object) -> str:
    return json.dumps(
        {"stretch": "linear", "low": 0.0, "high": 1.0, "flux_unit": "e-/s", **changes}
    )


def _stated(card: dict[str, object]) -> bytes:
    return chunk(b"tEXt", b"gravlens\0" + json.dumps(card).encode())
