"""Small data sets in every format, for the tests of the data room."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from gravlensdiffusion.sets.records import LensRecord, SetHeader

HEADER = SetHeader(
    class_names=("no_sub", "cdm", "axion"),
    pixel_scale_arcsec=0.05,
    flux_unit="e-/s",
    preset="deeplense",
    config='{"seed": 3}',
    seed=3,
    parameter_units={"theta_E": "arcsec", "axion_mass": "eV"},
    resize="area",
    software="gravlensdiffusion 0.1",
)

SHARED_DATA = Path(
    os.environ.get("GRAVLENS_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data")
)


def lens_images(num: int = 6, size: int = 8, seed: int = 0) -> NDArray[np.float32]:
    """Return different images of shape ``(num, size, size)``, none constant, that are of no known unit."""
    return 2 * np.random.default_rng(seed).random((num, size, size), dtype=np.float32)


def lens_records(num: int = 7, size: int = 8, seed: int = 0) -> Iterator[LensRecord]:
    """Yield records of the three classes in turn: axion has a mass, cdm has subhaloes."""
    random = np.random.default_rng(seed + 1)
    for k, image in enumerate(lens_images(num, size, seed)):
        label = k % 3
        yield LensRecord(
            image=image[None],
            label=label,
            parameters={"theta_E": 1.0 + k / 10} | ({"axion_mass": 1e-23} if label == 2 else {}),
            subhaloes=random.random((k, 3)) if label == 1 else None,
        )


def with_twins(records: Iterable[LensRecord]) -> Iterator[LensRecord]:
    """Yield the records with a noise-free image each: half as bright, and nowhere the image."""
    for record in records:
        yield replace(record, noise_free=record.image / 2 - 1)


def survey_folder(path: Path) -> Path:
    """Write a folder like that of the Euclid Q1 lenses: bands, noise maps, a PSF, another size."""
    folder = path / "survey"
    folder.mkdir()
    plain = fits.Header({"PIXSCALE": 0.1})
    images = lens_images(3, size=16)
    for name, image in zip(("J1+2.5_nir_h", "J1+2.5_vis", "J3+4.5_vis"), images, strict=True):
        fits.writeto(folder / f"{name}_data.fits", image.astype(np.float64), plain)
        if name.endswith("vis"):
            noise = np.full((16, 16), 0.003)
            noise[0, 0] = 1e16
            fits.writeto(folder / f"{name}_noise_map.fits", noise, plain)
    fits.writeto(folder / "J1+2.5_vis_psf.fits", lens_images(1, size=7, seed=2)[0], plain)
    step = 2.777777777778e-05
    mosaic = fits.Header(
        {"CTYPE1": "RA---TAN", "CUNIT1": "deg", "CTYPE2": "DEC--TAN", "CUNIT2": "deg"}
        | {"CD1_1": -step, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": step, "EXPTIME": 0.0}
        | {"PC1_1": -step, "PC2_2": step, "CDELT1": 1.0, "CDELT2": 1.0, "ZP_STACK": 30.132}
    )
    fits.writeto(folder / "ID_1.fits", lens_images(1, size=11, seed=3)[0], mosaic)
    (folder / "LICENSE").write_text("MIT")
    return folder


def save_folder(folder: Path, images: NDArray[np.generic], name: str = "sample{}.npy") -> Path:
    """Write images as numbered ``.npy`` files, counted from 1."""
    folder.mkdir(parents=True, exist_ok=True)
    for k, image in enumerate(images, start=1):
        np.save(folder / name.format(k), image)
    return folder
