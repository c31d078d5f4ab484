"""``gravlens inspect``: a data set in numbers, and a preview."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from gravlensdiffusion.cli.options import FILES, FileOptions
from gravlensdiffusion.cli.wording import say, tell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gravlensdiffusion.sets.inspection import DataSummary
    from gravlensdiffusion.sets.lens_set import LensSet

NUM_SHOWN = 64
"""Images in the preview, at most."""
NUM_LISTED = 10
"""Groups of duplicates that are named."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Look at a data set: counts, range, faults, a preview.

    Reads lenses.h5 and its shards, and .npy, .npz, FITS and PNG files: one file, a folder of
    them, or a folder with one folder per class.

    Attributes:
        path: The data set.
        crop: Look at the middle of each image only, this many pixels a side.
        out: Picture to write; by default NAME-preview.png in the current folder.
        overwrite: Replace a picture that exists.
    """

    path: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DATA")]
    crop: int | None = None
    out: Path | None = None
    overwrite: bool = False
    files: FileOptions = FILES


def run(options: Options) -> None:
    """Print the numbers and write the preview."""
    from gravlensdiffusion.files import check_picture, check_writable, whole_file
    from gravlensdiffusion.reports.drawing import spared
    from gravlensdiffusion.sets.inspection import inspect_lenses

    out = options.out or _default_preview(options.path)
    check_writable(out)
    check_picture(out, overwrite=options.overwrite)
    source = options.files.open(
        options.path,
        crop=options.crop,
        mixed=True,
        with_notes=False,
    )
    summary = inspect_lenses(source)
    say(*_describe(summary))
    told = ""
    with (
        spared(str(out), tell),
        whole_file(out, overwrite=options.overwrite) as temporary,
    ):
        num = _save_preview(source, summary, temporary)
        told = f"wrote a preview of {num} of {summary.num_images} images to {out}"
    if told:
        print(told)


def _default_preview(path: Path) -> Path:
    """Return the name of the picture of a data set, in the current folder."""
    whole = path.resolve()
    name = whole.name if whole.is_dir() else whole.stem
    return Path(f"{name or 'data'}-preview.png")


def _describe(summary: "DataSummary") -> "Iterator[str]":
    """Yield the lines that are printed."""
    channels, height, width = summary.image_shape
    pixels = summary.pixels
    scale = summary.pixel_scale_arcsec
    rows = [
        ("images", f"{summary.num_images:,}"),
        ("shape", f"{channels} x {height} x {width} (channels, height, width)"),
        ("stored as", ", ".join(summary.dtypes)),
        *((("noise-free", "a twin of each image"),) if summary.has_noise_free else ()),
        ("pixel scale", "unknown" if scale is None else f"{scale:.5g} arcsec"),
        ("flux unit", summary.flux_unit),
        ("range", f"{pixels.low:.5g} to {pixels.high:.5g}"),
        ("mean, std", f"{pixels.mean:.5g}, {pixels.std:.5g}"),
        ("faintest pixel", "in images: {:.5g} to {:.5g}".format(*pixels.lows)),
        ("brightest pixel", "in images: {:.5g} to {:.5g}".format(*pixels.highs)),
        ("quantiles", f"of {pixels.num_quantile_pixels:,} pixels"),
        *((f"  {100 * level:g}%", f"{value:.5g}") for level, value in pixels.quantiles.items()),
        ("classes", "none" if not summary.class_counts else ""),
        *((f"  {name}", f"{count:,}") for name, count in summary.class_counts.items()),
        *_parameter_rows(summary),
        *_image_rows(summary),
        *_duplicate_rows(summary),
        ("skipped", f"{len(summary.problems)}"),
        *(("note", note) for note in summary.notes),
        ("for lens28", f"`transform` {summary.transform}: {summary.transform_reason}"),
        ("for ddpm, reference", _unit_range_advice(summary)),
    ]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        yield f"{name:{width}}  {value}".rstrip()


def _unit_range_advice(summary: "DataSummary") -> str:
    if summary.in_unit_range:
        return "as it is: all values lie in [0, 1]"
    return "`transform` linear, asinh or peak: values lie outside of [0, 1]"


def _parameter_rows(summary: "DataSummary") -> "Iterator[tuple[str, str]]":
    if summary.parameters:
        yield "parameters", ""
    for name, (low, high, unit, count) in summary.parameters.items():
        some = "" if count == summary.num_images else f" ({count:,} images)"
        yield f"  {name}", f"{low:.5g} to {high:.5g} {unit}".rstrip() + some
    if summary.num_subhaloes:
        yield "subhaloes", f"{summary.num_subhaloes:,}"


def _image_rows(summary: "DataSummary") -> "Iterator[tuple[str, str]]":
    if summary.images:
        yield "each image", "faintest, mean and brightest pixel"
    for name, low, mean, high in summary.images:
        yield "", f"{name}: {low:.5g}, {mean:.5g}, {high:.5g}"


def _duplicate_rows(summary: "DataSummary") -> "Iterator[tuple[str, str]]":
    extra = sum(len(group) - 1 for group in summary.duplicates)
    yield "duplicates", f"{extra:,}" if extra else "none"
    for group in summary.duplicates[:NUM_LISTED]:
        yield "", " = ".join(group[:3]) + (" = ..." if len(group) > 3 else "")


def _save_preview(source: "LensSet", summary: "DataSummary", path: Path) -> int:
    """Write images evenly spread over the set as one picture, and return their number."""
    import numpy as np

    from gravlensdiffusion.reports.mosaics import save_grid

    num = min(NUM_SHOWN, len(source))
    shown = np.linspace(0, len(source) - 1, num).round().astype(int)
    stretch = "sqrt" if summary.in_unit_range else "asinh"
    save_grid(source.read(shown), path, stretch=stretch, titles=source.titles(shown))
    return num
