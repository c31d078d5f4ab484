"""Good files of every format, small, from which damaged ones are made."""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np
import torch
from astropy.io import fits
from PIL import Image
from safetensors.torch import save

from gravlensdiffusion.codec import to_json
from gravlensdiffusion.presets.training import training_preset
from gravlensdiffusion.store.writer import write_store
from tests.formats.contents import npy_bytes, npz_bytes, picture_bytes, png_bytes
from tests.models import ORDERED, awake
from tests.sets.files import HEADER, lens_images, lens_records, with_twins

IMAGE = lens_images(1, size=16, seed=9)[0]
GREY = (IMAGE * 255).astype(np.uint8)
COLOURS = Image.fromarray(np.stack([GREY, GREY.T, GREY[::-1]], axis=-1))


@dataclass(frozen=True)
class Base:
    """A good file.

    Attributes:
        kind: Its format, for the table of results.
        name: Name to give it; in a folder of its own where it needs company.
        way: How it is read, one of those of `reading.WAYS`.
        content: Its bytes.
        company: Other files that it needs beside it, by name.
    """

    kind: str
    name: str
    way: str
    content: bytes
    company: tuple[tuple[str, bytes], ...] = ()


def fits_bytes(*hdus: object) -> bytes:
    stream = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(stream)
    return stream.getvalue()


def hdf5_bytes(**arrays: object) -> bytes:
    """Return an HDF5 file of another layout than ours, packed but for its classes."""
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        for name, values in arrays.items():
            is_text = name == "y"
            file.create_dataset(
                f"train/{name}", data=values, compression=None if is_text else "gzip"
            )
    return stream.getvalue()


def store_bytes(*, compress: bool = False) -> bytes:
    """Return a lens set with all that the format knows; with gzip in every image's chunk."""
    with TemporaryDirectory() as folder:
        path = write_store(Path(folder) / "lenses.h5", with_twins(lens_records()), HEADER)
        if compress:
            with h5py.File(path, "r+") as file:
                images = file["images"][:]
                del file["images"]
                file.create_dataset("images", data=images, chunks=(2, 1, 8, 8), compression="gzip")
        return path.read_bytes()


def lenstronomy_bytes() -> bytes:
    """Return an HDF5 file in the names of lenstronomy, with all maps of its pixels."""
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file["image_data"] = IMAGE.astype(np.float64)
        file["transform_pix2angle"] = 0.05 * np.eye(2)
        file["background_rms"] = 0.1
        file.create_dataset("noise_map", data=np.full(IMAGE.shape, 0.1), compression="gzip")
        file.create_dataset("exposure_time", data=np.full(IMAGE.shape, 600.0), chunks=(8, 8))
        file["likelihood_mask"] = IMAGE > 0.1
    return stream.getvalue()


def survey_bytes() -> bytes:
    """Return a FITS file as archives give them: an image, its noise, data quality and weights."""
    flags = np.where(IMAGE < 0.1, 16, 0).astype(np.int16)
    maps = {"SCI": IMAGE, "ERR": 0 * IMAGE + 0.1, "DQ": flags, "WHT": 0 * IMAGE + 5}
    return fits_bytes(
        fits.PrimaryHDU(), *(fits.ImageHDU(values, name=name) for name, values in maps.items())
    )


def galaxy_files() -> dict[str, bytes]:
    """Return a catalogue of two galaxies, their images and their PSFs."""
    y, x = np.indices((40, 40)) - 20
    noise = 1e-4 * np.random.default_rng(0).standard_normal((2, 40, 40))
    images = [(np.exp(-np.hypot(x, y) / 4) + each).astype(np.float32) for each in noise]
    psf = np.exp(-(x**2 + y**2) / 5.0)[8:33, 8:33].astype(np.float32)
    columns = [
        fits.Column("GAL_FILENAME", "16A", array=["images.fits"] * 2),
        fits.Column("GAL_HDU", "J", array=[0, 1]),
        fits.Column("PSF_FILENAME", "16A", array=["psfs.fits"] * 2),
        fits.Column("PSF_HDU", "J", array=[0, 1]),
        fits.Column("PIXEL_SCALE", "D", array=[0.03] * 2),
    ]
    table = fits.BinTableHDU.from_columns(columns)
    return {
        "catalog.fits": fits_bytes(fits.PrimaryHDU(), table),
        "images.fits": fits_bytes(fits.PrimaryHDU(images[0]), fits.ImageHDU(images[1])),
        "psfs.fits": fits_bytes(fits.PrimaryHDU(psf), fits.ImageHDU(psf)),
    }


def pth_bytes(state: object, *, legacy: bool = False) -> bytes:
    stream = io.BytesIO()
    torch.save(state, stream, _use_new_zipfile_serialization=not legacy)
    return stream.getvalue()


def table_bytes() -> bytes:
    rows = ["label,theta_E,source_x,signal_to_noise"]
    rows += [f"cdm,{1 + k / 100},any,{10 + k}" for k in range(20)]
    return "\n".join(rows).encode()


def model_files() -> tuple[bytes, bytes]:
    """Return configuration and weights of a tiny model."""
    model = awake(ORDERED)
    return to_json(ORDERED).encode(), save(
        {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    )


def bases() -> list[Base]:
    """Return a good file of every format."""
    hdu = fits.PrimaryHDU(IMAGE)
    hdu.header.update(BUNIT="e-/s", CDELT1=1e-5, CDELT2=1e-5, CUNIT1="deg", CLASS="cdm", LABEL=1)
    state = {"a": torch.arange(6.0), "b.weight": torch.ones(2, 3)}
    config, weights = model_files()
    galaxies = galaxy_files()
    compressed = fits.CompImageHDU(lens_images(1, size=32)[0], compression_type="RICE_1")
    packed = fits.CompImageHDU((GREY.astype(np.int16)), compression_type="HCOMPRESS_1")
    labelled = {"images": lens_images(5), "labels": np.arange(5) % 2, "class_names": ["a", "b"]}
    return [
        Base("npy", "a.npy", "set", npy_bytes(IMAGE)),
        Base("npy", "stack.npy", "set", npy_bytes(lens_images(4))),
        Base("npy", "mass.npy", "objects", npy_bytes(deeplense())),
        Base("npz", "a.npz", "set", npz_bytes(**labelled)),
        Base("npz", "packed.npz", "set", npz_bytes(compress=True, **labelled)),
        Base("npz", "xy.npz", "set", npz_bytes(X=lens_images(5), y=np.eye(5), z=np.ones(5))),
        Base("HDF5", "a.h5", "set", store_bytes()),
        Base("HDF5", "packed.h5", "set", store_bytes(compress=True)),
        Base(
            "HDF5", "other.h5", "set", hdf5_bytes(X=lens_images(5), y=["cdm", *"abcd"], z=[1.0] * 5)
        ),
        Base("HDF5", "lens.h5", "set", lenstronomy_bytes()),
        Base("FITS", "a.fits", "set", fits_bytes(hdu)),
        Base("FITS", "maps.fits", "set", survey_bytes()),
        *(
            Base(
                "FITS",
                name,
                "sources",
                content,
                tuple(each for each in galaxies.items() if each[0] != name),
            )
            for name, content in galaxies.items()
        ),
        Base("FITS", "rice.fits", "set", fits_bytes(fits.PrimaryHDU(), compressed)),
        Base("FITS", "hcompress.fits", "set", fits_bytes(fits.PrimaryHDU(), packed)),
        Base("PNG", "a.png", "set", png_bytes(Image.fromarray(GREY))),
        Base("PNG", "deep.png", "set", png_bytes(Image.fromarray(GREY.astype(np.uint16) * 257))),
        Base("PNG", "palette.png", "set", png_bytes(Image.fromarray(GREY).convert("P"))),
        Base("JPEG", "a.jpg", "set", picture_bytes(Image.fromarray(GREY), "JPEG")),
        Base("JPEG", "colour.jpeg", "set", picture_bytes(COLOURS, "JPEG", progressive=True)),
        Base("TIFF", "a.tif", "set", picture_bytes(Image.fromarray(IMAGE), "TIFF")),
        Base("TIFF", "lzw.tif", "set", picture_bytes(COLOURS, "TIFF", compression="tiff_lzw")),
        Base(
            "TIFF",
            "deflate.tiff",
            "set",
            picture_bytes(COLOURS, "TIFF", compression="tiff_adobe_deflate"),
        ),
        Base("safetensors", "model.safetensors", "model", weights, (("config.json", config),)),
        Base("JSON", "config.json", "model", config, (("model.safetensors", weights),)),
        Base("JSON", "recipe.json", "recipe", to_json(training_preset("cutouts28")).encode()),
        Base("PyTorch", "a.pth", "model file", pth_bytes(state)),
        Base("PyTorch", "old.pth", "inception", pth_bytes(state, legacy=True)),
        Base("CSV", "orders.csv", "conditions", table_bytes()),
    ]


def deeplense() -> np.ndarray:
    """Return an image and its mass as DeepLense saves them."""
    array = np.empty(2, dtype=object)
    array[:] = [IMAGE.astype(np.float64), 1e-23]
    return array


def leaves(tree: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the paths to all values of nested JSON, those of lists and mappings too."""
    found = [path] if path else []
    if isinstance(tree, dict):
        for key, value in tree.items():
            found += leaves(value, (*path, key))
    elif isinstance(tree, list) and tree:
        found += leaves(tree[0], (*path, 0))
    return found


def with_leaf(tree: object, path: tuple[str | int, ...], text: str) -> bytes:
    """Return JSON in which the value at a path is a text, put in as it is."""
    tree = json.loads(json.dumps(tree))
    place = tree
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = "\0here\0"
    return json.dumps(tree).replace(json.dumps("\0here\0"), text).encode()
