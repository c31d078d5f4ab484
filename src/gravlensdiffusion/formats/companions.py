"""Which files are images of lenses, by their names, and what lies beside them: maps, a table, what is not read."""

import csv
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from gravlensdiffusion.errors import BadImageError, GravLensError, listed
from gravlensdiffusion.sets.naming import (
    FITS_SUFFIXES,
    SHARD_SUFFIXES,
    NameParts,
    are_bands,
    parse_name,
    split_name,
)

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
IMAGE_SUFFIXES = (".npy", ".npz", *FITS_SUFFIXES, *PICTURE_SUFFIXES)

_READ_BY = {
    ".gif .bmp .webp .jp2": "np.asarray(PIL.Image.open({file}).convert('L'))",
    ".pt .pth": "torch.load({file}, weights_only=True).numpy()",
    ".pkl .pickle": "np.load({file}, allow_pickle=True)",
    ".mat": "scipy.io.loadmat({file})['images']",
    ".parquet": "np.stack(pandas.read_parquet({file})['image'])",
}
"""How an array comes out of other files, by suffix."""
ARCHIVES = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".zst", ".rar"})
"""Files that have to be unpacked."""
MAX_TABLE_BYTES = 2**26
FILE_COLUMNS = ("file", "filename", "file_name", "path", "image", "image_name", "name")
LABEL_COLUMNS = ("label", "labels", "class", "class_name", "target", "y")
"""What the columns are called, in any case; the first that is there counts."""
_Names = dict[Path, NameParts]
_Key = tuple[Path, tuple[str, ...]]


class _Sorted(NamedTuple):
    """Images in order, what each file that goes with one is, images of bands left, and the band kept of how many."""

    images: tuple[Path, ...]
    companions: dict[Path, str]
    other_bands: tuple[Path, ...]
    bands: dict[str, int]
    band: str | None


def sort_files(files: Sequence[Path], band: str | None = None, *, mixed: bool = False) -> _Sorted:
    """Tell images from their companions, and one band from another.

    Args:
        files: Image files of a data set, from one folder or several.
        band: The band to keep, as ``g`` or ``F814W``; None where there is but one of each object.
        mixed: Whether to keep the most common band where there are several and none is chosen.

    Raises:
        GravLensError: If there are several bands of one object and none is chosen, or no image is
            of the chosen one.
    """
    companions = dict.fromkeys(_pictures_beside(files), "picture")
    names = {path: parse_name(split_name(path)[0]) for path in files if path not in companions}
    companions |= _find_companions(names)
    images = {path: name for path, name in names.items() if path not in companions}
    bands = _find_bands(images)
    counts = Counter(found for found in bands.values() if found)
    is_other = dict.fromkeys(images, False)
    if band is None:
        band = _band_of_several(images, bands, counts, mixed=mixed)
    if band is not None:
        _check_band(images, bands, band, counts)
        is_other = {path: bool(found) and not is_band(found, band) for path, found in bands.items()}
    return _Sorted(
        images=tuple(path for path in images if not is_other[path]),
        companions=companions,
        other_bands=tuple(path for path in images if is_other[path]),
        bands=dict(sorted(counts.items())),
        band=band,
    )


def is_of_images(path: Path) -> bool:
    """Whether a file may hold images, as its name says."""
    return split_name(path)[1] in (*IMAGE_SUFFIXES, *SHARD_SUFFIXES)


def advice(path: Path) -> str:
    """Return what to do with a file of a kind that is not read, as the end of a message."""
    suffix = path.suffix.lower()
    if suffix in ARCHIVES:
        return "unpack it first"
    known = (read for suffixes, read in _READ_BY.items() if suffix in suffixes.split())
    read = next(known, "an array of shape (N, H, W)").format(file=repr(path.name))
    trusted = (
        " (which runs code in it: only for files that you trust)" if "allow_pickle" in read else ""
    )
    target = path.with_suffix(".npy").name
    return f"in Python, images = {read}{trusted} and np.save({target!r}, images) make a set of it"


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
    """
    found: defaultdict[_Key, list[tuple[NameParts, Path]]] = defaultdict(list)
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


def _pictures_beside(files: Sequence[Path]) -> list[Path]:
    """Return the pictures of images that lie beside them under the same name: ``X.jpg`` beside ``X.fits``."""
    pictures = {path for path in files if path.suffix.lower() in PICTURE_SUFFIXES}
    data = {path.with_suffix("") for path in files if path not in pictures}
    return sorted(path for path in pictures if path.with_suffix("") in data)


def _find_companions(names: _Names) -> dict[Path, str]:
    """Return the kind of each file that goes with an image."""
    partners: defaultdict[_Key, list[NameParts]] = defaultdict(list)
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


def _find_bands(images: _Names) -> dict[Path, str]:
    """Return the band of each image, empty where there is none."""
    letters: defaultdict[_Key, set[str]] = defaultdict(set)
    stated: set[_Key] = set()
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


def _check_band(images: _Names, bands: dict[Path, str], band: str, counts: Counter[str]) -> None:
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
    images: _Names, bands: dict[Path, str], counts: Counter[str], *, mixed: bool
) -> str | None:
    """Return the most common of several bands of one object, or refuse them; None where there is but one."""
    of_object: defaultdict[_Key, dict[str, Path]] = defaultdict(dict)
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


def with_classes(
    files: list[tuple[Path, str | None]], table: Path
) -> tuple[list[tuple[Path, str | None]], list[str]]:
    """Return files with the classes of a table beside them, not of folders, and what the user should know of it.

    A row names a file by its path from the table, its name, or its name without the suffix.

    Raises:
        BadImageError: If it is no such table, names none of the files, or does not tell two apart.
    """
    classes = _read_table(table)
    found: dict[str, Path] = {}
    labelled: list[tuple[Path, str | None]] = []
    for path, _ in files:
        whole = path.relative_to(table.parent).as_posix()
        own = (whole, path.name, path.stem, split_name(path)[0])
        name = next((each for each in own if each in classes), None)
        if name is not None and found.setdefault(name, path) != path:
            raise BadImageError(f"names two files {name:.100}: {found[name]} and {path}")
        labelled.append((path, None if name is None else classes[name]))
    if not found:
        raise BadImageError("names none of the images beside it")
    notes = [f"classes of {len(found)} files from {table.name}"]
    missing = [name for name in classes if name not in found]
    if missing:
        notes.append(f"files that {table.name} names and that are not here: {listed(missing)}")
    without = [path.name for path, label in labelled if label is None]
    if without:
        notes.append(f"files that {table.name} gives no class: {listed(without)}")
    return labelled, notes


def _read_table(path: Path) -> dict[str, str]:
    """Return the class of each file that a table names; rows without one are left out."""
    if path.stat().st_size > MAX_TABLE_BYTES:
        raise BadImageError(f"is a table of over {MAX_TABLE_BYTES} bytes")
    classes: dict[str, str] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = csv.reader(stream)
            head = [name.strip().lower() for name in next(rows, [])]
            file, label = _column(head, FILE_COLUMNS), _column(head, LABEL_COLUMNS)
            for row in rows:
                if len(row) <= max(file, label) or not row[label].strip():
                    continue
                name, value = row[file].strip(), row[label].strip()
                if classes.setdefault(name, value) != value:
                    raise BadImageError(f"gives {name:.100} two classes")
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadImageError(f"is a damaged table ({error!s:.100})") from error
    return classes


def _column(head: list[str], names: tuple[str, ...]) -> int:
    for name in names:
        if name in head:
            return head.index(name)
    raise BadImageError(
        f"is no image, and no table of classes, of which the first line is 'file,label'; its "
        f"columns are {listed(head) or 'none'}"
    )
