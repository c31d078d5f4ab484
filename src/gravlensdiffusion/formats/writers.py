"""Images to files: `lenses.h5`, and one `.npy`, FITS or PNG file per image."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.files import refuse_existing, whole_folder
from gravlensdiffusion.formats.fits_header import write_fits
from gravlensdiffusion.formats.picture import KEYWORD, PngCard, stretch
from gravlensdiffusion.sets.flux import PEAK
from gravlensdiffusion.sets.naming import GIF, GRID
from gravlensdiffusion.sets.records import LensRecord, SetHeader
from gravlensdiffusion.store.reader import LensStore
from gravlensdiffusion.store.writer import write_store

FORMATS = ("h5", "npy", "fits", "png")
STORE_NAME = "lenses.h5"
_SET_ENTRIES = (STORE_NAME, *FORMATS[1:], GRID, GIF)
"""All that one set may consist of: the store, one folder for each other format, its pictures."""
_SHARD_NAME = re.compile(r"lenses-\d{5,}\.h5")


def check_channels(num: int, formats: Sequence[str]) -> None:
    """Refuse formats that cannot hold images of some channels; call it before hours of sampling."""
    if "png" in formats and num not in (1, 3):
        raise GravLensError(f"PNG needs images of one channel or three, not {num}")


def check_set(folder: Path, formats: Sequence[str], *, overwrite: bool) -> None:
    """Refuse formats that do not exist, and names of a set or of its pictures that are taken.

    Call it before hours of sampling as well.

    Args:
        folder: Where the images are to go.
        formats: Some of `FORMATS`.
        overwrite: Whether an earlier set of images may be replaced, in all its formats. A folder
            that holds anything but such a set is never touched.

    Raises:
        GravLensError: If anything is in the way.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        named = f"unknown format '{unknown[0]}'" if unknown else "no format given"
        raise GravLensError(f"{named}; choose from {', '.join(FORMATS)}")
    if folder.exists() and not folder.is_dir():
        raise GravLensError(f"{folder}: is a file, must be a folder")
    for path in sorted(folder.iterdir()) if folder.exists() else ():
        if _SHARD_NAME.fullmatch(path.name):
            raise GravLensError(f"{folder}: holds {path.name}; choose a folder without shards")
    # The formats that are not written now are looked at too: they would show another set.
    for name in FORMATS:
        target = folder / (STORE_NAME if name == "h5" else name)
        if name == "h5" or not target.is_dir():
            refuse_existing(target, overwrite=overwrite)
            continue
        if target.is_symlink() or not overwrite:
            raise GravLensError(
                f"{target}: exists already; choose another folder or use `overwrite`"
            )
        other = _foreign(target)
        if other:
            raise GravLensError(f"{target}: holds other files ({other}), so is not replaced")
    for name in (GRID, GIF):
        refuse_existing(folder / name, overwrite=overwrite)


@contextmanager
def whole_set(folder: Path, formats: Sequence[str], *, overwrite: bool) -> Iterator[Path]:
    """Yield a temporary folder; what is written there becomes the set in a folder as a whole."""

    def check() -> None:
        check_set(folder, formats, overwrite=overwrite)

    with whole_folder(folder, check, _SET_ENTRIES) as partial:
        yield partial


def write_images(
    folder: Path,
    records: Iterable[LensRecord],
    header: SetHeader,
    formats: Sequence[str] = ("h5",),
    *,
    model: str | None = None,
    num: int | None = None,
) -> list[str]:
    """Write a set of images in one or more formats, as the records come.

    PNG files are 8-bit and share one stretch, which they state in their text: linear from 0 to 1
    for the flux unit ``peak``, and asinh over the range of the set otherwise.

    Args:
        folder: Where to write ``lenses.h5``, ``npy/00000.npy``, ``fits/00000.fits`` and
            ``png/00000.png``; `check_set` says whether it may be.
        records: The images, of shape ``(C, H, W)``; for PNG with one channel, or three, which
            become red, green and blue.
        header: What is common to them.
        formats: Some of `FORMATS`.
        model: Name of the model that made them; None where it is not known, or there is none.
        num: How many records are expected, or None for any number.

    Returns:
        What was written: ``lenses.h5`` and folders, in the order of ``formats``.

    Raises:
        GravLensError: If something cannot be written.
    """
    with LensStore(write_store(folder / STORE_NAME, records, header, num=num)) as store:
        check_channels(store.image_shape[0], formats)
        for name in formats:
            if name != "h5":
                _write_folder(folder / name, store, header, model)
    if "h5" not in formats:
        (folder / STORE_NAME).unlink()
    return [STORE_NAME if name == "h5" else name for name in dict.fromkeys(formats)]


def _write_folder(folder: Path, store: LensStore, header: SetHeader, model: str | None) -> None:
    """Write a file for each image, in the format that the folder is called after."""
    folder.mkdir()
    common = _png_card(store, header, model) if folder.name == "png" else None
    for k, record in enumerate(store.records()):
        path = folder / f"{k:05d}.{folder.name}"
        class_name = header.class_names[record.label] if record.label >= 0 else None
        seed = record.parameters.get("seed", header.seed)
        seed = None if seed is None else int(seed)
        if common is not None:
            own = replace(common, class_name=class_name, label=record.label, image=k, seed=seed)
            _write_png(path, record, own)
        elif folder.name == "fits":
            numbers = {
                "LABEL": (record.label, "class number, -1: none"),
                "SEED": (seed, "seed of the set"),
                "IMAGEIDX": (k, "index of the image in the set"),
            }
            texts = [
                ("CLASS", class_name, "class of the lens"),
                ("MODEL", model, "model that made the image"),
                ("PRESET", header.preset, "simulation preset of the set"),
                ("SOFTWARE", header.software, "program that made the image"),
            ]
            write_fits(path, record, header, numbers, texts)
        else:
            np.save(path, record.image, allow_pickle=False)


def _png_card(store: LensStore, header: SetHeader, model: str | None) -> PngCard:
    """Return what all PNG files of a set have in common."""
    is_peak = header.flux_unit == PEAK
    low, high = (0.0, 1.0) if is_peak else _flux_range(store)
    return PngCard(
        stretch="linear" if is_peak else "asinh",
        low=low,
        high=high,
        flux_unit=header.flux_unit,
        pixel_scale_arcsec=header.pixel_scale_arcsec,
        model=model or "",
        software=header.software,
    )


def _flux_range(store: LensStore) -> tuple[float, float]:
    low, high = math.inf, -math.inf
    for k in range(len(store)):
        image = store.read([k])
        low, high = min(low, float(image.min())), max(high, float(image.max()))
    return low, high if high > low else low + 1


def _write_png(path: Path, record: LensRecord, card: PngCard) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text(KEYWORD, json.dumps(asdict(card)))
    levels = np.rint(stretch(record.image.astype(np.float64), card) * 255).astype(np.uint8)
    picture = levels[0] if len(levels) == 1 else np.moveaxis(levels, 0, -1)
    Image.fromarray(np.ascontiguousarray(picture)).save(path, format="PNG", pnginfo=text)


def format_folders(folders: Iterable[Path]) -> list[Path]:
    """Return the folders that hold a set in one format each, the format that tells most first."""
    found = {
        path.name: path
        for path in folders
        if path.name in FORMATS and not _foreign(path, hidden=False)
    }
    return [found[name] for name in ("fits", "npy", "png") if name in found]


def _foreign(folder: Path, *, hidden: bool = True) -> str:
    """Name an entry of the folder of a format that is no image of it; an empty text for none."""
    own = re.compile(rf"\d{{5,}}\.{re.escape(folder.name)}")
    names = sorted(path.name for path in folder.iterdir() if not own.fullmatch(path.name))
    return next((name for name in names if hidden or not name.startswith(".")), "")
