"""Writing `lenses.h5` from a stream of records, with flat memory."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from gravlensdiffusion.codec import to_json
from gravlensdiffusion.config.bounds import UNLABELLED, parameter_fault
from gravlensdiffusion.errors import GravLensError, one_line
from gravlensdiffusion.files import refuse_existing, whole_file
from gravlensdiffusion.sets.images import SUBHALO_DTYPE
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.sets.naming import SHARD_SUFFIXES
from gravlensdiffusion.sets.records import LensRecord, SetHeader
from gravlensdiffusion.store.hdf5_file import new_hdf5, try_out, undisturbed
from gravlensdiffusion.store.schema import (
    FILLINGS,
    MAX_PIXELS,
    NOISE_FREE,
    OPTIONAL_TEXT_ATTRIBUTES,
    SCHEMA_VERSION,
    SUBHALO_UNITS,
    TEXT_ATTRIBUTES,
    read_layout,
)
from gravlensdiffusion.untrusted.probe import trust_file

_BUFFER_BYTES = 2**23
_VECTOR_CHUNK = 4096


def write_store(
    path: str | os.PathLike[str],
    records: LensSet | Iterable[LensRecord],
    header: SetHeader | None = None,
    *,
    num: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a set, or records, as one `lenses.h5`.

    Records are written as they come, to a temporary file that is renamed at the end, so memory
    stays flat and a broken-off run leaves nothing under the final name.

    Args:
        path: The file to write; missing parent folders are made.
        records: The images, all of one shape: a set, or what is known of each. Parameter names may differ between records: what
            a record lacks is stored as NaN. Noise-free images come with all of them or with none.
        header: What is common to all of them; None for what the set says.
        num: How many records are expected; None for any number, or as many as the set has.
        overwrite: Whether an existing file may be replaced.

    Returns:
        The path.

    Raises:
        GravLensError: If the path exists, a record or the header breaks the specification (the field is named, and
            the image), or there are not ``num`` of them.
    """
    path = Path(path)
    if isinstance(records, LensSet):
        header, num = header or records.header, len(records) if num is None else num
        records = records.records()
    header = header or SetHeader()
    with (
        whole_file(path, overwrite=overwrite) as temporary,
        new_hdf5(temporary) as (file, sink),
    ):
        writer = _StoreWriter(file, header, path)
        for record in records:
            with undisturbed(), _unwritten(path):
                writer.add(record)
            sink.check()
        with undisturbed(), _unwritten(path):
            writer.finish(num)
    trust_file(path, try_out)
    return path


def check_store_file(path: Path, *, overwrite: bool) -> None:
    """Refuse a path that cannot become one file of the store, before anything is made for it.

    Raises:
        GravLensError: If its suffix is no HDF5 suffix, or something is there already.
    """
    if path.suffix not in SHARD_SUFFIXES:
        raise GravLensError(f"{path}: the file's name must end in {' or '.join(SHARD_SUFFIXES)}")
    refuse_existing(path, overwrite=overwrite)


class _StoreWriter:
    """Collects records and appends them to the datasets in blocks."""

    def __init__(self, file: h5py.File, header: SetHeader, path: Path) -> None:
        self.file = file
        self.header = header
        self.path = path
        self.num_written = 0
        self.shape: tuple[int, ...] = ()
        self.has_noise_free = False
        self.buffer: list[LensRecord] = []
        self.buffer_size = 1

    def add(self, record: LensRecord) -> None:
        if not self.shape:
            self._create(record)
        self._check(record)
        self.buffer.append(record)
        if len(self.buffer) >= self.buffer_size:
            self._flush()

    def finish(self, num: int | None) -> None:
        self._flush()
        if num is not None and self.num_written != num:
            raise GravLensError(
                f"{self.path}: expected {num} images, got {self.num_written}; nothing was written"
            )
        if self.num_written == 0:
            raise GravLensError(f"{self.path}: there are no images to write")
        for dataset in self.file.get("parameters", {}).values():
            dataset.resize(self.num_written, axis=0)
        self._write_attributes()
        try:
            read_layout(self.file)
        except GravLensError as error:  # which names what HDF5 writes to
            _, _, told = str(error).partition(f"{one_line(self.file.filename)}: ")
            raise GravLensError(f"{self.path}: {told}") from None

    def _error(self, field: str, what: str) -> GravLensError:
        k = self.num_written + len(self.buffer)
        return GravLensError(f"{self.path}: {field}: image {k} {what}")

    def _create(self, record: LensRecord) -> None:
        shape = np.shape(record.image)
        if len(shape) != 3 or 0 in shape or int(np.prod(shape)) > MAX_PIXELS:
            raise self._error("/images", f"has shape {shape}, must be (C, H, W)")
        self.shape = shape
        self.has_noise_free = record.noise_free is not None
        names = ("images", NOISE_FREE) if self.has_noise_free else ("images",)
        image_bytes = 4 * int(np.prod(shape)) * len(names)
        self.buffer_size = max(1, min(1024, _BUFFER_BYTES // image_bytes))
        for name in names:
            self.file.create_dataset(
                name, (0, *shape), "<f4", maxshape=(None, *shape), chunks=(1, *shape)
            )
        self._create_vector(self.file, "labels", "<i2")
        self.file["labels"].attrs["class_names"] = _texts(self.header.class_names)

    def _create_vector(self, group: h5py.Group, name: str, dtype: Any, fill: Any = None) -> None:
        group.create_dataset(
            name, (0,), dtype, maxshape=(None,), chunks=(_VECTOR_CHUNK,), fillvalue=fill
        )

    def _check(self, record: LensRecord) -> None:
        self._check_pixels(record.image, "/images")
        if (record.noise_free is not None) != self.has_noise_free:
            has, had = ("has", "none") if record.noise_free is not None else ("lacks", "one")
            raise self._error(
                f"/{NOISE_FREE}", f"{has} a noise-free image, the first has {had}: all or none"
            )
        if record.noise_free is not None:
            self._check_pixels(record.noise_free, f"/{NOISE_FREE}")
        if not UNLABELLED <= record.label < len(self.header.class_names):
            raise self._error("/labels", f"has label {record.label}, which names no class")
        for name, value in record.parameters.items():
            if parameter_fault(name):
                raise self._error("/parameters", f"has a parameter of the bad name '{name}'")
            if np.isinf(value):
                raise self._error(f"/parameters/{name}", "has an infinite value")
        if record.subhaloes is not None:
            rows = np.asarray(record.subhaloes)
            if rows.ndim != 2 or rows.shape[1] != 3 or not np.isfinite(rows).all():
                raise self._error("/subhaloes", "must have finite rows of x, y, mass")

    def _check_pixels(self, pixels: np.ndarray, field: str) -> None:
        image = np.asarray(pixels)
        if image.shape != self.shape:
            raise self._error(field, f"has shape {image.shape}, the first has {self.shape}")
        with np.errstate(over="ignore"):
            if not np.isfinite(image.astype(np.float32)).all():
                raise self._error(field, "has a value that is not finite in float32")

    def _flush(self) -> None:
        records, self.buffer = self.buffer, []
        if not records:
            return
        low = self.num_written
        images = np.stack([record.image for record in records]).astype(np.float32)
        _append(self.file["images"], images)
        twins = [record.noise_free for record in records if record.noise_free is not None]
        if twins:
            _append(self.file[NOISE_FREE], np.stack(twins).astype(np.float32))
        _append(self.file["labels"], np.array([record.label for record in records], np.int16))
        self._write_parameters(records, low)
        self._write_subhaloes(records, low)
        self.num_written += len(records)

    def _write_parameters(self, records: list[LensRecord], low: int) -> None:
        names = dict.fromkeys(name for record in records for name in record.parameters)
        for name in names:
            if f"parameters/{name}" not in self.file:
                group = self.file.require_group("parameters")
                self._create_vector(group, name, "<f8", np.nan)
                group[name].attrs["unit"] = self.header.parameter_units.get(name, "")
            dataset = self.file[f"parameters/{name}"]
            # Images before this block that lack the parameter take the fill value, NaN.
            dataset.resize(low + len(records), axis=0)
            dataset[low:] = [record.parameters.get(name, np.nan) for record in records]

    def _write_subhaloes(self, records: list[LensRecord], low: int) -> None:
        if all(record.subhaloes is None for record in records):
            return
        if "subhaloes" not in self.file:
            self._create_vector(self.file, "subhaloes", SUBHALO_DTYPE)
            self.file["subhaloes"].attrs["units"] = _texts(SUBHALO_UNITS)
        for k, record in enumerate(records, start=low):
            if record.subhaloes is not None and len(record.subhaloes):
                rows = np.empty(len(record.subhaloes), SUBHALO_DTYPE)
                rows["image"] = k
                rows["x"], rows["y"], rows["mass"] = np.asarray(record.subhaloes).T
                _append(self.file["subhaloes"], rows)

    def _write_attributes(self) -> None:
        header, attributes = self.header, self.file.attrs
        attributes["schema_version"] = SCHEMA_VERSION
        for name in TEXT_ATTRIBUTES:
            attributes[name] = getattr(header, name)
        for name in (*OPTIONAL_TEXT_ATTRIBUTES, "seed"):
            if getattr(header, name) is not None:
                attributes[name] = getattr(header, name)
        if header.pixel_scale_arcsec is not None:
            attributes["pixel_scale_arcsec"] = float(header.pixel_scale_arcsec)
        if header.fillings:
            made = ", ".join(to_json(each, indent=None) for each in header.fillings)
            attributes[FILLINGS] = f"[{made}]"


@contextmanager
def _unwritten(path: Path) -> Iterator[None]:
    """Tell what HDF5 has no type for, or a text that it cannot hold."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise GravLensError(f"{path}: cannot hold what was given: {error!s:.100}") from error


def _append(dataset: h5py.Dataset, rows: np.ndarray) -> None:
    num = dataset.shape[0]
    dataset.resize(num + len(rows), axis=0)
    dataset[num:] = rows


def _texts(values: Iterable[str]) -> np.ndarray:
    return np.array(list(values), dtype=h5py.string_dtype())
