"""Which files a data set consists of, and which things in its folder cannot belong to it."""

import stat
from dataclasses import dataclass, field
from pathlib import Path

from gravlensdiffusion.data.companions import count_bands, find_companions, is_document
from gravlensdiffusion.data.naming import natural_key
from gravlensdiffusion.data.store import SHARD_SUFFIXES
from gravlensdiffusion.errors import GravLensError

IMAGE_SUFFIXES = (".npy", ".npz", ".fits", ".fit", ".fts", ".png")


@dataclass(kw_only=True, slots=True)
class Listing:
    """The files of a data set.

    Attributes:
        files: Image files in natural order, each with the name of its class folder or None.
        shards: Files of the project's own format.
        class_names: Names of the class folders in natural order, or empty.
        problems: One line for each thing that cannot be used.
        num_hidden: Entries whose name begins with a dot; they are not looked at.
        documents: Files about the set, such as LICENSE.
        companions: Noise maps, PSFs and masks of images; they are no images of the set.
    """

    files: list[tuple[Path, str | None]] = field(default_factory=list)
    shards: list[Path] = field(default_factory=list)
    class_names: tuple[str, ...] = ()
    problems: list[str] = field(default_factory=list)
    num_hidden: int = 0
    documents: list[Path] = field(default_factory=list)
    companions: list[Path] = field(default_factory=list)

    @property
    def notes(self) -> list[str]:
        """What the user should know besides, one line each."""
        found = []
        if self.num_hidden:
            found.append(
                f"hidden entries, whose names begin with a dot, left alone: {self.num_hidden}"
            )
        for what, paths in (
            ("noise maps, PSFs and masks of images", self.companions),
            ("files about the set", self.documents),
        ):
            if paths:
                found.append(f"{what}, left alone: {', '.join(path.name for path in paths)}")
        bands = count_bands(path for path, _ in self.files)
        if len(bands) > 1:
            counts = ", ".join(f"{num} of {band}" for band, num in bands.items())
            found.append(f"images of several bands, by their names: {counts}; keep one in a folder")
        return found


def list_folder(root: Path) -> Listing:
    """List a folder of images, of class folders, or of shards.

    Args:
        root: The folder; it may itself be a link.

    Raises:
        GravLensError: If it is empty or holds several kinds of data.
    """
    listing = Listing()
    folders = []
    for path in _visible(root, listing):
        kind = _kind(path, root, listing)
        if kind == "folder":
            folders.append(path)
        elif kind == "shard":
            listing.shards.append(path)
        elif kind == "image":
            listing.files.append((path, None))
    _refuse_mixture(root, listing, folders)
    for folder in folders:
        _list_class(folder, root, listing)
    listing.class_names = tuple(folder.name for folder in folders)
    companions = find_companions([path for path, _ in listing.files])
    listing.companions = [path for path, _ in listing.files if path in companions]
    listing.files = [entry for entry in listing.files if entry[0] not in companions]
    if not (listing.files or listing.shards or listing.problems):
        raise GravLensError(f"{root}: holds no images")
    return listing


def _list_class(folder: Path, root: Path, listing: Listing) -> None:
    num_before = len(listing.files)
    for path in _visible(folder, listing):
        kind = _kind(path, root, listing)
        if kind == "image":
            listing.files.append((path, folder.name))
        elif kind is not None:
            listing.problems.append(f"{path}: is a {kind}, expected an image in a class folder")
    if len(listing.files) == num_before:
        listing.problems.append(f"{folder}: holds no images of its class")


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
    visible = [path for path in entries if not path.name.startswith(".")]
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
    if path.is_symlink() and not target.is_relative_to(root.resolve()):
        listing.problems.append(f"{path}: is a link that leaves {root}; refused")
    elif stat.S_ISDIR(mode):
        return "folder"
    elif not stat.S_ISREG(mode):
        listing.problems.append(f"{path}: is no regular file")
    elif path.suffix.lower() in SHARD_SUFFIXES:
        return "shard"
    elif path.suffix.lower() in IMAGE_SUFFIXES:
        return "image"
    elif is_document(path.name):
        listing.documents.append(path)
    else:
        listing.problems.append(
            f"{path}: is no image ({' '.join((*IMAGE_SUFFIXES, *SHARD_SUFFIXES))} can be read)"
        )
    return None
