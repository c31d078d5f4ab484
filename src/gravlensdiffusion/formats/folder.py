"""Which files a data set consists of, which things in its folder cannot belong to it, and what is said of these."""

import stat
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gravlensdiffusion.errors import BadImageError, GravLensError, listed
from gravlensdiffusion.formats.companions import (
    IMAGE_SUFFIXES,
    advice,
    maps_of_images,
    sort_files,
    with_classes,
)
from gravlensdiffusion.formats.fits_catalogue import find_catalogued
from gravlensdiffusion.formats.hdf5 import is_lenstronomy
from gravlensdiffusion.formats.writers import format_folders
from gravlensdiffusion.sets.naming import (
    SHARD_SUFFIXES,
    is_beside,
    is_document,
    is_preview,
    natural_key,
    parse_name,
    split_name,
)


@dataclass(kw_only=True, slots=True)
class Listing:
    """The files of a data set.

    Attributes:
        files: Image files in natural order, each with the name of its class folder or None.
        shards: Files of the project's own format.
        problems: One line for each thing that cannot be used.
        notes: What the user should know besides, one line each.
        last_notes: Likewise, behind what `told_beside` says.
        maps: The maps of each image that has some, by kind.
        same: Other formats that the set lies in as well, and their numbers of images.
        num_hidden: Entries that begin with a dot or ``__MACOSX``, which are not looked at.
        documents: Files about the set, such as LICENSE.
        companions: What each file is that goes with an image and is none itself: ``noise map``.
    """

    root: Path
    follow_links: bool = False
    files: list[tuple[Path, str | None]] = field(default_factory=list)
    shards: list[Path] = field(default_factory=list)
    class_names: tuple[str, ...] = ()
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    last_notes: list[str] = field(default_factory=list)
    maps: dict[Path, dict[str, Path]] = field(default_factory=dict)
    band: str | None = None
    same: dict[str, int] = field(default_factory=dict)
    num_hidden: int = 0
    documents: list[Path] = field(default_factory=list)
    companions: dict[Path, str] = field(default_factory=dict)

    def check_same(self, name: str, num: int) -> None:
        """Refuse a folder whose formats hold different sets."""
        for other, count in self.same.items():
            if count != num:
                raise GravLensError(
                    f"{self.root}: holds {num} images in {name} and {count} in {other}, so that they are "
                    "no set in two formats; name one of them"
                )

    def told_beside(self, stacks: Collection[Path]) -> Iterator[str]:
        """Say what lies beside images, one line each; maps beside stacks of images are left alone."""
        every = [own for image, own in self.maps.items() if image not in stacks]
        maps = {path: kind for own in every for kind, path in own.items()}
        left = {path: kind for path, kind in self.companions.items() if path not in maps}
        for companions, fate in ((maps, "taken for that of an image"), (left, "left alone")):
            firsts = {kind: path for path, kind in reversed(companions.items())}
            for kind, num in Counter(companions.values()).items():
                yield f"named like {kind}s, {fate}: {num}; {firsts[kind].name} first"


def list_folder(
    root: Path, *, band: str | None = None, mixed: bool = False, follow_links: bool = False
) -> Listing:
    """List a folder of images, of class folders, of folders of one object each, or of shards, as `open_set` says."""
    listing = Listing(root=root, follow_links=follow_links)
    visible = _visible(root, listing)
    formats = format_folders(path for path in visible if path.is_dir())
    is_ours = bool(formats) or any(path.suffix.lower() in SHARD_SUFFIXES for path in visible)
    kinds: dict[Path, str | None] = {}
    for path in visible:
        if is_preview(path.name, root.resolve().name) or (is_ours and is_beside(path.name)):
            listing.documents.append(path)
        else:
            kinds[path] = _kind(path, listing)
    folders, listing.shards, images, tables = (
        [path for path, found in kinds.items() if found == kind]
        for kind in ("folder", "shard", "image", "table")
    )
    listing.files = [(path, None) for path in images]
    if formats and set(formats) == set(folders):
        folders = []
        _list_formats(formats, listing)
    catalogued = find_catalogued([path for path, _ in listing.files])
    listing.companions = {path: kind for path, kind in catalogued.items() if kind}
    listing.files = [entry for entry in listing.files if entry[0] not in catalogued]
    folders = _leave_companions(folders, listing)
    _refuse_mixture(listing, folders)
    empty = [folder.name for folder in folders if not _list_class(folder, listing)]
    listing.class_names = tuple(folder.name for folder in folders if folder.name not in empty)
    if listing.companions and len(folders) == 1:
        listing.class_names = ()
        listing.files = [(path, None) for path, _ in listing.files]
    of_bands = _choose_band(listing, band, mixed=mixed)
    num_objects = _find_objects(listing)
    of_table = _take_classes(listing, tables)
    if not (listing.files or listing.shards or listing.problems):
        raise GravLensError(f"{root}: holds no images")
    listing.maps = maps_of_images([path for path, _ in listing.files], listing.companions)
    listing.notes = [*of_table, *_notes(listing, empty, num_objects)]
    listing.last_notes = of_bands
    if listing.same:
        others = ", ".join(listing.same)
        listing.last_notes.append(f"the same images in other formats, left alone: {others}")
    if listing.documents:
        names = listed(path.name for path in listing.documents)
        listing.last_notes.append(f"files about the set, left alone: {names}")
    return listing


def _notes(listing: Listing, empty: list[str], num_objects: int) -> Iterator[str]:
    """Say what lies in a folder beside the images, one line each."""
    hidden = "hidden entries, whose names begin with a dot or __MACOSX, left alone"
    if listing.num_hidden:
        yield f"{hidden}: {listing.num_hidden}"
    if empty:
        yield f"folders without images, left out: {listed(empty)}"
    if num_objects:
        yield f"folders of one object each, whose names are no classes: {num_objects}"


def _take_classes(listing: Listing, tables: list[Path]) -> list[str]:
    """Take the classes from a table beside the images, which counts before names of folders."""
    if not tables:
        return []
    table = tables[0]
    listing.problems += [f"{path}: is a second table beside {table}" for path in tables[1:]]
    try:
        listing.files, notes = with_classes(listing.files, table)
    except (BadImageError, OSError) as error:
        listing.problems.append(f"{table}: {error}")
        return []
    listing.class_names = ()
    return notes


def _list_formats(formats: list[Path], listing: Listing) -> None:
    """List a set that lies in several formats once."""
    listing.same = {folder.name: len(_visible(folder, listing)) for folder in formats}
    if not listing.shards:
        first = formats[0]
        own = (path for path in _visible(first, listing) if _kind(path, listing) == "image")
        listing.files += [(path, None) for path in own]
        listing.check_same(first.name, listing.same.pop(first.name))


def _leave_companions(folders: list[Path], listing: Listing) -> list[Path]:
    """Return the folders without those that are called ``noise`` or ``psf`` beside ``images``."""
    names = {folder: parse_name(folder.name) for folder in folders}
    whole = {folder: name for folder, name in names.items() if not (name.rest or name.letter)}
    if not any(name.is_image and not name.kind for name in whole.values()):
        return folders
    listing.companions |= {folder: name.kind for folder, name in whole.items() if name.kind}
    return [folder for folder in folders if folder not in listing.companions]


def _choose_band(listing: Listing, band: str | None, *, mixed: bool) -> list[str]:
    """Leave companions and other bands, and say which bands there are."""
    try:
        found = sort_files([path for path, _ in listing.files], band, mixed=mixed)
    except GravLensError as error:
        raise GravLensError(f"{listing.root}: {error}") from None
    listing.companions |= found.companions
    listing.band = found.band
    images, kept = set(found.images), {path.parent for path in found.images}
    emptied = {path.parent: path for path, _ in listing.files if path.parent not in kept}
    listing.files = [entry for entry in listing.files if entry[0] in images]
    for folder, last in emptied.items():
        listing.problems.append(
            f"{folder}: all its files are named like companions of images or other bands "
            f"({last.name} is one); name the images otherwise, or name one file"
        )
    if found.other_bands:
        num, first = len(found.other_bands), found.other_bands[0].name
        return [f"images of other bands than {found.band}, left alone: {num}; {first} first"]
    counts = ", ".join(f"{num} of {band}" for band, num in found.bands.items())
    note = f"images of several bands, by their names: {counts}; `band` chooses one"
    return [note] if len(found.bands) > 1 else []


def _find_objects(listing: Listing) -> int:
    """Tell folders of one object from those of a class, and return how many there are."""
    images_of: defaultdict[Path, list[Path]] = defaultdict(list)
    for path, class_name in listing.files:
        if class_name is not None:
            images_of[path.parent].append(path)
    beside = Counter(path.parent for path in listing.companions)
    objects = {folder for folder, own in images_of.items() if _is_object(folder, own, beside)}
    if 2 * len(objects) <= len(images_of):
        return 0
    listing.class_names = ()
    listing.files = [(path, None) for path, _ in listing.files if path.parent in objects]
    listing.problems += [
        f"{folder}: is not one object, as most folders are: holds {len(own)} images, {own[0].name} "
        "first"
        for folder, own in images_of.items()
        if folder not in objects
    ]
    return len(objects)


def _is_object(folder: Path, images: Iterable[Path], beside: Mapping[Path, int]) -> bool:
    """Return whether a folder holds one object: an image named ``image``, or like it with something beside."""
    image, *others = images
    rest = parse_name(split_name(image)[0]).rest
    is_named_so = bool(beside[folder]) and rest == parse_name(folder.name).rest
    return not others and image.suffix.lower() != ".npz" and (not rest or is_named_so)


def _list_class(folder: Path, listing: Listing) -> bool:
    """List the folder of a class and return whether it holds anything."""
    num_before = len(listing.files) + len(listing.problems)
    for path in _visible(folder, listing):
        kind = _kind(path, listing)
        if kind in ("image", "shard"):
            listing.files.append((path, folder.name))
        elif kind is not None:
            listing.problems.append(f"{path}: is a {kind}, expected an image in a class folder")
    return len(listing.files) + len(listing.problems) > num_before


def _refuse_mixture(listing: Listing, folders: list[Path]) -> None:
    """Refuse a folder that can be understood in more than one way."""
    present = {
        "HDF5 files": [path.name for path in listing.shards],
        "images": [path.name for path, _ in listing.files],
        "folders": [path.name for path in folders],
    }
    kinds = [f"{kind} ({names[0]}, ...)" for kind, names in present.items() if names]
    if len(kinds) > 1:
        both = " and ".join(kinds)
        raise GravLensError(f"{listing.root}: holds {both}; name one of them instead")


def _visible(folder: Path, listing: Listing) -> list[Path]:
    entries = list(folder.iterdir())
    visible = [path for path in entries if not path.name.startswith((".", "__MACOSX"))]
    listing.num_hidden += len(entries) - len(visible)
    return sorted(visible, key=lambda path: natural_key(path.name))


def _kind(path: Path, listing: Listing) -> str | None:
    """Return ``folder``, ``shard`` or ``image``; anything else becomes a problem or a note."""
    try:
        target = path.resolve(strict=True)
        mode = target.stat().st_mode
    # A link in a circle is a RuntimeError before Python 3.13.
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "broken link"
        listing.problems.append(f"{path}: cannot be read ({reason})")
        return None
    is_inside = listing.follow_links or not path.is_symlink()
    if not is_inside and not target.is_relative_to(listing.root.resolve()):
        listing.problems.append(
            f"{path}: is a link that leaves {listing.root}; refused, but for `follow_links`"
        )
    elif stat.S_ISDIR(mode):
        return "folder"
    elif not stat.S_ISREG(mode):
        listing.problems.append(f"{path}: is no regular file")
    elif path.suffix.lower() in SHARD_SUFFIXES:
        return "image" if is_lenstronomy(path) else "shard"
    elif split_name(path)[1] in IMAGE_SUFFIXES:
        return "image"
    elif path.suffix.lower() == ".csv":
        return "table"
    elif is_document(path.name):
        listing.documents.append(path)
    else:
        listing.problems.append(
            f"{path}: is no image ({' '.join((*IMAGE_SUFFIXES, *SHARD_SUFFIXES))} can be read); "
            f"{advice(path)}"
        )
    return None
