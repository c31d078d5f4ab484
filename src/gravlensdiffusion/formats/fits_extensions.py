"""Which of the images of a FITS file is that of the lens."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.errors import AmbiguousImageError, BadImageError, listed
from gravlensdiffusion.formats.companions import is_band
from gravlensdiffusion.formats.image import image_shape, looks_like
from gravlensdiffusion.sets.naming import NOISE, QUALITY, WEIGHT, parse_name

KIND_CARDS = ("EXTNAME", "IMAGETYP", "EXTTYPE", "HDUCLAS2", "HDUCLAS3")
"""Cards that say what an image is, in words."""
_MAX_LOOKED_AT = 8
"""Images of one file whose pixels are looked at where nothing else tells them apart."""
_MAX_NAMED = 4
"""Images left of a file that are named one by one; more are counted by what they are."""
_listed = partial(listed, most=12)
"""Returns the extensions that a message lists."""
_NAMELESS = ("", "PRIMARY", "COMPRESSED_IMAGE")
_CALIBRATION = re.compile("dark|flat|bias|zero", re.IGNORECASE)
_SQUARED = re.compile(r"\)\s*(\*\*|\^)\s*-?2$|^1\s*/")
"""The unit of a variance, or of its inverse."""
_Reader = Callable[[Any], NDArray[np.generic]]


class Choice(NamedTuple):
    """What the user chooses where a file holds several images.

    Attributes:
        hdu: Name or number of the HDU, ``NAME,2`` for the second of a name; None for none.
        band: A band, or None.
        bands: Bands that become the channels of an image, in order; empty for one image alone.
        is_map: Whether what is called a companion of an image is what is meant, too.
    """

    hdu: str | None = None
    band: str | None = None
    bands: tuple[str, ...] = ()
    is_map: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class _Extension:
    """One image of a file, by its header; ``kind``, ``is_certain``, ``is_image`` and ``map`` are as in `NameParts`."""

    number: int
    name: str  # with the version, as ``SCI,2``; the number where there is no name
    kind: str
    is_certain: bool
    is_image: bool
    band: str
    version: int
    map: str
    hdu: Any


def choose(
    hdus: Iterable[Any], choice: Choice, read: _Reader
) -> tuple[list[tuple[int, dict[str, int]]], str]:
    """Return the HDU of the lens, or that of each band, each with those of its maps, and what is said of the choice.

    Headers come first: what is called a companion, by `KIND_CARDS` or unit, is none, and what is called
    an image is one. Of several that nothing tells apart those count that look like images.

    The map of noise, data quality or weights of an image has its band and version (`SCI,2` and `ERR,2`); one
    that states no band goes with the image of a file that holds no other. Maps of variances are none, nor are
    those of noise and weights that have another size.

    Args:
        hdus: The HDUs of a file.
        choice: What the user chooses.
        read: Returns the pixels of an HDU, shape ``(H, W)``.

    Raises:
        AmbiguousImageError: If there are several images, or none but companions.
        BadImageError: If there is no image, none that was chosen, or none of a band.
    """
    found = [_describe(k, hdu) for k, hdu in enumerate(hdus) if is_image(hdu)]
    taken = _of_bands(found, choice.bands, read) if choice.bands else [_one(found, choice, read)]
    maps = [_maps_of(each, found) for each in taken]
    numbers = [
        (each.number, {kind: beside.number for kind, beside in own.items()})
        for each, own in zip(taken, maps, strict=True)
    ]
    return numbers, _taken_text(taken, maps, found)


def _one(found: list[_Extension], choice: Choice, read: _Reader) -> _Extension:
    """Return the image of the lens among all images of a file."""
    if not found:
        raise BadImageError("holds no image")
    if choice.hdu is not None:
        return _asked_for(found, choice.hdu)
    images = [each for each in found if choice.is_map or not each.kind]
    if not images and (len(found) > 1 or found[0].is_certain):
        kinds = dict.fromkeys(f"{each.name} ({each.kind})" for each in found)
        raise AmbiguousImageError(f"holds only {_listed(kinds)}; `hdu` chooses one all the same")
    images = _of_band(images or found, choice.band)
    if len(images) > 1:
        images = [each for each in images if each.is_image] or images
    if 1 < len(images) <= _MAX_LOOKED_AT and not any(each.is_image for each in images):
        images = [each for each in images if _looks_like_image(each, read)] or images
    if len(images) > 1:
        raise AmbiguousImageError(
            f"holds {len(images)} images; choose one with `hdu`: "
            f"{_listed(each.name for each in images)}"
        )
    return images[0]


def _of_bands(found: list[_Extension], bands: Sequence[str], read: _Reader) -> list[_Extension]:
    """Return the image of each band, or the one image that has a plane for each."""
    images = [each for each in found if not each.kind]
    cubes = [each for each in images if _shape(each)[:1] == (len(bands),)]
    if len(images) == len(cubes) == 1:
        return cubes
    chosen = []
    for band in bands:
        image = _one(found, Choice(band=band), read)
        if not (image.band and is_band(image.band, band)):
            names = dict.fromkeys(each.band for each in images if each.band)
            raise BadImageError(
                f"has no image of band '{band}'; there are {_listed(names) or 'none'}"
            )
        chosen.append(image)
    return chosen


def _maps_of(image: _Extension, found: Sequence[_Extension]) -> dict[str, _Extension]:
    """Return the one map of each kind that goes with an image."""
    maps = {}
    is_alone = sum(not each.kind for each in found) == 1
    for kind in () if image.kind else (QUALITY, WEIGHT, NOISE):
        every = [
            each
            for each in found
            if each.map == kind and (kind == QUALITY or each.hdu.shape == image.hdu.shape)
        ]
        own = [each for each in every if each.band == image.band and each.version == image.version]
        own = own or every * is_alone
        if len(own) == 1:
            maps[kind] = own[0]
    return maps


def _taken_text(
    taken: Sequence[_Extension],
    maps: Sequence[Mapping[str, _Extension]],
    found: Sequence[_Extension],
) -> str:
    """Say which of the images of a file were taken, and which were left; empty where it holds but one."""
    beside = [(kind, each) for own in maps for kind, each in own.items()]
    numbers = {each.number for each in (*taken, *(each for _, each in beside))}
    others = [each for each in found if each.number not in numbers]
    if not (others or beside):
        return ""
    told = f"of FITS files HDU {', '.join(each.name for each in taken)} taken"
    if beside:
        kinds = {
            kind: ", ".join(each.name for own, each in beside if own == kind) for kind, _ in beside
        }
        told += " with " + " and ".join(
            f"the {kind.removesuffix(' map')} in {names}" for kind, names in kinds.items()
        )
    left = ", ".join(each.name for each in others)
    if len(others) > _MAX_NAMED:
        kinds_left = [each.kind or "other image" for each in others]
        left = ", ".join(
            f"{num} {kind}{'s' if num > 1 else ''} ({others[kinds_left.index(kind)].name} first)"
            for kind, num in Counter(kinds_left).items()
        )
    return told + (f", {left} left" if others else "")


def is_image(hdu: Any) -> bool:
    """Return whether an HDU holds an image, perhaps of several planes."""
    return bool(hdu.is_image) and len(hdu.shape) >= 2


def _describe(number: int, hdu: Any) -> _Extension:
    header = hdu.header
    texts = {card: str(header.get(card, "")).strip() for card in (*KIND_CARDS, "FILTER", "BUNIT")}
    name = texts["EXTNAME"] if texts["EXTNAME"].upper() not in _NAMELESS else ""
    parts = parse_name(name)
    kind, is_certain = parts.kind, parts.is_certain
    for card in KIND_CARDS[1:]:
        stated = parse_name(texts[card])
        if not kind and _CALIBRATION.fullmatch(texts[card]):
            kind, is_certain = f"{texts[card].lower()} frame", True
        # An exposure is an image, too.
        if not kind and stated.is_certain and not stated.rest and stated.kind != "exposure map":
            kind, is_certain = stated.kind, True
    if not kind and not parts.is_image and _SQUARED.search(texts["BUNIT"]):
        kind, is_certain = "noise map", True
    of_filter = parse_name(texts["FILTER"])
    own = parts.band or ("" if parts.rest else parts.letter)
    version = header.get("EXTVER", 1)
    shown = f"{name:.40}" + (f",{version}" if version != 1 else "")
    return _Extension(
        number=number,
        name=shown if name else str(number),
        kind=kind,
        is_certain=is_certain,
        is_image=parts.is_image and not kind,
        band=own or of_filter.band or of_filter.letter,
        version=version,
        map="" if parts.map == NOISE and _SQUARED.search(texts["BUNIT"]) else parts.map,
        hdu=hdu,
    )


def _asked_for(found: list[_Extension], asked: str) -> _Extension:
    """Return the image of a name or a number."""
    wanted = re.sub(r"\s*,\s*", ",", asked.strip()).upper()
    primary = "0" if wanted == "PRIMARY" else wanted
    exact = [each for each in found if str(each.number) == primary]
    exact = exact or [each for each in found if each.name.upper() == wanted.removesuffix(",1")]
    if len(exact) == 1:
        return exact[0]
    names = _listed(each.name for each in found)
    what = f"several images of the name '{asked}'" if exact else f"no image in HDU '{asked}'"
    raise BadImageError(f"has {what}; there are {names}")


def _of_band(images: list[_Extension], band: str | None) -> list[_Extension]:
    """Return the images of a band, or else those that state none."""
    if band is None:
        return images
    kept = [each for each in images if each.band and is_band(each.band, band)]
    kept = kept or [each for each in images if not each.band]
    if not kept:
        names = _listed(dict.fromkeys(each.band for each in images))
        raise BadImageError(f"has no image of band '{band}'; there are {names}")
    return kept


def _looks_like_image(extension: _Extension, read: _Reader) -> bool:
    # What it is cannot be told where it is none in shape, so it stays in doubt.
    return not _shape(extension) or not looks_like(read(extension.hdu))


def _shape(extension: _Extension) -> tuple[int, ...]:
    """Return ``(C, H, W)``, or nothing where that is no shape of an image."""
    try:
        return image_shape(extension.hdu.shape)
    except BadImageError:
        return ()
