"""Images of a model to files: one set with its pictures, or shards of one."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.files import whole_folder
from gravlensdiffusion.formats.writers import check_set, write_images
from gravlensdiffusion.generation.animation import NUM_SHOWN, save_animation, shown_request
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.generation.noise import Clipping
from gravlensdiffusion.generation.request import Request
from gravlensdiffusion.generation.samples import LensSamples
from gravlensdiffusion.parallel import Processes, partition
from gravlensdiffusion.progress import shown_progress
from gravlensdiffusion.reports.drawing import spared
from gravlensdiffusion.reports.mosaics import save_grid
from gravlensdiffusion.sets.records import LensRecord
from gravlensdiffusion.store.layout import GIF, GRID, SET_ENTRIES
from gravlensdiffusion.store.shards import Shards

ALONE = Processes()
PART = ".lenses.part-"
"""What the images of each of several processes are called until the main one puts them together."""


def save_set(
    folder: Path,
    generator: LensGenerator,
    request: Request,
    formats: Sequence[str] = ("h5",),
    *,
    batch_size: int = 100,
    gif: bool = False,
    overwrite: bool = False,
    processes: Processes = ALONE,
    tell: Callable[[str], object] = lambda line: line,
    progress: bool = False,
) -> list[str]:
    """Draw a set of images, with a grid of the first hundred.

    Of several processes each draws its share, and the main one puts all into the set.

    Args:
        folder: Where to write.
        generator: The model.
        request: What is asked of all images.
        formats: Some of `layout.FORMATS`.
        batch_size: Images at a time.
        gif: Whether the way of the first hundred from noise is written too.
        overwrite: Whether an earlier set may be replaced, in all its formats.
        processes: The processes that share the work.
        tell: Takes each line that the user should know.
        progress: Whether to show on stderr how far it is.

    Returns:
        The names of what was written; nothing on all but the main process.

    Raises:
        GravLensError: If something is in the way, or cannot be written.
    """
    shares = [partition(len(request), batch_size, processes.num, k) for k in range(processes.num)]
    parts = Shards(folder, shares, PART)
    own = request.part(shares[processes.index])
    header = generator.header(request)
    clipping: list[Clipping] = []
    shown: list[NDArray[np.float32]] = []

    def save_part() -> None:
        records = _records(generator.generate(own, batch_size=batch_size), clipping)
        if len(own):
            parts.write(processes.index, records, header, {})

    def of_others() -> Iterator[LensRecord]:
        processes.together(lambda: None)
        yield from parts.records()

    processes.main_first(lambda: parts.clear() if processes.is_main else None)
    if not processes.is_main:
        processes.together(save_part)
        return []
    try:
        with (
            whole_folder(
                folder, lambda: check_set(folder, formats, overwrite=overwrite), SET_ENTRIES
            ) as partial,
            shown_progress(len(own), steps=request.num_steps, is_shown=progress) as bar,
        ):
            batches = (
                _draw_with_gif(
                    partial / GIF, generator, request, own, batch_size, bar.advance, tell
                )
                if gif
                else generator.generate(own, batch_size=batch_size, advance=bar.advance)
            )
            records = _keeping(chain(_records(batches, clipping), of_others()), shown)
            written = write_images(
                partial, records, header, formats, model=generator.name, num=len(request)
            )
            with spared(GRID, tell):
                save_grid(np.stack(shown), partial / GRID)
            pictures = [name for name in (GRID, GIF) if (partial / name).exists()]
    finally:
        parts.clear()
    for line in Clipping.total(clipping).notes(seen=request.noise_free):
        tell(line)
    return [path.name for path in written] + pictures


def save_shards(
    shards: Shards,
    generator: LensGenerator,
    request: Request,
    *,
    batch_size: int = 100,
    overwrite: bool = False,
    dry_run: bool = False,
    processes: Processes = ALONE,
    tell: Callable[[str], object] = lambda line: line,
    progress: bool = False,
) -> int:
    """Draw the shards of a set that are not there, process i of P the shards i, i + P, ...

    Args:
        shards: The set.
        generator: The model.
        request: What is asked of all images.
        batch_size: Images at a time.
        overwrite: Whether shards that are damaged or of another request make way.
        dry_run: Whether to stop after all checks.
        processes: The processes that share the work.
        tell: Takes each line that the user should know.
        progress: Whether to show on stderr how far it is.

    Returns:
        How many shards were missing, on the main process.

    Raises:
        GravLensError: If something else is in the folder, a shard is damaged or of another request,
            or cannot be written.
    """
    common = generator.identity(request.sampler)
    clipping: list[Clipping] = []

    def identity(images: range) -> dict[str, Any]:
        return common | request.part(images).identity()

    def begin() -> None:
        if processes.is_main:
            shards.check_folder(overwrite=overwrite)
            shards.clean()

    def work() -> int:
        own = range(processes.index, len(shards), processes.num)
        missing = shards.missing(own, identity, overwrite=overwrite)
        num_images = sum(len(shards.pieces[k]) for k in missing)
        with shown_progress(num_images, steps=request.num_steps, is_shown=progress) as bar:
            for k in missing:
                part = request.part(shards.pieces[k])
                batches = generator.generate(part, batch_size=batch_size, advance=bar.advance)
                header = generator.header(part)
                shards.write(k, _records(batches, clipping), header, common | part.identity())
        return len(missing)

    if dry_run:
        shards.check_folder(overwrite=overwrite)
        which = range(len(shards))
        return len(shards.missing(which, identity, overwrite=overwrite, removes=False))
    processes.main_first(begin)
    num_made = sum(processes.gather(processes.together(work)))
    for line in Clipping.total(clipping).notes(seen=request.noise_free):
        tell(line)
    return num_made


def _draw_with_gif(
    path: Path,
    generator: LensGenerator,
    request: Request,
    own: Request,
    batch_size: int,
    advance: Callable[[int], object],
    tell: Callable[[str], object],
) -> Iterator[LensSamples]:
    """Yield the images of the main process; those at the end of the GIF are not drawn again."""
    first = shown_request(generator, request, batch_size)
    is_same = (first.sampler, first.num_steps) == (request.sampler, request.num_steps)
    counted = advance if is_same else lambda num: num
    last = save_animation(path, generator, first, batch_size, advance=counted, tell=tell)
    if is_same:
        served = own[: len(first)]
        for batch, frame in zip(served.batches(batch_size), last, strict=False):
            yield generator.finished(batch, frame.x_t)
        own = own[len(served) :]
    yield from generator.generate(own, batch_size=batch_size, advance=advance)


def _records(batches: Iterable[LensSamples], clipping: list[Clipping]) -> Iterator[LensRecord]:
    """Yield the images of batches, and keep what was cut off at zero flux."""
    for batch in batches:
        clipping.append(batch.clipping)
        yield from batch.records()


def _keeping(
    records: Iterable[LensRecord], images: list[NDArray[np.float32]]
) -> Iterator[LensRecord]:
    """Yield records, and keep the first images for the grid."""
    for record in records:
        if len(images) < NUM_SHOWN:
            images.append(record.image)
        yield record
