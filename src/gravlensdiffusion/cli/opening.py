"""Opening a data set on behalf of a command: what is wrong with it is told on stderr."""

from pathlib import Path
from typing import TYPE_CHECKING

from gravlensdiffusion.cli.wording import in_flags
from gravlensdiffusion.progress import tell

if TYPE_CHECKING:
    from gravlensdiffusion.sets.lens_set import LensSet


def open_data(
    path: Path,
    *,
    skip_bad: bool,
    allow_object_arrays: bool,
    crop: int | None = None,
    mixed: bool = False,
    any_unit: bool = False,
    band: str | None = None,
    hdu: str | None = None,
    with_notes: bool = True,
) -> "LensSet":
    """Open a data set and print one line for each file that cannot be used.

    Args:
        path: A file or a folder.
        skip_bad: Whether to go on without such files, and say how many there are.
        allow_object_arrays: Whether DeepLense's pickled ``[image, mass]`` files are read.
        crop: Height and width of the middle of each image to keep [pixel]; None for all of it.
        mixed: Whether to go on with the most common size, unit and scale where images differ.
        any_unit: Whether images may differ in flux unit.
        band: The band to keep where files, or images in FITS files, are of several.
        hdu: Name or number of the HDU to read where FITS files hold several images.
        with_notes: Whether what was left alone is told as well.

    Raises:
        GravLensError: If the set cannot be opened.
    """
    from gravlensdiffusion.errors import BadFilesError
    from gravlensdiffusion.formats.companions import FITS_SUFFIXES
    from gravlensdiffusion.formats.open import open_lenses
    from gravlensdiffusion.store.reader import SHARD_SUFFIXES

    try:
        source = open_lenses(
            path,
            skip_bad=skip_bad,
            allow_object_arrays=allow_object_arrays,
            crop=crop,
            mixed=mixed,
            any_unit=any_unit,
            band=band,
            hdu=hdu,
        )
    except BadFilesError as error:
        tell(*map(in_flags, error.problems))
        raise
    tell(*map(in_flags, (*source.problems, *(source.notes if with_notes else ()))))
    suffixes = {name.suffix.lower() for name in source.files}
    has_fits = bool(suffixes & set(FITS_SUFFIXES))
    has_names = path.is_dir() and not suffixes & set(SHARD_SUFFIXES)
    for flag, given, counts in (("hdu", hdu, has_fits), ("band", band, has_fits or has_names)):
        if given is not None and not counts:
            tell(f"{path}: holds nothing that --{flag} could choose from, so it plays no part")
    if source.num_skipped:
        tell(f"skipped {source.num_skipped}, go on with {len(source)}")
    return source


def tell_absent(source: "LensSet") -> None:
    """Say which classes of a set have no images, so that they are left out."""
    if source.absent_classes:
        tell(f"no image belongs to {', '.join(source.absent_classes)}, left out")
