"""What breaks the specification of `lenses.h5` is refused, and named."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.store.reader import validate_store
from gravlensdiffusion.store.schema import SUBHALO_DTYPE


def _replace(file: h5py.File, name: str, data: object) -> None:
    attributes = dict(file[name].attrs)
    del file[name]
    file.create_dataset(name, data=data).attrs.update(attributes)


def _link_outside(file: h5py.File) -> None:
    del file["images"]
    file["images"] = h5py.ExternalLink("/etc/hostname", "images")


def _link_inside(file: h5py.File) -> None:
    file["elsewhere"] = file["images"]
    del file["images"]
    file["images"] = h5py.SoftLink("/elsewhere")


def _store_outside(file: h5py.File) -> None:
    del file["images"]
    file.create_dataset(
        "images", (7, 1, 8, 8), "<f4", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)]
    )


def _view_outside(file: h5py.File) -> None:
    del file["images"]
    layout = h5py.VirtualLayout((7, 1, 8, 8), "<f4")
    layout[:] = h5py.VirtualSource("/tmp/other.h5", "images", (7, 1, 8, 8))
    file.create_virtual_dataset("images", layout)


def _declare_huge(file: h5py.File) -> None:
    del file["images"]
    file.create_dataset("images", (7, 1, 10**5, 10**5), "<f4", chunks=(1, 1, 64, 64))


def _subhaloes(images: list[int]) -> np.ndarray:
    rows = np.ones(len(images), SUBHALO_DTYPE)
    rows["image"] = images
    return rows


BREACHES: dict[str, tuple[Callable[[h5py.File], object], str]] = {
    "images missing": (lambda f: f.__delitem__("images"), "/images: missing"),
    "images double": (lambda f: _replace(f, "images", np.ones((7, 1, 8, 8))), "/images: .*float32"),
    "images flat": (lambda f: _replace(f, "images", np.ones((7, 8, 8), "f4")), "/images: .*shape"),
    "no images": (lambda f: _replace(f, "images", np.ones((0, 1, 8, 8), "f4")), "/images: .*shape"),
    "images a group": (lambda f: (f.__delitem__("images"), f.create_group("images")), "/images"),
    "images huge": (_declare_huge, "/images: declares"),
    "images elsewhere": (_link_outside, "/images: is a link"),
    "images linked": (_link_inside, "/images: is a link"),
    "images external": (_store_outside, "/images: keeps its data in another file"),
    "images virtual": (_view_outside, "/images: keeps its data in another file"),
    "labels missing": (lambda f: f.__delitem__("labels"), "/labels: missing"),
    "labels wide": (lambda f: _replace(f, "labels", np.zeros(7, int)), "/labels: must be int16"),
    "labels short": (lambda f: _replace(f, "labels", np.zeros(6, "i2")), r"/labels: .*\(7,\)"),
    "label 3 of 3": (lambda f: _replace(f, "labels", np.full(7, 3, "i2")), "/labels: image 0 has"),
    "label -2": (lambda f: _replace(f, "labels", np.full(7, -2, "i2")), "/labels: image 0 has"),
    "class twice": (
        lambda f: f["labels"].attrs.__setitem__("class_names", ["a", "a", "b"]),
        "class_names: the class name 'a' is there twice",
    ),
    "class a number": (
        lambda f: f["labels"].attrs.__setitem__("class_names", [1, 2, 3]),
        "class_names: must be text",
    ),
    "parameters no group": (
        lambda f: (f.__delitem__("parameters"), f.__setitem__("parameters", 1.0)),
        "/parameters: must be a group",
    ),
    "parameter single": (
        lambda f: _replace(f, "parameters/theta_E", np.ones(7, "f4")),
        "/parameters/theta_E: must be float64",
    ),
    "parameter short": (
        lambda f: _replace(f, "parameters/theta_E", np.ones(6)),
        "/parameters/theta_E: .*shape",
    ),
    "parameter without unit": (
        lambda f: f["parameters/theta_E"].attrs.__delitem__("unit"),
        "/parameters/theta_E: has no attribute unit",
    ),
    "parameter infinite": (
        lambda f: f["parameters/theta_E"].__setitem__(2, np.inf),
        "/parameters/theta_E: image 2",
    ),
    "subhaloes plain": (lambda f: _replace(f, "subhaloes", np.ones((2, 4))), "/subhaloes: must be"),
    "subhaloes beyond": (
        lambda f: _replace(f, "subhaloes", _subhaloes([0, 7])),
        "/subhaloes: column image must lie in 0 to 6",
    ),
    "subhaloes unordered": (
        lambda f: _replace(f, "subhaloes", _subhaloes([3, 1])),
        "/subhaloes: column image must not decrease",
    ),
    "no version": (lambda f: f.attrs.__delitem__("schema_version"), "schema_version: missing"),
    "version 2": (
        lambda f: f.attrs.__setitem__("schema_version", 2),
        "schema_version: must be 1",
    ),
    "no flux unit": (lambda f: f.attrs.__delitem__("flux_unit"), "flux_unit: missing"),
    "flux unit 3": (lambda f: f.attrs.__setitem__("flux_unit", 3), "flux_unit: must be text"),
    "scale 0": (
        lambda f: f.attrs.__setitem__("pixel_scale_arcsec", 0.0),
        "pixel_scale_arcsec: must be positive",
    ),
    "scale text": (
        lambda f: f.attrs.__setitem__("pixel_scale_arcsec", "0.05"),
        "pixel_scale_arcsec: must be positive",
    ),
    "seed text": (lambda f: f.attrs.__setitem__("seed", "a"), "seed: must be a whole number"),
    "fillings text": (
        lambda f: f.attrs.__setitem__("fillings", "["),
        "attribute fillings: top level: Invalid JSON",
    ),
    "fillings number": (
        lambda f: f.attrs.__setitem__("fillings", 3),
        "attribute fillings: must be text",
    ),
    "fillings key": (
        lambda f: f.attrs.__setitem__("fillings", '[{"model": "lens28"}]'),
        "attribute fillings: 0.weights: Field required",
    ),
    "pixel missing": (
        lambda f: f["images"].__setitem__((3, 0, 1, 1), np.nan),
        "/images: image 3 has a value that is not finite",
    ),
}


@pytest.mark.parametrize("breach", BREACHES)
def test_a_breach_of_the_specification_is_named(path: Path, breach: str) -> None:
    change, message = BREACHES[breach]
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(GravLensError, match=message) as caught:
        validate_store(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
