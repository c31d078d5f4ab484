"""Images from FITS files, with pixel scale and flux unit from the header."""

import gzip
import io
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from gravlensdiffusion.errors import BadImageError
from gravlensdiffusion.formats.fits_catalogue import CatalogueReader, is_catalogue
from gravlensdiffusion.formats.fits_extensions import Choice, choose, is_image
from gravlensdiffusion.formats.fits_header import ZERO_POINT, facts_of, to_one_zero_point
from gravlensdiffusion.formats.image import (
    NEUTRAL,
    Facts,
    Maps,
    as_image,
    image_shape,
    with_maps,
)
from gravlensdiffusion.sets.naming import QUALITY
from gravlensdiffusion.untrusted.probe import (
    MAX_UNPACKING,
    SMALL_BYTES,
    check_unpacked,
    held_bytes,
    readable,
    refuse_bad,
)

MAX_FILE_BYTES = 2**33
MAX_GZIP_BYTES = 2**29
"""What a file packed by gzip may unpack to: two images as large as they may be."""
MAX_HEADER_BYTES = 2**22
"""Size of a header that is still read; it is 10 kB in most files."""
MAX_HDUS = 1000
"""Units before the first image that are still looked through."""
_BAD_BITS = {"JWST": 1 | 512}
"""DO_NOT_USE and NON_SCIENCE, which the pipeline of JWST leaves out when it combines images; its other bits tell
what was corrected."""
_SIGNATURE, _GZIP = b"SIMPLE  =", b"\x1f\x8b"


class FitsReader:
    """Reads the one image of a lens that a file holds, as `choose` finds it, or those that a catalogue names."""

    def __init__(self, choice: Choice, *, is_tried: bool = False) -> None:
        self.choice = choice
        self._is_tried = is_tried  # as in the process in which files are tried out
        # The choice is made once: the HDUs of each file, each with those of its maps.
        self._numbers: dict[Path, list[tuple[int, dict[str, int]]]] = {}
        self._catalogues = CatalogueReader()

    def images(self, path: Path) -> Iterator[tuple[NDArray[np.generic], Facts]]:
        """Yield the image of a file, or all that a catalogue names."""
        if is_catalogue(path):
            yield from self._catalogues.images(path)
        else:
            yield self.read(path)

    def pixels(self, path: Path, index: int) -> NDArray[np.generic]:
        """Return the image of a file, or that of a row of a catalogue."""
        if path in self._catalogues:
            return self._catalogues.pixels(path, index)
        return self.read(path)[0]

    def psf(self, path: Path, index: int) -> NDArray[np.generic] | None:
        """Return the PSF of the image of a row of a catalogue, or None where none is named."""
        return self._catalogues.psf(path, index)

    def read(self, path: Path) -> tuple[NDArray[np.generic], Facts]:
        """Return the image of a file and what its header says."""
        # Files from telescopes break small rules of the standard; what matters is checked here.
        with readable("FITS file"), warnings.catch_warnings(), _unpacked(path) as (stream, size):
            warnings.simplefilter("ignore")
            _check_start(stream)
            primary = fits.PrimaryHDU.readfrom(stream, memmap=False)
            taken, place = "", primary.fileinfo()
            is_all = is_image(primary) and place["datLoc"] + place["datSpan"] >= size
            if is_all or self._numbers.get(path) == [(0, {})]:
                units: Any = [primary]
            else:  # images in extensions may be packed, and headers have no end
                if not self._is_tried:
                    refuse_bad(path, _try_out, *self.choice)
                stream.seek(0)
                # The list of units is not closed: it would read all units for that.
                units = fits.open(stream, memmap=False, lazy_load_hdus=True)
            if path not in self._numbers:
                first = islice(units, MAX_HDUS)
                self._numbers[path], taken = choose(first, self.choice, partial(_plane, size))
            hdus = [units[number] for number, _ in self._numbers[path]]
            maps = [
                {kind: units[number] for kind, number in own.items()}
                for _, own in self._numbers[path]
            ]
            for hdu in (*hdus, *(each for own in maps for each in own.values())):
                image_shape(hdu.shape)
                _check_length(hdu, size)
            pixels, facts = _stacked(hdus, [facts_of(hdu.header, primary.header) for hdu in hdus])
            facts = replace(facts, taken=taken + facts.taken)
            return with_maps(pixels, facts, _maps(hdus, maps, primary.header))


def _try_out(path: Path, *choice: Any) -> None:
    FitsReader(Choice(*choice), is_tried=True).read(path)


@contextmanager
def _unpacked(path: Path) -> Iterator[tuple[IO[bytes], int]]:
    """Open a file, unpacked if it is ``.gz``; yield its bytes and their number."""
    size, held = path.stat().st_size, held_bytes(path)
    if size > MAX_FILE_BYTES:
        raise BadImageError(f"has {size} bytes, more than the limit of {MAX_FILE_BYTES}")
    with path.open("rb") as stream:
        # Browsers unpack what they load, and leave the name.
        is_packed = path.suffix.lower() == ".gz" and stream.read(len(_GZIP)) == _GZIP
        if not is_packed:
            check_unpacked(size, held)
            stream.seek(0)
            yield stream, size
            return
    most = min(MAX_GZIP_BYTES, SMALL_BYTES + MAX_UNPACKING * held)
    with gzip.open(path) as packed:
        whole = packed.read(most + 1)
    if len(whole) > most:
        raise BadImageError(f"unpacks to more than the limit of {most} bytes")
    yield io.BytesIO(whole), len(whole)


def _check_start(stream: IO[bytes]) -> None:
    """Refuse what is no FITS file, and a header without an end."""
    start = stream.read(MAX_HEADER_BYTES)
    stream.seek(0)
    if not start.startswith(_SIGNATURE):
        raise BadImageError("is no readable FITS file (it does not begin with SIMPLE)")
    if not any(start.startswith(b"END     ", place) for place in range(0, len(start), 80)):
        raise BadImageError("is no readable FITS file (its header has no end)")


def _check_length(hdu: Any, size: int) -> None:
    if isinstance(hdu, fits.CompImageHDU):
        # Its size is that of the unpacked image; unpacking finds out what is missing.
        check_unpacked(4 * math.prod(hdu.shape), size)
        return
    place = hdu.fileinfo()
    if place["datLoc"] + hdu.size > size:
        missing = place["datLoc"] + hdu.size - size
        raise BadImageError(f"is truncated: {missing} of {hdu.size} bytes of data are missing")


def _stacked(hdus: list[Any], every: list[Facts]) -> tuple[NDArray[np.generic], Facts]:
    """Return bands as the channels of one image, brought to the zero point of most of them."""
    every = to_one_zero_point(every)
    scales = [facts.pixel_scale_arcsec for facts in every if facts.pixel_scale_arcsec]
    for what, found in (
        ("sizes", ["{} x {}".format(*image_shape(hdu.shape)[1:]) for hdu in hdus]),
        ("flux units", [facts.flux_unit for facts in every]),
        ("pixel scales", [f"{scale:.2g} arcsec" for scale in scales]),
    ):
        if len(kinds := dict.fromkeys(found)) > 1:
            raise BadImageError(f"has bands of different {what}: {', '.join(kinds)}")
    planes, told = [_pixels(hdu) for hdu in hdus], ""
    if any(facts.factor != 1 for facts in every):
        told = f", fluxes brought to {every[0].parameters[ZERO_POINT]:g} mag"
        factors = [facts.factor for facts in every]
        planes = [plane.astype(np.float64) * by for plane, by in zip(planes, factors, strict=True)]
    pixels = planes[0] if len(planes) == 1 else np.concatenate(planes)
    return pixels, replace(every[0], factor=1.0, taken=told)


def _maps(hdus: list[Any], beside: list[dict[str, Any]], primary: fits.Header) -> Maps:
    """Return the maps of an image; a band without one that others have gets one that flags nothing."""
    found: dict[str, NDArray[np.generic]] = {}
    for kind in {kind: None for own in beside for kind in own}:
        planes = []
        for hdu, own in zip(hdus, beside, strict=True):
            shape = image_shape(hdu.shape)
            plane = _pixels(own[kind]) if kind in own else np.full(shape, NEUTRAL[kind])
            planes.append(np.repeat(plane, shape[0] // len(plane), axis=0))
        found[kind] = np.concatenate(planes)
    bits = _BAD_BITS.get(str(primary.get("TELESCOP", "")).strip().upper())
    if QUALITY in found and bits and found[QUALITY].dtype.kind in "iu":
        found[QUALITY] = found[QUALITY].astype(np.int64) & bits
    return found


def _plane(size: int, hdu: Any) -> NDArray[np.generic]:
    """Return the first channel of an HDU, which tells what it is, in a file of a size [bytes]."""
    _check_length(hdu, size)
    return _pixels(hdu)[0]


def _pixels(hdu: Any) -> NDArray[np.generic]:
    return as_image(np.asarray(hdu.data))
