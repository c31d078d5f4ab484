"""Galaxies of a GalSim ``RealGalaxyCatalog``: a FITS table that names file and HDU of the image of each."""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from gravlensdiffusion.errors import BadImageError
from gravlensdiffusion.formats.image import Facts, as_image, image_shape
from gravlensdiffusion.sets.naming import FITS_SUFFIXES
from gravlensdiffusion.untrusted.probe import probe_file, readable, refuse_bad

COLUMNS = ("GAL_FILENAME", "GAL_HDU")
"""Columns by which a table is told to be such a catalogue."""
BESIDE = {"PSF_FILENAME": "PSF", "NOISE_FILENAME": "noise map"}
"""Columns that name what goes with the images, and what it is."""
PARAMETERS = {"MAG": ("mag", "mag"), "NOISE_VARIANCE": ("noise_variance", "")}
"""Columns that become parameters, their names and units."""
_START_BYTES = 16 * 2880


class _Catalogue(NamedTuple):
    """What a catalogue says: file and HDU of each image and of its PSF, what each file beside them is, and facts."""

    images: list[tuple[Path, int]]
    psfs: list[tuple[Path, int]]
    beside: dict[Path, str]
    facts: list[Facts]


class CatalogueReader:
    """Reads the images that catalogues name; each file beside them is tried out first, once."""

    def __init__(self) -> None:
        self._catalogues: dict[Path, _Catalogue] = {}
        self._places: dict[Path, list[tuple[int, int]]] = {}

    def __contains__(self, path: Path) -> bool:
        return path in self._catalogues

    def images(self, path: Path) -> Iterator[tuple[NDArray[np.generic], Facts]]:
        """Yield the images in the order of the catalogue."""
        catalogue = self._catalogues[path] = _read_catalogue(path)
        for file in {file for file, _ in catalogue.psfs if file.is_file()}:
            probe_file(file, _read_units)  # which remembers it, while there is a process for that
        for index, facts in enumerate(catalogue.facts):
            yield self.pixels(path, index), facts

    def pixels(self, path: Path, index: int) -> NDArray[np.generic]:
        """Return the image of a row."""
        return self._pixels(*self._catalogues[path].images[index])

    def psf(self, path: Path, index: int) -> NDArray[np.generic] | None:
        """Return the PSF of the image of a row, or None where no file beside the catalogue holds one."""
        psfs = self._catalogues[path].psfs if path in self else []
        return self._pixels(*psfs[index]) if psfs and psfs[index][0].is_file() else None

    def _pixels(self, file: Path, number: int) -> NDArray[np.generic]:
        """Return the image of a HDU of a file."""
        if file not in self._places:
            if not file.is_file():
                raise BadImageError(f"names {file.name}, which does not lie beside it")
            if wrong := probe_file(file, _read_units):
                raise BadImageError(f"names {file.name}, which {wrong}")
            self._places[file] = [place for place, _ in _walk(file)]
        if not 0 <= number < len(self._places[file]):
            raise BadImageError(f"names HDU {number} of {file.name}, which has none")
        start, stop = self._places[file][number]
        with warnings.catch_warnings(), file.open("rb") as stream:
            warnings.simplefilter("ignore")
            stream.seek(start)
            kind = fits.ImageHDU if start else fits.PrimaryHDU
            hdu = kind.fromstring(stream.read(stop - start))
            if not hdu.is_image or len(hdu.shape) < 2:
                raise BadImageError(f"names a HDU of {file.name} that holds no image")
            image_shape(hdu.shape)
            return as_image(np.asarray(hdu.data))


def find_catalogued(files: Sequence[Path]) -> dict[Path, str]:
    """Return those files for which a catalogue among them (``cat`` in its name) stands: what they are, empty for its images."""
    found: dict[Path, str] = {}
    for path in files:
        may_be = "cat" in path.name.lower() and path.suffix.lower() in FITS_SUFFIXES
        if not may_be or not is_catalogue(path):
            continue
        try:
            catalogue = _read_catalogue(path)
        except BadImageError:
            continue  # as a file of the set it is told to be bad
        # GalSim keeps fits and selections in files that are called after the catalogue.
        found |= {file: "catalogue" for file in files if file.stem.startswith(f"{path.stem}_")}
        found |= {file: kind for file, kind in catalogue.beside.items() if file in files}
        found |= {file: "" for file, _ in catalogue.images}
    return found


def is_catalogue(path: Path) -> bool:
    """Return whether a FITS file begins with a table that has the columns."""
    try:
        with path.open("rb") as stream:
            start = stream.read(_START_BYTES)
    except OSError:
        return False
    words = (b"XTENSION= 'BINTABLE'", *(f"'{name}".encode() for name in COLUMNS))
    return start.startswith(b"SIMPLE") and all(word in start for word in words)


def _read_catalogue(path: Path) -> _Catalogue:
    """Return what a catalogue says; the images are not looked at."""
    refuse_bad(path, _read_table)
    return _read_table(path)


def _read_table(path: Path) -> _Catalogue:
    with (
        readable("FITS file"),
        warnings.catch_warnings(),
        fits.open(path, memmap=False) as hdus,
    ):
        warnings.simplefilter("ignore")
        rows, names = hdus[1].data, hdus[1].columns.names
        columns = {name: rows[name].tolist() for name in names if rows[name].ndim == 1}
    if not set(COLUMNS) <= set(columns):
        raise BadImageError(f"has no columns {' and '.join(COLUMNS)}")
    files = [_beside(path, name) for name in columns["GAL_FILENAME"]]
    beside = {
        _beside(path, name): kind
        for column, kind in BESIDE.items()
        for name in dict.fromkeys(columns.get(column, ()))
    }
    files_of_psfs = [_beside(path, name) for name in columns.get("PSF_FILENAME", ())]
    psfs = zip(files_of_psfs, map(int, columns.get("PSF_HDU", ())), strict=False)
    told = "".join(f", {kind}s in {file.name} left" for file, kind in beside.items())
    taken = f"of catalogues images in {files[0].name if files else 'no file'} taken{told}"
    return _Catalogue(
        images=list(zip(files, map(int, columns["GAL_HDU"]), strict=True)),
        psfs=list(psfs),
        beside=beside,
        facts=[_facts(columns, k, taken) for k in range(len(files))],
    )


def _read_units(path: Path) -> None:
    """Read all HDUs of a file of images."""
    with readable("FITS file"):
        for _, hdu in _walk(path):
            _ = hdu.data


def _walk(path: Path) -> Iterator[tuple[tuple[int, int], Any]]:
    """Yield from where to where each HDU of a file lies, and the HDU; packed ones count as tables."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(path, memmap=False, disable_image_compression=True) as hdus:
            for hdu in hdus:
                place = hdu.fileinfo()
                yield (place["hdrLoc"], place["datLoc"] + place["datSpan"]), hdu


def _beside(path: Path, name: object) -> Path:
    """Return the file of a name that must lie in the folder of the catalogue."""
    text = str(name).strip()
    file = path.parent / text
    is_here = Path(text).name == text and file.resolve().parent == path.parent.resolve()
    if not is_here:
        raise BadImageError("names a file that does not lie beside it")
    return file


def _facts(columns: dict[str, list[Any]], row: int, taken: str) -> Facts:
    scale = float(columns.get("PIXEL_SCALE", [0.0] * (row + 1))[row])
    known = {name: told for name, told in PARAMETERS.items() if name in columns}
    return Facts(
        pixel_scale_arcsec=scale if 0 < scale < np.inf else None,
        parameters={told[0]: float(columns[name][row]) for name, told in known.items()},
        parameter_units=dict(known.values()),
        is_stacked=True,
        taken=taken,
        has_mask=True,
    )
