"""What a `lenses.h5` file must hold, and the checks that refuse anything else.

The specification in prose is docs/data-format.md.
"""

from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from gravlensdiffusion.codec import from_json
from gravlensdiffusion.config.bounds import MAX_NAME, MAX_PARAMETERS, check_class_names, text_fault
from gravlensdiffusion.errors import GravLensError, one_line
from gravlensdiffusion.sets.images import SUBHALO_DTYPE
from gravlensdiffusion.sets.records import Filling, SetHeader

SCHEMA_VERSION = 1
MAX_PIXELS = 64_000_000
"""Pixels that one image may have; a file that declares more is refused before it is read."""
MAX_IMAGES = 100_000_000
MAX_TEXT = 2**24
"""Letters of any text."""
NOT_OURS = "missing; this is not a lens data set"
"""What is said of an HDF5 file of others."""
NOISE_FREE = "images_noise_free"
"""Name of the noise-free images, which a file may lack."""
FILLINGS = "fillings"
"""Root attribute that says how generated images came to the set, which a file may lack."""
SUBHALO_UNITS = ("", "arcsec", "arcsec", "M_sun")
TEXT_ATTRIBUTES = ("flux_unit", "config", "software")
"""Root attributes that every file has, by the names that they have in a header."""
OPTIONAL_TEXT_ATTRIBUTES = ("preset", "resize", "request")
"""Root attributes that a file may lack, likewise."""
_JSON_ATTRIBUTES = frozenset({"config", "request"})


@dataclass(frozen=True, kw_only=True, slots=True)
class FileLayout:
    """What the structure of one file says, before any pixel is read."""

    num_images: int
    image_shape: tuple[int, int, int]
    header: SetHeader
    num_subhaloes: int
    has_noise_free: bool


def read_layout(file: h5py.File) -> FileLayout:
    """Check the structure of an open file and return it.

    Raises:
        GravLensError: If a field is missing or not as specified; the field is named.
    """
    version = file.attrs.get("schema_version")
    if version is None:
        raise _error(file, "schema_version", NOT_OURS)
    if not isinstance(version, (int, np.integer)) or version != SCHEMA_VERSION:
        raise _error(file, "schema_version", f"must be {SCHEMA_VERSION}, is {version!r}")
    names = sorted(file)
    for name in ("images", "labels"):
        if name not in names:
            raise _error(file, f"/{name}", "missing")
    num, image_shape = _check_images(file)
    _check_array(file, "labels", (num,), "int16")
    units = _check_parameters(file, num)
    has_noise_free = NOISE_FREE in names
    if has_noise_free:
        _check_array(file, NOISE_FREE, (num, *image_shape), "float32")
    return FileLayout(
        num_images=num,
        image_shape=image_shape,
        header=_read_header(file, units),
        num_subhaloes=_check_subhaloes(file),
        has_noise_free=has_noise_free,
    )


def own_dataset(group: h5py.Group, name: str) -> h5py.Dataset:
    """Return a dataset that lies inside the file itself."""
    field = f"{group.name.rstrip('/')}/{name}"
    # Links, virtual layouts and external storage would read other files of the machine.
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise _error(group, field, "is a link, must be a dataset of this file")
    dataset = group[name]
    if not isinstance(dataset, h5py.Dataset):
        raise _error(group, field, "must be a dataset")
    if dataset.is_virtual or dataset.external:
        raise _error(group, field, "keeps its data in another file, must be in this file")
    return dataset


def _error(group: h5py.Group, field: str, what: str) -> GravLensError:
    """Return an error that names the file and the field."""
    return GravLensError(f"{group.file.filename}: {field}: {what}")


def _check_images(file: h5py.File) -> tuple[int, tuple[int, int, int]]:
    images = own_dataset(file, "images")
    if images.dtype.newbyteorder("=") != np.float32:
        raise _error(file, "/images", f"must be float32, is {images.dtype}")
    if images.ndim != 4 or 0 in images.shape:
        raise _error(file, "/images", f"must have shape (N, C, H, W), has {images.shape}")
    num, channels, height, width = (int(n) for n in images.shape)
    if channels * height * width > MAX_PIXELS or num > MAX_IMAGES:
        raise _error(file, "/images", f"declares {images.shape}, more than can be read")
    return num, (channels, height, width)


def _check_array(group: h5py.Group, name: str, shape: tuple[int, ...], dtype: str) -> h5py.Dataset:
    dataset = own_dataset(group, name)
    if dataset.dtype.newbyteorder("=") != np.dtype(dtype) or dataset.shape != shape:
        found = f"{dataset.dtype} of {dataset.shape}"
        raise _error(group, dataset.name, f"must be {dtype} of shape {shape}, is {found}")
    return dataset


def _check_parameters(file: h5py.File, num: int) -> dict[str, str]:
    """Return the unit of each parameter by name."""
    if "parameters" not in set(file):
        return {}
    # A link is never followed: the file that it names may be anything.
    is_own = isinstance(file.get("parameters", getlink=True), h5py.HardLink)
    group = file["parameters"] if is_own else None
    if not isinstance(group, h5py.Group):
        raise _error(file, "/parameters", "must be a group of this file")
    names = sorted(group)
    if len(names) > MAX_PARAMETERS:
        told = f"holds {len(names)} parameters, more than the limit of {MAX_PARAMETERS}"
        raise _error(file, "/parameters", told)
    units = {}
    for name in names:
        field = f"/parameters/{name}"
        if text_fault(name):
            raise _error(file, field, "is no name: it is too long or has control characters")
        dataset = _check_array(group, name, (num,), "float64")
        if "unit" not in dataset.attrs:
            raise _error(file, field, "has no attribute unit")
        units[name] = _text(file, f"{field} attribute unit", dataset.attrs["unit"])
    return units


def _check_subhaloes(file: h5py.File) -> int:
    if "subhaloes" not in set(file):
        return 0
    table = own_dataset(file, "subhaloes")
    if table.ndim != 1 or table.dtype.newbyteorder("=") != SUBHALO_DTYPE.newbyteorder("="):
        told = "must be a table of columns image (int64), x, y, mass (float64)"
        raise _error(file, "/subhaloes", told)
    return int(table.shape[0])


def _read_header(file: h5py.File, units: dict[str, str]) -> SetHeader:
    field = "/labels attribute class_names"
    names = np.atleast_1d(file["labels"].attrs.get("class_names", np.empty(0, dtype=object)))
    class_names = tuple(_text(file, field, name) for name in names)
    try:
        check_class_names(class_names)
    except GravLensError as error:
        raise _error(file, field, str(error)) from None
    texts: dict[str, Any] = {}
    for name in (*TEXT_ATTRIBUTES, *OPTIONAL_TEXT_ATTRIBUTES):
        field = f"attribute {name}"
        if name in file.attrs:
            is_json = name in _JSON_ATTRIBUTES
            texts[name] = _text(file, field, file.attrs[name], is_json=is_json)
        elif name in TEXT_ATTRIBUTES:
            raise _error(file, field, "missing")
    scale = file.attrs.get("pixel_scale_arcsec")
    if scale is not None:
        is_number = isinstance(scale, (int, float, np.integer, np.floating))
        if not is_number or not np.isfinite(scale) or scale <= 0:
            raise _error(file, "attribute pixel_scale_arcsec", f"must be positive, is {scale!r}")
    seed = file.attrs.get("seed")
    if seed is not None and not isinstance(seed, (int, np.integer)):
        raise _error(file, "attribute seed", f"must be a whole number, is {seed!r}")
    fillings: tuple[Filling, ...] = ()
    if FILLINGS in file.attrs:
        field = f"attribute {FILLINGS}"
        text = _text(file, field, file.attrs[FILLINGS], is_json=True)
        source = f"{file.filename}: {field}"
        fillings = from_json(tuple[Filling, ...], text, source=source)
    return SetHeader(
        class_names=class_names,
        pixel_scale_arcsec=None if scale is None else float(scale),
        seed=None if seed is None else int(seed),
        parameter_units=units,
        fillings=fillings,
        **texts,
    )


def _text(file: h5py.File, field: str, value: object, *, is_json: bool = False) -> str:
    """Return a text attribute as it may be shown; JSON, which is parsed, as it stands."""
    limit = MAX_TEXT if is_json else MAX_NAME
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        raise _error(file, field, f"must be text, is {type(value).__name__}")
    if len(value) > limit:
        raise _error(file, field, f"has {len(value)} letters, more than the limit of {limit}")
    return value if is_json else one_line(value)
