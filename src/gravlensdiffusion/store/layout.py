"""How a folder that our commands write is laid out: the set in its formats, and what lies beside."""

import re
from collections.abc import Iterable
from pathlib import Path

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.files import refuse_existing

FORMATS = ("h5", "npy", "fits", "png")
STORE_NAME = "lenses.h5"
SHARD_SUFFIXES = (".h5", ".hdf5")
GRID, GIF = "grid.png", "denoising.gif"
SET_ENTRIES = (STORE_NAME, *FORMATS[1:], GRID, GIF)
"""All that one set may consist of: the store, one folder for each other format, its pictures."""
SHARD_NAME = re.compile(r"lenses-\d{5,}\.h5")
_BESIDE = re.compile(
    rf"{re.escape(GRID)}|{re.escape(GIF)}|(.*-)?preview(-\d+)?\.png|report\.(json|html)|predictions\.csv"
    r"|.*\.(h5|hdf5)\.partial"
)


def check_store_file(path: Path, *, overwrite: bool) -> None:
    """Refuse a path that cannot become one file of the store, before anything is made for it.

    Raises:
        GravLensError: If its suffix is no HDF5 suffix, or something is there already.
    """
    if path.suffix not in SHARD_SUFFIXES:
        raise GravLensError(f"{path}: the file's name must end in {' or '.join(SHARD_SUFFIXES)}")
    refuse_existing(path, overwrite=overwrite)


def is_beside(name: str) -> bool:
    """Return whether our commands give this name to what lies beside a set and is no part of it."""
    return _BESIDE.fullmatch(name) is not None


def preview_name(stem: str, number: int = 1) -> str:
    """Return how the picture of a set is called; later numbers are for where there is one already."""
    return f"{stem}-preview{'' if number == 1 else f'-{number}'}.png"


def is_preview(name: str, stem: str) -> bool:
    """Return whether a picture of the set is called so."""
    return re.fullmatch(rf"{re.escape(stem)}-preview(-\d+)?\.png", name) is not None


def foreign(folder: Path, *, hidden: bool = True) -> str:
    """Name an entry of the folder of a format that is no image of it; an empty text for none.

    Args:
        folder: The folder.
        hidden: Whether entries count whose names begin with a dot.
    """
    own = re.compile(rf"\d{{5,}}\.{re.escape(folder.name)}")
    names = sorted(path.name for path in folder.iterdir() if not own.fullmatch(path.name))
    return next((name for name in names if hidden or not name.startswith(".")), "")


def format_folders(folders: Iterable[Path]) -> list[Path]:
    """Return the folders that hold a set in one format each, the format that tells most first."""
    found = {
        path.name: path
        for path in folders
        if path.name in FORMATS and not foreign(path, hidden=False)
    }
    return [found[name] for name in ("fits", "npy", "png") if name in found]
