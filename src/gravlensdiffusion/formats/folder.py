"""Which files a data set consists of, and which things in its folder cannot belong to it."""

import stat
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gravlensdiffusion.errors import BadImageError, GravLensError, listed
from gravlensdiffusion.formats.advice import advice
from gravlensdiffusion.formats.companions import sort_files
from gravlensdiffusion.formats.fits_catalogue import find_catalogued
from gravlensdiffusion.formats.hdf5 import is_lenstronomy
from gravlensdiffusion.formats.label_table import with_classes
from gravlensdiffusion.sets.naming import is_document, natural_key, parse_name, split_name
from gravlensdiffusion.store.layout import format_folders, is_beside, is_preview
from gravlensdiffusion.store.reader import SHARD_SUFFIXES

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
IMAGE_SUFFIXES = (".npy", ".npz", ".fits", ".fit", ".fts", *PICTURE_SUFFIXES)


def is_of_images(path: Path) -> bool:
    """Whether a file may hold images, as its name says."""
    return split_name(path)[1] in (*IMAGE_SUFFIXES, *SHARD_SUFFIXES)


@dataclass(kw_only=True, slots=True)
class Listing:
    """The files of a data set.

    Attributes:
        files: Image files in natural order, each with the name of its class folder or None.
        shards: Files of the project's own format.
        class_names: Names of the class folders in natural order, or empty.
        problems: One line for each thing that cannot be used.
        num_hidden: Entries whose name begins with a dot, or with ``__MACOSX``; they are not looked
            at.
        empty: Names of folders that hold nothing else.
        documents: Files about the set, such as LICENSE.
        companions: What each file that goes with an image is, as ``noise map``; they are no images
            of the set.
        other_bands: Images of bands that were not chosen.
        bands: How many images there are of each band that names tell.
        band: The band that was kept, or None.
        num_objects: Folders of one object each, whose names are no classes.
        maps: What companions that are maps of an image are, as ``weight map``, taken out of the others.
        same: Other formats that the set lies in as well, and their numbers of images.
        tables: CSV files, of which one may give the classes.
        of_table: What is to be known of that.
        follow_links: Whether links may leave the folder.
    """

    files: list[tuple[Path, str | None]] = field(default_factory=list)
    shards: list[Path] = field(default_factory=list)
    class_names: tuple[str, ...] = ()
    problems: list[str] = field(default_factory=list)
    num_hidden: int = 0
    empty: list[str] = field(default_factory=list)
    documents: list[Path] = field(default_factory=list)
    companions: dict[Path, str] = field(default_factory=dict)
    other_bands: tuple[Path, ...] = ()
    bands: dict[str, int] = field(default_factory=dict)
    band: str | None = None
    num_objects: int = 0
    maps: dict[Path, str] = field(default_factory=dict)
    same: dict[str, int] = field(default_factory=dict)
    tables: list[Path] = field(default_factory=list)
    of_table: list[str] = field(default_factory=list)
    follow_links: bool = False

    def check_same(self, root: Path, name: str, num: int) -> None:
        """Refuse a folder whose formats hold different sets.

        Raises:
            GravLensError: If another one has another number of images.
        """
        for other, count in self.same.items():
            if count != num:
                raise GravLensError(
                    f"{root}: holds {num} images in {name} and {count} in {other}, so that they are "
                    "no set in two formats; name one of them"
                )

    def take_maps(self, maps: Iterable[Mapping[str, Path]]) -> None:
        """Take the maps of images, each by its kind, out of the companions that are left alone."""
        self.maps = {path: kind for own in maps for kind, path in own.items()}
        for path in self.maps:
            del self.companions[path]

    @property
    def notes(self) -> list[str]:
        """What the user should know besides, one line each."""
        found = list(self.of_table)
        if self.num_hidden:
            found.append(
                f"hidden entries, whose names begin with a dot or __MACOSX, left alone: "
                f"{self.num_hidden}"
            )
        if self.empty:
            found.append(f"folders without images, left out: {listed(self.empty)}")
        if self.num_objects:
            found.append(
                f"folders of one object each, whose names are no classes: {self.num_objects}"
            )
        for companions, fate in (
            (self.maps, "taken for that of an image"),
            (self.companions, "left alone"),
        ):
            firsts = {kind: path for path, kind in reversed(companions.items())}
            found += [
                f"named like {kind}s, {fate}: {num}; {firsts[kind].name} first"
                for kind, num in Counter(companions.values()).items()
            ]
        if self.other_bands:
            num, first = len(self.other_bands), self.other_bands[0].name
            found.append(
                f"images of other bands than {self.band}, left alone: {num}; {first} first"
            )
        elif len(self.bands) > 1:
            counts = ", ".join(f"{num} of {band}" for band, num in self.bands.items())
            found.append(f"images of several bands, by their names: {counts}; `band` chooses one")
        if self.same:
            found.append(f"the same images in other formats, left alone: {', '.join(self.same)}")
        if self.documents:
            names = [path.name for path in self.documents]
            found.append(f"files about the set, left alone: {listed(names)}")
        return found


def list_folder(
    root: Path, *, band: str | None = None, mixed: bool = False, follow_links: bool = False
) -> Listing:
    """List a folder of images, of class folders, of folders of one object each, or of shards.

    Args:
        root: The folder; it may itself be a link.
        band: The band to keep where files are of several, by their names.
        mixed: Whether to keep the most common one where none is chosen.
        follow_links: Whether links may leave the folder.

    Raises:
        GravLensError: If it is empty, holds several kinds of data, or several bands of one object.
    """
    listing = Listing(follow_links=follow_links)
    folders = []
    visible = _visible(root, listing)
    formats = format_folders(path for path in visible if path.is_dir())
    is_ours = bool(formats) or any(path.suffix.lower() in SHARD_SUFFIXES for path in visible)
    for path in visible:
        own_preview = is_preview(path.name, root.resolve().name)
        if own_preview or (is_ours and is_beside(path.name)):
            listing.documents.append(path)
            continue
        kind = _kind(path, root, listing)
        if kind == "folder":
            folders.append(path)
        elif kind == "shard":
            listing.shards.append(path)
        elif kind == "image":
            listing.files.append((path, None))
        elif kind == "table":
            listing.tables.append(path)
    if formats and set(formats) == set(folders):
        folders = []
        _list_formats(root, formats, listing)
    catalogued = find_catalogued([path for path, _ in listing.files])
    listing.companions = {path: kind for path, kind in catalogued.items() if kind}
    listing.files = [entry for entry in listing.files if entry[0] not in catalogued]
    folders = _leave_companions(folders, listing)
    _refuse_mixture(root, listing, folders)
    for folder in folders:
        _list_class(folder, root, listing)
    listing.class_names = tuple(
        folder.name for folder in folders if folder.name not in listing.empty
    )
    if listing.companions and len(folders) == 1:
        listing.class_names = ()
        listing.files = [(path, None) for path, _ in listing.files]
    _sort(root, listing, band, mixed=mixed)
    _take_classes(listing)
    if not (listing.files or listing.shards or listing.problems):
        raise GravLensError(f"{root}: holds no images")
    return listing


def _take_classes(listing: Listing) -> None:
    """Take the classes from a table beside the images, which counts before names of folders."""
    if not listing.tables:
        return
    table, *others = listing.tables
    listing.problems += [f"{path}: is a second table beside {table}" for path in others]
    try:
        listing.files, listing.of_table = with_classes(listing.files, table)
        listing.class_names = ()
    except (BadImageError, OSError) as error:
        listing.problems.append(f"{table}: {error}")


def _list_formats(root: Path, formats: list[Path], listing: Listing) -> None:
    """List a set that lies in several formats once."""
    listing.same = {folder.name: len(_visible(folder, listing)) for folder in formats}
    if not listing.shards:
        first = formats[0]
        for path in _visible(first, listing):
            if _kind(path, root, listing) == "image":
                listing.files.append((path, None))
        listing.check_same(root, first.name, listing.same.pop(first.name))


def _leave_companions(folders: list[Path], listing: Listing) -> list[Path]:
    """Return the folders without those that are called ``noise`` or ``psf`` beside ``images``."""
    names = {folder: parse_name(folder.name) for folder in folders}
    whole = {folder: name for folder, name in names.items() if not (name.rest or name.letter)}
    if not any(name.is_image and not name.kind for name in whole.values()):
        return folders
    listing.companions |= {folder: name.kind for folder, name in whole.items() if name.kind}
    return [folder for folder in folders if folder not in listing.companions]


def _sort(root: Path, listing: Listing, band: str | None, *, mixed: bool) -> None:
    """Leave companions and other bands, and tell folders of one object from those of a class."""
    _leave_pictures(listing)
    try:
        found = sort_files([path for path, _ in listing.files], band, mixed=mixed)
    except GravLensError as error:
        raise GravLensError(f"{root}: {error}") from None
    listing.companions |= found.companions
    listing.other_bands = found.other_bands
    listing.bands, listing.band = found.bands, found.band
    images = set(found.images)
    emptied = {path.parent: path for path, _ in listing.files}
    listing.files = [entry for entry in listing.files if entry[0] in images]
    for path in images:
        emptied.pop(path.parent, None)
    for folder, last in emptied.items():
        listing.problems.append(
            f"{folder}: all its files are named like companions of images or other bands "
            f"({last.name} is one); name the images otherwise, or name one file"
        )
    images_of: defaultdict[Path, list[Path]] = defaultdict(list)
    for path, class_name in listing.files:
        if class_name is not None:
            images_of[path.parent].append(path)
    beside = Counter(path.parent for path in listing.companions)
    objects = {folder for folder, own in images_of.items() if _is_object(folder, own, beside)}
    if 2 * len(objects) <= len(images_of):
        return
    listing.num_objects = len(objects)
    listing.class_names = ()
    listing.files = [(path, None) for path, _ in listing.files if path.parent in objects]
    listing.problems += [
        f"{folder}: is not one object, as most folders are: holds {len(own)} images, {own[0].name} "
        "first"
        for folder, own in images_of.items()
        if folder not in objects
    ]


def _leave_pictures(listing: Listing) -> None:
    """Leave the picture of an image that lies beside it under the same name: ``X.jpg`` beside ``X.fits``."""
    kinds = {path: path.suffix.lower() in PICTURE_SUFFIXES for path, _ in listing.files}
    data = {path.with_suffix("") for path, is_picture in kinds.items() if not is_picture}
    beside = {
        path for path, is_picture in kinds.items() if is_picture and path.with_suffix("") in data
    }
    listing.companions |= dict.fromkeys(sorted(beside), "picture")
    listing.files = [entry for entry in listing.files if entry[0] not in beside]


def _is_object(folder: Path, images: Iterable[Path], beside: Mapping[Path, int]) -> bool:
    """Return whether a folder holds one object: a single image named ``image``, or like the folder.

    A class of one image that is named like it is no object unless something lies beside the image.
    """
    image, *others = images
    rest = parse_name(split_name(image)[0]).rest
    is_named_so = bool(beside[folder]) and rest == parse_name(folder.name).rest
    return not others and image.suffix.lower() != ".npz" and (not rest or is_named_so)


def _list_class(folder: Path, root: Path, listing: Listing) -> None:
    num_before = len(listing.files) + len(listing.problems)
    for path in _visible(folder, listing):
        kind = _kind(path, root, listing)
        if kind in ("image", "shard"):
            listing.files.append((path, folder.name))
        elif kind is not None:
            listing.problems.append(f"{path}: is a {kind}, expected an image in a class folder")
    if len(listing.files) + len(listing.problems) == num_before:
        listing.empty.append(folder.name)


def _refuse_mixture(root: Path, listing: Listing, folders: list[Path]) -> None:
    """Refuse a folder that can be understood in more than one way."""
    present = {
        "HDF5 files": [path.name for path in listing.shards],
        "images": [path.name for path, _ in listing.files],
        "folders": [path.name for path in folders],
    }
    kinds = [f"{kind} ({names[0]}, ...)" for kind, names in present.items() if names]
    if len(kinds) > 1:
        raise GravLensError(f"{root}: holds {' and '.join(kinds)}; name one of them instead")


def _visible(folder: Path, listing: Listing) -> list[Path]:
    entries = list(folder.iterdir())
    visible = [path for path in entries if not path.name.startswith((".", "__MACOSX"))]
    listing.num_hidden += len(entries) - len(visible)
    return sorted(visible, key=lambda path: natural_key(path.name))


def _kind(path: Path, root: Path, listing: Listing) -> str | None:
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
    if not is_inside and not target.is_relative_to(root.resolve()):
        listing.problems.append(
            f"{path}: is a link that leaves {root}; refused, but for `follow_links`"
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
