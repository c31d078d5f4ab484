"""Images to files: `lenses.h5`, and one `.npy`, FITS or PNG file per image.

The header of a FITS file is that of a cutout of the sky, so that DS9 shows it with north up and east to the
left, and measures angles: y of an image points north, and x west. The images have no position, and right
ascension and declination of 0 stand for it. The coordinates A are x and y themselves.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from astropy.io import fits
from PIL import Image, PngImagePlugin

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.files import check_apart, refuse_existing, whole_folder
from gravlensdiffusion.formats.fits_header import (
    ARCSEC_PER_DEGREE,
    FLUX_UNIT,
    PERCENT,
    as_fits_unit,
)
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
_SAFE = "!\"#$'()*+,-./:;<=>?@[]^_`{|}~"
_MAX_COMMENTED = 40
"""Letters of a text that leave room for a comment on their line of a FITS header."""
_NAME = re.compile(r"[A-Za-z]\w{,30}", re.ASCII)
"""Names of parameters that a header can hold."""
_UNIT = re.compile(r"[\w/^*+. -]+", re.ASCII)
_MAX_NAME_AND_UNIT = 35
"""Letters of both that leave room for any number on their line."""
_Card = tuple[str, str | int | float, str]


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


def check_apart_from_set(folder: Path, read: Iterable[Path]) -> None:
    """Refuse a folder whose set, which is replaced, is read, or holds what is."""
    for name in _SET_ENTRIES:
        check_apart(folder / name, read)


def whole_set(
    folder: Path, formats: Sequence[str], *, overwrite: bool
) -> AbstractContextManager[Path]:
    """Yield a temporary folder; what is written there becomes the set in a folder as a whole."""
    check = partial(check_set, folder, formats, overwrite=overwrite)
    return whole_folder(folder, check, _SET_ENTRIES)


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
        seed = record.parameters.get("seed", header.seed)
        own: dict[str, Any] = {
            "class_name": header.class_names[record.label] if record.label >= 0 else None,
            "label": record.label,
            "image": k,
            "seed": None if seed is None else int(seed),
        }
        if common is not None:
            _write_png(path, record, replace(common, **own))
        elif folder.name == "fits":
            _write_fits(path, record, header, {**own, "model": model})
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


def _write_fits(path: Path, record: LensRecord, header: SetHeader, told: Mapping[str, Any]) -> None:
    """Write an image as a FITS file, with what else is told of it."""
    image = record.image[0] if len(record.image) == 1 else record.image
    hdu = fits.PrimaryHDU(image)
    cards: list[_Card] = []
    if header.pixel_scale_arcsec is not None:
        cards += _coordinates(header.pixel_scale_arcsec, image.shape[-2], image.shape[-1])
    cards += [
        ("LABEL", told["label"], "class number, -1: none"),
        *([("SEED", told["seed"], "seed of the set")] if told["seed"] is not None else []),
        ("IMAGEIDX", told["image"], "index of the image in the set"),
    ]
    cards += _text_cards(
        [
            ("BUNIT", as_fits_unit(header.flux_unit), "unit of the pixels"),
            (FLUX_UNIT, header.flux_unit, "what gravlens calls the unit"),
            ("CLASS", told["class_name"], "class of the lens"),
            ("MODEL", told["model"], "model that made the image"),
            ("PRESET", header.preset, "simulation preset of the set"),
            ("SOFTWARE", header.software, "program that made the image"),
        ]
    )
    cards += _parameters(record.parameters, header.parameter_units)
    hdu.header.extend(cards)
    hdu.writeto(path)


def _text_cards(texts: Iterable[tuple[str, str | None, str]]) -> list[_Card]:
    """Return cards of keyword, any text but None, and comment, and `PERCENT` where it is needed."""
    cards: list[_Card] = []
    encoded = []
    for name, text, comment in texts:
        if text is None:
            continue
        value = text
        # A header drops blanks at the end, and the reader those at the start.
        if not (text.isascii() and text.isprintable() and text == text.strip()):
            value = quote(text, safe=_SAFE, errors="surrogateescape")
            encoded.append(name)
        cards.append((name, value, comment if len(value) <= _MAX_COMMENTED else ""))
    if encoded:
        cards.append((PERCENT, " ".join(encoded), "cards in percent-encoded UTF-8"))
    return cards


def _coordinates(scale: float, height: int, width: int) -> Iterator[_Card]:
    """Yield the cards of a tangential projection, and of offsets from the middle."""
    step = scale / ARCSEC_PER_DEGREE
    axes = ((1, width, "RA---TAN", -step, "x"), (2, height, "DEC--TAN", step, "y"))
    yield "WCSAXES", 2, "no position on the sky: 0, 0 stands for it"
    yield "RADESYS", "ICRS", ""
    for axis, side, kind, towards, _ in axes:
        yield f"CTYPE{axis}", kind, "y points north, x west"
        yield f"CUNIT{axis}", "deg", ""
        yield f"CRPIX{axis}", (side + 1) / 2, "middle of the image [pixel]"
        yield f"CRVAL{axis}", 0.0, "[deg]"
        yield f"CDELT{axis}", towards, "pixel scale [deg]"
    yield "WCSAXESA", 2, ""
    yield "WCSNAMEA", "OFFSET", "from the middle, as in the parameters"
    for axis, side, _, _, name in axes:
        yield f"CTYPE{axis}A", name, ""
        yield f"CUNIT{axis}A", "arcsec", ""
        yield f"CRPIX{axis}A", (side + 1) / 2, ""
        yield f"CRVAL{axis}A", 0.0, ""
        yield f"CDELT{axis}A", scale, ""
    yield "PIXSCALE", scale, "pixel scale [arcsec]"


def _parameters(values: Mapping[str, float], units: Mapping[str, str]) -> Iterator[_Card]:
    """Yield a card for each parameter that is known and that a header can hold."""
    for name, value in values.items():
        if math.isfinite(value) and _NAME.fullmatch(name):
            unit = units.get(name, "")
            fits_in = _UNIT.fullmatch(unit) and len(name + unit) <= _MAX_NAME_AND_UNIT
            yield f"HIERARCH PAR {name}", float(value), f"[{unit}]" if fits_in else ""


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
