"""Measurements that are kept, under a name made of everything that they depend on."""

import hashlib
import inspect
import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.files import whole_file

Arrays = dict[str, NDArray[np.generic]]


def cache_folder() -> Path | None:
    """Return ``gravlens`` in the user's cache folder; None where the user has no home folder."""
    # An empty or relative path is to be ignored, says the XDG Base Directory Specification.
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():
        try:
            base = Path.home() / ".cache"
        except RuntimeError:
            return None
    return base / "gravlens"


def key_of(*parts: str, modules: Sequence[ModuleType] = ()) -> str:
    """Return a digest of texts and of the source code of modules."""
    digest = hashlib.sha256()
    for part in (*parts, *(inspect.getsource(module) for module in modules)):
        digest.update(part.encode())
        digest.update(b"\0")
    return digest.hexdigest()


def cached(key: str, compute: Callable[[], Mapping[str, NDArray[np.generic]]]) -> Arrays:
    """Return arrays from the cache, or compute and keep them under a digest of all they depend on.

    A damaged file is computed anew; a folder that cannot be written to is no fault.
    """
    folder = cache_folder()
    if folder is None:
        return dict(compute())
    path = folder / "features" / f"{key}.npz"
    try:
        with path.open("rb") as stored, np.load(stored, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError):
        pass
    computed = dict(compute())
    _keep(path, computed)
    return computed


def _keep(path: Path, arrays: Arrays) -> None:
    with suppress(GravLensError), whole_file(path, overwrite=True) as temporary:
        np.savez(temporary, **arrays)  # type: ignore[arg-type]
