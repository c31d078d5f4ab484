"""Which files of a folder are images of lenses, by their names, and which lie beside them."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.naming import (
    FITS_SUFFIXES,
    NameParts,
    are_bands,
    parse_name,
    split_name,
)

Names = dict[Path, NameParts]
Key = tuple[Path, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sorting:
    """The files of a folder, sorted by their names.

    Attributes:
        images: Images, in the order that they came in.
        companions: What each file that goes with an image is: ``noise map``, ``PSF``, ...
        other_bands: Images of bands that were not chosen.
        bands: How many images there are of each band that names tell.
        band: The band that was kept, or None.
    """

    images: tuple[Path, ...]
    companions: dict[Path, str]
    other_bands: tuple[Path, ...]
    bands: dict[str, int]
    band: str | None


def sort_files(files: Sequence[Path], band: str | None = None, *, mixed: bool = False) -> Sorting:
    """Tell images from their companions, and one band from another.

    Args:
        files: Image files of a data set, from one folder or several.
        band: The band to keep, as ``g`` or ``F814W``; None where there is but one of each object.
        mixed: Whether to keep the most common band where there are several and none is chosen.

    Raises:
        GravLensError: If there are several bands of one object and none is chosen, or no image is
            of the chosen one.
    """
    names = {path: parse_name(split_name(path)[0]) for path in files}
    companions = _find_companions(names)
    images = {path: name for path, name in names.items() if path not in companions}
    bands = _find_bands(images)
    counts = Counter(found for found in bands.values() if found)
    is_other = dict.fromkeys(images, False)
    if band is None:
        band = _band_of_several(images, bands, counts, mixed=mixed)
    if band is not None:
        _check_band(images, bands, band, counts)
        is_other = {path: bool(found) and not is_band(found, band) for path, found in bands.items()}
    return Sorting(
        images=tuple(path for path in images if not is_other[path]),
        companions=companions,
        other_bands=tuple(path for path in images if is_other[path]),
        bands=dict(sorted(counts.items())),
        band=band,
    )


def is_band(stated: str, asked: str) -> bool:
    """Return whether a band, as a name states it, is the one that is asked for.

    ``g`` is any survey's; ``hsc_g`` is that of one.
    """
    name = parse_name(asked)
    wanted = name.band or name.letter
    return bool(wanted) and (stated == wanted or stated.endswith(f"_{wanted}"))


def maps_of_images(
    images: Sequence[Path], companions: Mapping[Path, str]
) -> dict[Path, dict[str, Path]]:
    """Return the one map of each kind that lies beside an image, for all that have some.

    Kinds are those of `NameParts.map`: noise, data quality and weights; maps of variances are none.

    Args:
        images: Image files.
        companions: What each file beside them is.
    """
    found: defaultdict[Key, list[tuple[NameParts, Path]]] = defaultdict(list)
    for path, kind in companions.items():
        stem, suffix = split_name(path)
        name = parse_name(stem)
        if kind == name.kind and name.map and suffix in (*FITS_SUFFIXES, ".npy"):
            found[path.parent, name.rest].append((name, path))
    maps: dict[Path, dict[str, Path]] = {}
    for path in images:
        name = parse_name(split_name(path)[0])
        own: defaultdict[str, list[Path]] = defaultdict(list)
        for other, each in found[path.parent, name.rest]:
            if _go_together(other, name):
                own[other.map].append(each)
        sure = {kind: each[0] for kind, each in own.items() if len(each) == 1}
        if sure:
            maps[path] = sure
    return maps


def _find_companions(names: Names) -> dict[Path, str]:
    """Return the kind of each file that goes with an image."""
    partners: defaultdict[Key, list[NameParts]] = defaultdict(list)
    has_images: set[Path] = set()
    for path, name in names.items():
        if not name.kind:
            partners[path.parent, name.rest].append(name)
            has_images.add(path.parent)
    found = {}
    for path, name in names.items():
        is_whole = not name.rest and not name.letter and path.parent in has_images
        is_beside = any(_go_together(name, other) for other in partners[path.parent, name.rest])
        if name.kind and (name.is_certain or is_whole or is_beside):
            found[path] = name.kind
    return found


def _go_together(companion: NameParts, image: NameParts) -> bool:
    """Return whether bands and single letters of two names do not contradict each other."""
    pairs = ((companion.band, image.band), (companion.letter, image.letter))
    return all(one == other or not one or not other for one, other in pairs)


def _find_bands(images: Names) -> dict[Path, str]:
    """Return the band of each image, empty where there is none."""
    letters: defaultdict[Key, set[str]] = defaultdict(set)
    stated: set[Key] = set()
    for path, name in images.items():
        key = (path.parent, name.rest)
        if name.letter:
            letters[key].add(name.letter)
        if name.band:
            stated.add(key)
    are = {key: are_bands(frozenset(found), key in stated) for key, found in letters.items()}
    return {
        path: name.band or (name.letter if are.get((path.parent, name.rest)) else "")
        for path, name in images.items()
    }


def _check_band(images: Names, bands: dict[Path, str], band: str, counts: Counter[str]) -> None:
    """Refuse a band that no file can be of."""
    for path, name in images.items():
        # Extensions of FITS files may be of several bands.
        may_hold_it = not bands[path] and split_name(path)[1] in FITS_SUFFIXES
        if may_hold_it or is_band(bands[path] or name.letter, band):
            return
    raise GravLensError(
        f"no file is of band '{band}' by its name; there are: {_counted(counts) or 'none'}"
    )


def _band_of_several(
    images: Names, bands: dict[Path, str], counts: Counter[str], *, mixed: bool
) -> str | None:
    """Return the most common of several bands of one object, or refuse them; None where there is but one."""
    of_object: defaultdict[Key, dict[str, Path]] = defaultdict(dict)
    for path, name in images.items():
        if bands[path]:
            of_object[path.parent, name.rest].setdefault(bands[path], path)
    several = [found for found in of_object.values() if len(found) > 1]
    if several and mixed:
        return counts.most_common(1)[0][0]
    if several:
        example = " and ".join(path.name for path in list(several[0].values())[:2])
        raise GravLensError(
            f"holds {len(several)} object{'s' if len(several) > 1 else ''} in several bands, as "
            f"{example}; choose one with `band`: {_counted(counts)}"
        )
    return None


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{band} ({num})" for band, num in sorted(counts.items()))
