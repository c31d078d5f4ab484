"""The one way into a data set, whatever its files are."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from gravlensdiffusion.errors import BadFilesError, GravLensError, one_line
from gravlensdiffusion.files import check_regular
from gravlensdiffusion.formats.arrays import ArrayChoice
from gravlensdiffusion.formats.companions import IMAGE_SUFFIXES, advice, is_of_images
from gravlensdiffusion.formats.file_set import FileSet
from gravlensdiffusion.formats.fits import FitsReader
from gravlensdiffusion.formats.fits_extensions import Choice
from gravlensdiffusion.formats.folder import Listing, list_folder
from gravlensdiffusion.formats.hdf5 import Hdf5Reader, is_lenstronomy
from gravlensdiffusion.formats.image import MIN_SIDE, ImageReader
from gravlensdiffusion.formats.npy import NpyReader, NpzReader
from gravlensdiffusion.formats.picture import FORMAT_OF, PictureReader
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.sets.naming import FITS_SUFFIXES, SHARD_SUFFIXES, split_name
from gravlensdiffusion.store.hdf5_file import try_out
from gravlensdiffusion.store.reader import LensStore
from gravlensdiffusion.store.schema import NOT_OURS
from gravlensdiffusion.untrusted.probe import probe_files

ARRAY_SUFFIXES = frozenset({".npz", *SHARD_SUFFIXES})
"""Files that may hold several arrays."""
Images = LensSet | str | os.PathLike[str]
"""A set, or the path of one."""


def open_set(
    path: str | os.PathLike[str],
    *,
    skip_bad: bool = False,
    allow_object_arrays: bool = False,
    crop: int | None = None,
    mixed: bool = False,
    any_unit: bool = False,
    hdu: str | None = None,
    band: str | None = None,
    bands: Sequence[str] = (),
    dataset: str | None = None,
    labels: str | None = None,
    follow_links: bool = False,
) -> LensSet:
    """Open a data set: `lenses.h5` or shards, `.npy`, `.npz`, FITS or picture files.

    Every image is looked at once, with flat memory; after that pixels are read on demand. No code
    in a file is ever run. What a reader should know stands in the result's ``notes``, a choice that
    there was nothing to choose from among it.

    Args:
        path: A file, a folder of files, or a folder with one folder per class.
        skip_bad: Whether to go on without files and images that cannot be used; they are listed
            in the result's ``problems``.
        allow_object_arrays: Whether DeepLense's pickled ``[image, mass]`` files are read.
        crop: Height and width of the middle of each image to keep [pixel]; None for all of it.
        mixed: Whether to go on where image files differ: with the most common band, unit and pixel
            scale, and those that state none beside them, and with the most common size, or the middle
            of all where no size is that of most; what does not fit is listed in ``problems``.
        any_unit: Whether image files may differ in flux unit, as images that are rescaled may.
        hdu: Name or number of the HDU to read where FITS files hold several images.
        band: The band to keep where image files are of several, by their names, or where FITS files
            hold several: ``g``, ``f814w``.
        bands: Bands that become the channels of each image, in order, where FITS files hold several.
        dataset: Name of the array of images where `.npz` or HDF5 files hold several: ``X_train``.
        labels: Name of the array of classes there: ``y_train``.
        follow_links: Whether links in the folder may lead out of it.

    Raises:
        BadFilesError: If anything cannot be used, unless ``skip_bad``; it carries one line each.
        GravLensError: If there is no such path, or nothing in it can be used, or if the crop is
            not possible.
    """
    root = Path(path)
    bands = bands.split(",") if isinstance(bands, str) else bands
    if bands and (hdu is not None or band is not None):
        raise GravLensError("`bands` says which images are read; leave out `band` and `hdu`")
    if not root.exists():
        raise GravLensError(f"{root}: no such file or folder")
    if root.is_dir():
        try:
            listing = list_folder(root, band=band, mixed=mixed, follow_links=follow_links)
        except OSError as error:
            raise GravLensError(f"{root}: cannot be read ({error.strerror})") from error
    else:
        listing = _list_file(root)
    choice = Choice(hdu=hdu, band=listing.band or band, bands=tuple(bands))
    arrays = ArrayChoice(dataset=dataset, labels=labels)
    of_fits = FitsReader(choice)
    readers: dict[str, ImageReader] = {
        ".npy": NpyReader(is_alone=not root.is_dir(), allow_object_arrays=allow_object_arrays),
        ".npz": NpzReader(arrays),
        **dict.fromkeys(SHARD_SUFFIXES, Hdf5Reader(arrays)),
        **dict.fromkeys(FORMAT_OF, PictureReader()),
        **dict.fromkeys(FITS_SUFFIXES, of_fits),
    }
    if crop is not None and crop < MIN_SIDE:
        raise GravLensError(f"crop must be at least {MIN_SIDE} pixels, got {crop}")
    found: LensSet
    if _are_of_others(listing.shards):
        listing.files = [(path, None) for path in listing.shards]
        listing.shards = []
    if listing.shards and arrays != ArrayChoice():
        raise GravLensError(
            f"{root}: is a set of this package, of which the images are known; leave out `dataset` "
            "and `labels`"
        )
    if listing.shards:
        store = _open_store(root, listing, skip_bad)
        found = store if crop is None else store.crop(crop)
    else:
        of_maps = FitsReader(choice._replace(hdu=None, is_map=True))
        found = FileSet(
            listing,
            readers,
            readers | dict.fromkeys(FITS_SUFFIXES, of_maps),
            skip_bad=skip_bad,
            mixed=mixed,
            any_unit=any_unit,
            crop=crop,
            psf=of_fits.psf,
        )
    chosen = {"hdu": hdu, "band": band, "bands": bands, "dataset": dataset, "labels": labels}
    found.notes += tuple(_without_choice(root, found, [name for name in chosen if chosen[name]]))
    return found


def as_set(source: Images) -> LensSet:
    """Return a set as it is, and open the path of one.

    Raises:
        GravLensError: If the path cannot be opened, or there is no image.
    """
    found = source if isinstance(source, LensSet) else open_set(source)
    if not len(found):
        raise GravLensError("the set is empty: it holds no image")
    return found


def _without_choice(root: Path, source: LensSet, asked: Sequence[str]) -> Iterator[str]:
    """Yield a line for each choice that was asked for and that the files leave none for."""
    suffixes = {split_name(name)[1] for name in source.files}
    has_fits = not suffixes.isdisjoint(FITS_SUFFIXES)
    has_names = root.is_dir() and suffixes.isdisjoint(SHARD_SUFFIXES)
    has_arrays = not suffixes.isdisjoint(ARRAY_SUFFIXES)
    has_choice = {"hdu": has_fits, "band": has_fits or has_names, "bands": has_fits}
    for name in asked:
        if not has_choice.get(name, has_arrays):
            yield f"{root}: holds nothing that `{name}` could choose from, so it plays no part"


def _are_of_others(files: list[Path]) -> bool:
    """Return whether HDF5 files are of another layout than ours, but for those that cannot be read."""
    verdicts = probe_files(files, try_out)  # all in one process
    is_ours = any(path not in verdicts for path in files)
    return not is_ours and f"schema_version: {NOT_OURS}" in verdicts.values()


def _open_store(root: Path, listing: Listing, skip_bad: bool) -> LensSet:
    problems = list(listing.problems)
    good = []
    for shard in listing.shards:
        try:
            LensStore(shard)
            good.append(shard)
        except GravLensError as error:
            if len(listing.shards) == 1:
                raise
            problems.append(str(error))
    if not good:
        raise GravLensError(f"{root}: holds no shard that can be used; first: {problems[0]}")
    store = LensStore(root, shards=good)
    listing.check_same(good[0].name, len(store))
    bad = _bad_images(store)
    problems += [f"{store.name(k)}: {what}" for k, what in sorted(bad.items())]
    problems = [one_line(problem) for problem in problems]
    if not problems:
        return store
    if not skip_bad:
        raise BadFilesError(root, problems)
    kept = np.setdiff1d(np.arange(len(store)), list(bad))
    if not kept.size:
        raise GravLensError(f"{root}: holds no image that can be used")
    chosen = store.select(kept)
    chosen.problems, chosen.num_skipped = tuple(problems), len(problems)
    return chosen


def _bad_images(store: LensStore) -> dict[int, str]:
    """Look at every image once and return what is wrong, by index."""
    found = {}
    for where in store.slices():
        images = store.read(where)
        low, high = images.min(axis=(1, 2, 3)), images.max(axis=(1, 2, 3))
        for k in np.flatnonzero(~(np.isfinite(low) & np.isfinite(high))):
            num = int(np.count_nonzero(~np.isfinite(images[k])))
            found[where.start + int(k)] = f"is not finite in {num} of {images[k].size} pixels"
        for k in np.flatnonzero(low == high):
            found[where.start + int(k)] = f"is constant: every pixel is {float(low[k]):g}"
        if store.has_noise_free:
            twins = store.read_noise_free(where)
            for k in np.flatnonzero(~np.isfinite(twins).all(axis=(1, 2, 3))):
                found.setdefault(where.start + int(k), "has a noise-free image that is not finite")
    store.close()
    return found


def _list_file(path: Path) -> Listing:
    check_regular(path)
    if split_name(path)[1] in SHARD_SUFFIXES and not is_lenstronomy(path):
        return Listing(root=path, shards=[path])
    if is_of_images(path):
        return Listing(root=path, files=[(path, None)])
    allowed = " ".join((*SHARD_SUFFIXES, *IMAGE_SUFFIXES))
    raise GravLensError(
        f"{path}: no kind of file that can be read; allowed are {allowed}; {advice(path)}"
    )
