"""Images of a model to files: one set with its pictures, their way from noise too, or shards of one."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.config.sampling import CONSISTENCY
from gravlensdiffusion.formats.writers import whole_set, write_images
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.generation.noise import Clipping
from gravlensdiffusion.generation.request import Request
from gravlensdiffusion.generation.samples import Frame, LensSamples
from gravlensdiffusion.parallel import ALONE, Processes, partition
from gravlensdiffusion.progress import shown_progress
from gravlensdiffusion.reports.mosaics import save_gif, save_grid, spared
from gravlensdiffusion.sets.naming import GIF, GRID
from gravlensdiffusion.sets.records import LensRecord
from gravlensdiffusion.store.shards import Shards

PART = ".lenses.part-"
"""What the images of each of several processes are called until the main one puts them together."""
NUM_SHOWN = 100
"""Images in a grid and in a GIF, at most."""
MIN_STEPS = 30
MAX_FRAMES = 100
DURATION_MS = 5000
"""Time from noise to images [ms]."""


@dataclass(frozen=True, kw_only=True)
class SampleWriter:
    """Draws what is asked of a model to files.

    Attributes:
        generator: The model.
        request: What is asked of all images.
        batch_size: Images at a time.
        overwrite: Whether an earlier set may be replaced, in all its formats; of shards, those that
            are damaged or of another request.
        processes: The processes that share the work.
        tell: Takes each line that the user should know.
        progress: Whether to show on stderr how far it is.
    """

    generator: LensGenerator
    request: Request
    batch_size: int = 100
    overwrite: bool = False
    processes: Processes = ALONE
    tell: Callable[[str], object] = lambda line: line
    progress: bool = False

    def write_set(
        self, folder: Path, formats: Sequence[str] = ("h5",), *, gif: bool = False
    ) -> list[str]:
        """Write one set, with a grid of the first hundred images, and their way from noise as a `gif`.

        Of several processes each draws its share, and the main one puts all into the set.

        Returns:
            The names of what was written; nothing on all but the main process.

        Raises:
            GravLensError: If something is in the way, or cannot be written.
        """
        request, num, index = self.request, self.processes.num, self.processes.index
        shares = [partition(len(request), self.batch_size, num, k) for k in range(num)]
        parts = Shards(folder, shares, PART)
        own = request[shares[index].start : shares[index].stop]
        header = self.generator.header(request)
        clipping: list[Clipping] = []
        shown: list[LensRecord] = []

        def write_part() -> None:
            if len(own):
                parts.write(index, _records(self._draw(own), clipping), header, {})

        def of_others() -> Iterator[LensRecord]:
            self.processes.together(lambda: None)
            yield from parts.records()

        self.processes.main_first(lambda: parts.clear() if self.processes.is_main else None)
        if not self.processes.is_main:
            self.processes.together(write_part)
            return []
        try:
            with (
                whole_set(folder, formats, overwrite=self.overwrite) as partial,
                shown_progress(len(own), steps=request.num_steps, is_shown=self.progress) as bar,
            ):
                batches = (
                    self._draw_with_gif(partial / GIF, own, bar.advance)
                    if gif
                    else self._draw(own, bar.advance)
                )
                records = _keeping(chain(_records(batches, clipping), of_others()), shown)
                name = self.generator.name
                written = write_images(
                    partial, records, header, formats, model=name, num=len(request)
                )
                with spared(GRID, self.tell):
                    titles = header.titles(record.label for record in shown)
                    images = np.stack([record.image for record in shown])
                    save_grid(images, partial / GRID, titles=titles)
                pictures = [each for each in (GRID, GIF) if (partial / each).exists()]
        finally:
            parts.clear()
        self._tell_clipping(clipping)
        return written + pictures

    def write_shards(self, shards: Shards, *, dry_run: bool = False) -> int:
        """Write the shards of a set that are not there, process i of P the shards i, i + P, ...

        Returns:
            How many shards were missing, on the main process.

        Raises:
            GravLensError: If something else is in the folder, a shard is damaged or of another
                request, or cannot be written.
        """
        common = self.generator.identity(self.request.sampler)
        header = self.generator.header(self.request)
        clipping: list[Clipping] = []

        def identity(images: range) -> dict[str, Any]:
            return common | self.request[images.start : images.stop].identity()

        def begin() -> None:
            if self.processes.is_main:
                shards.check_folder(overwrite=self.overwrite)
                shards.clean()

        def work() -> int:
            own = range(self.processes.index, len(shards), self.processes.num)
            missing = shards.missing(own, identity, overwrite=self.overwrite)
            num, steps = sum(len(shards.pieces[k]) for k in missing), self.request.num_steps
            with shown_progress(num, steps=steps, is_shown=self.progress) as bar:
                for k in missing:
                    images = shards.pieces[k]
                    asked = self.request[images.start : images.stop]
                    batches = self._draw(asked, bar.advance)
                    shards.write(k, _records(batches, clipping), header, identity(images))
            return len(missing)

        if dry_run:
            shards.check_folder(overwrite=self.overwrite)
            which = range(len(shards))
            return len(shards.missing(which, identity, overwrite=self.overwrite, removes=False))
        self.processes.main_first(begin)
        num_made = sum(self.processes.gather(self.processes.together(work)))
        self._tell_clipping(clipping)
        return num_made

    def _draw(
        self, request: Request, advance: Callable[[int], object] = lambda num: num
    ) -> Iterator[LensSamples]:
        """Yield images batch by batch."""
        return self.generator.generate(request, batch_size=self.batch_size, advance=advance)

    def _draw_with_gif(
        self, path: Path, own: Request, advance: Callable[[int], object]
    ) -> Iterator[LensSamples]:
        """Yield the images of the main process; those at the end of the GIF are not drawn again."""
        generator = self.generator
        first = shown_request(generator, self.request, self.batch_size)
        asked = (self.request.sampler, self.request.num_steps)
        is_same = (first.sampler, first.num_steps) == asked
        kept = kept_steps(first.num_steps)
        last: list[Frame] = []
        failed: list[Exception] = []

        def frames() -> Iterator[NDArray[np.float32]]:
            batches = list(first.batches(self.batch_size))
            try:
                for moments in zip(*map(generator.trajectory, batches), strict=True):
                    last[:] = moments
                    if moments[0].step and is_same:
                        advance(len(first))
                    if moments[0].step in kept:
                        shown = [generator.to_display(moment) for moment in moments]
                        yield np.concatenate(shown)[:NUM_SHOWN]
            except Exception as error:
                failed.append(error)
                raise

        # An asinh is a stretch already.
        stretch = "linear" if generator.config.transform.kind == "asinh" else "sqrt"
        pictures = frames()
        with spared(path.name, self.tell):
            save_gif(pictures, path, duration_ms=DURATION_MS // len(kept), stretch=stretch)
        # The images are drawn to their end, whatever has become of the picture.
        deque(pictures, maxlen=0)
        if failed:
            raise failed[0]
        if is_same:
            served = own[: len(first)]
            for batch, frame in zip(served.batches(self.batch_size), last, strict=False):
                yield generator.finished(batch, frame.x_t)
            own = own[len(served) :]
        yield from self._draw(own, advance)

    def _tell_clipping(self, parts: Iterable[Clipping]) -> None:
        """Say what was cut off at zero flux, where it matters."""
        if line := sum(parts, Clipping()).note(seen=self.request.noise_free):
            self.tell(line)


def _records(batches: Iterable[LensSamples], clipping: list[Clipping]) -> Iterator[LensRecord]:
    """Yield the images of batches, and keep what was cut off at zero flux."""
    for batch in batches:
        clipping.append(batch.clipping)
        yield from batch.records()


def _keeping(records: Iterable[LensRecord], first: list[LensRecord]) -> Iterator[LensRecord]:
    """Yield records, and keep the first ones for the grid."""
    for record in records:
        if len(first) < NUM_SHOWN:
            first.append(record)
        yield record


def shown_request(generator: LensGenerator, request: Request, batch_size: int) -> Request:
    """Return the request whose way a GIF shows: whole batches, in steps enough to show it."""
    num = -(-NUM_SHOWN // batch_size) * batch_size
    own, sampler, steps = generator.config.sampling.sampler, request.sampler, request.num_steps
    if sampler != CONSISTENCY:
        steps = max(steps, generator.at_most(MIN_STEPS, sampler))
    elif own != CONSISTENCY:
        # A distilled model has no long way; the one that it was distilled from has.
        sampler, steps = own, generator.at_most(MIN_STEPS, own)
    return replace(request[:num], sampler=sampler, num_steps=steps)


def kept_steps(num_steps: int) -> frozenset[int]:
    """Return the steps that a GIF shows, evenly spread, the first and the last among them."""
    num = min(num_steps, MAX_FRAMES - 1)
    return frozenset(round(k * num_steps / num) for k in range(num + 1))
