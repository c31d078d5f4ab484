"""``gravlens inspect``: a data set in numbers, and a preview."""

import os
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from gravlensdiffusion.cli.options import DataPath, FileOptions
from gravlensdiffusion.cli.running import say, tell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gravlensdiffusion.sets.inspection import DataSummary
    from gravlensdiffusion.sets.lens_set import LensSet

NUM_SHOWN = 64
"""Images in the preview, at most."""
MARK = "gravlens-preview"
"""Keyword of the text in a preview that tells of which set it is."""
NUM_LISTED = 10
"""Groups of duplicates that are named."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Look at a data set: counts, range, faults, a preview.

    Reads one file, a folder of them, or a folder with one folder per class; so does every command:

    - .npy: an image, or a stack of them; up to 10 planes in a folder are channels
    - .npz: images, X, ... with labels, y, ...; else --dataset and --labels
    - .h5 .hdf5: lenses.h5 and its shards; lenstronomy's names; others as .npz
    - .fits .fit .fts, also .gz .fz: the image of the lens; else --hdu, --band
    - .png .jpg .jpeg .tif .tiff: grey, or red, green and blue as channels
    - .csv beside them: file,label of each image
    - noise, DQ and weight maps beside images or in their files: tell flagged pixels
    - PSFs, masks, pictures and READMEs beside images: left alone
    - links out of the folder: refused; else --follow-links
    - any other: a line says which two lines of Python make a set of it

    docs/data-format.md has it all, and how doubtful files are decided.

    Attributes:
        path: The data set.
        out: Picture to write; by default NAME-preview.png in the current folder, or with a number
            where that is not of the same set.
        overwrite: Replace a picture that exists, whatever it shows.
    """

    path: DataPath
    out: Path | None = None
    overwrite: bool = False
    files: FileOptions = FileOptions()

    def run(self) -> None:
        """Print the numbers and write the preview."""
        from gravlensdiffusion.errors import GravLensError
        from gravlensdiffusion.files import check_apart, check_picture, check_writable
        from gravlensdiffusion.sets.inspection import inspect_lenses

        if self.out is not None:
            check_writable(self.out)
            check_picture(self.out, overwrite=_may_replace(self, self.out))
        source = self.files.open(self.path, mixed=True, with_notes=False)
        if self.out is not None:
            check_apart(self.out, source.files)
        summary = inspect_lenses(source)
        say(*_describe(source, summary))
        try:
            _write_preview(self, source, summary)
        except GravLensError as error:
            if self.out is not None:
                raise
            tell(f"no preview was written; `out` names another place: {error}")


def _write_preview(options: Options, source: "LensSet", summary: "DataSummary") -> None:
    """Write images evenly spread over the set as one picture."""
    import numpy as np

    from gravlensdiffusion.files import whole_file
    from gravlensdiffusion.reports.mosaics import save_grid, spared

    out, told = options.out or _free_name(options), ""
    num = min(NUM_SHOWN, len(source))
    shown = np.linspace(0, len(source) - 1, num).round().astype(int)
    stretch = "sqrt" if summary.in_unit_range else "asinh"
    titles, texts = source.header.titles(source.labels[shown]), {MARK: _mark(options.path)}
    with spared(str(out), tell), whole_file(out, overwrite=_may_replace(options, out)) as temporary:
        save_grid(source.read(shown), temporary, stretch=stretch, titles=titles, texts=texts)
        told = f"wrote a preview of {num} of {len(source)} images to {out}"
    if told:
        print(told)


def _free_name(options: Options) -> Path:
    """Return the name of the picture, in the current folder: the first that loses no other one."""
    from gravlensdiffusion.sets.naming import preview_name

    whole = options.path.resolve()
    stem = (whole.name if whole.is_dir() else whole.stem) or "data"
    names = (Path(preview_name(stem, number)) for number in count(1))
    return next(
        name
        for name in names
        if not (name.exists() or name.is_symlink()) or _may_replace(options, name)
    )


def _mark(path: Path) -> str:
    """Return by what the picture of a set is known again."""
    return sha256(os.fsencode(path.resolve())).hexdigest()


def _may_replace(options: Options, picture: Path) -> bool:
    """Return whether a picture that exists may be replaced: on request, or as one of the same set."""
    from PIL import Image

    if options.overwrite:
        return not picture.is_dir()
    try:
        with Image.open(picture, formats=["PNG"]) as image:
            return image.info.get(MARK) == _mark(options.path)
    # What is no picture at all is not ours either.
    except Exception:  # noqa: BLE001
        return False


def _describe(source: "LensSet", summary: "DataSummary") -> "Iterator[str]":
    channels, height, width = source.image_shape
    scale = source.header.pixel_scale_arcsec
    rows = [
        ("images", f"{len(source):,}"),
        ("shape", f"{channels} x {height} x {width} (channels, height, width)"),
        ("stored as", ", ".join(source.dtypes)),
        *((("noise-free", "a twin of each image"),) if source.has_noise_free else ()),
        ("pixel scale", "unknown" if scale is None else f"{scale:.5g} arcsec"),
        ("flux unit", source.header.flux_unit),
        ("range", f"{summary.lows[0]:.5g} to {summary.highs[1]:.5g}"),
        ("mean, std", f"{summary.mean:.5g}, {summary.std:.5g}"),
        ("faintest pixel", "in images: {:.5g} to {:.5g}".format(*summary.lows)),
        ("brightest pixel", "in images: {:.5g} to {:.5g}".format(*summary.highs)),
        ("quantiles", f"of {summary.num_quantile_pixels:,} pixels"),
        *((f"  {100 * level:g}%", f"{value:.5g}") for level, value in summary.quantiles.items()),
        ("classes", "none" if not summary.class_counts else ""),
        *((f"  {name}", f"{count:,}") for name, count in summary.class_counts.items()),
        *_detail_rows(source, summary),
        ("skipped", f"{len(source.problems)}"),
        *(("note", note) for note in source.notes),
        ("for cutouts28", f"--transform {summary.transform}: {summary.transform_reason}"),
        (
            "for ddpm, unet2d, reference",
            "as it is: all values lie in [0, 1]"
            if summary.in_unit_range
            else "--transform linear, asinh or peak: values lie outside of [0, 1]",
        ),
        ("to adapt", "gravlens train --init lens28 --data DATA --out runs/mine"),
    ]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        yield f"{name:{width}}  {value}".rstrip()


def _detail_rows(source: "LensSet", summary: "DataSummary") -> "Iterator[tuple[str, str]]":
    """Yield the rows of parameters, of single images and of duplicates."""
    if summary.parameters:
        yield "parameters", ""
    for name, (low, high, unit, num) in summary.parameters.items():
        some = "" if num == len(source) else f" ({num:,} images)"
        yield f"  {name}", f"{low:.5g} to {high:.5g} {unit}".rstrip() + some
    if len(source.subhaloes):
        yield "subhaloes", f"{len(source.subhaloes):,}"
    if summary.images:
        yield "each image", "faintest, mean and brightest pixel"
    for name, low, mean, high in summary.images:
        yield "", f"{name}: {low:.5g}, {mean:.5g}, {high:.5g}"
    extra = sum(len(group) - 1 for group in summary.duplicates)
    yield "duplicates", f"{extra:,}" if extra else "none"
    for group in summary.duplicates[:NUM_LISTED]:
        yield "", " = ".join(group[:3]) + (" = ..." if len(group) > 3 else "")
