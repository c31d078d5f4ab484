"""Files that lie beside images and are none, and the bands of images, by the names of the files."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

FITS_SUFFIXES = (".fits", ".fit", ".fts")

_DOCUMENT = re.compile(r"(licen[cs]e|copying|readme|citation)(\.(txt|md|rst|cff))?", re.IGNORECASE)
_COMPANION = re.compile(
    r"(.+)[._-](noise(?:[_-]?map)?|rms|err(?:or)?|var(?:iance)?|wht|weight|psf|mask|flags?)",
    re.IGNORECASE,
)
_IMAGE_ENDING = re.compile(r"[._-](data|sci|image|img)", re.IGNORECASE)
_BAND = re.compile(r"(?<![a-z0-9])(vis|(?:nir|nisp)[_-]?[yjh]|f\d{3,4}[wmnx])(?![a-z0-9])")


def is_document(name: str) -> bool:
    """Return whether a file of this name says something about a data set, as LICENSE does."""
    return _DOCUMENT.fullmatch(name) is not None


def find_companions(files: Sequence[Path]) -> set[Path]:
    """Return the FITS files that describe another one: its noise map, its PSF, its mask.

    ``X_noise_map.fits`` is one where ``X.fits`` or ``X_data.fits`` lies beside it. Without such an
    image it may be anything, and counts as an image.

    Args:
        files: The image files of a data set.
    """
    of_folder: dict[Path, set[str]] = {}
    for path in files:
        of_folder.setdefault(path.parent, set()).add(path.stem)
    found = set()
    for path in files:
        match = _COMPANION.fullmatch(path.stem)
        if match is None or path.suffix.lower() not in FITS_SUFFIXES:
            continue
        base = match[1]
        if any(_is_image_of(base, other) for other in of_folder[path.parent]):
            found.add(path)
    return found


def count_bands(files: Iterable[Path]) -> dict[str, int]:
    """Return how many FITS files there are of each band that their names tell, or nothing.

    Args:
        files: The image files of a data set.
    """
    names = (path.stem.lower() for path in files if path.suffix.lower() in FITS_SUFFIXES)
    matches = (_BAND.search(name) for name in names)
    return dict(sorted(Counter(match[1] for match in matches if match).items()))


def _is_image_of(base: str, stem: str) -> bool:
    """Return whether an image of this stem is the one that a companion's name begins with."""
    return stem.startswith(base) and (
        stem == base or _IMAGE_ENDING.fullmatch(stem[len(base) :]) is not None
    )
