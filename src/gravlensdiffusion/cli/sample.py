"""``gravlens sample``: images, a grid and a GIF from a model."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.errors import GravLensError

if TYPE_CHECKING:
    from gravlensdiffusion.pipeline import Frame, LensGenerator
    from gravlensdiffusion.records import LensRecord

GRID = "grid.png"
GIF = "denoising.gif"
NUM_SHOWN = 100
"""Images in the grid and in the GIF, at most."""
MIN_GIF_STEPS = 30
MAX_GIF_FRAMES = 100
GIF_MS = 5000
"""Time from noise to images [ms]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Draw images from a model, with a grid of the first hundred.

    Image k depends on the seed, on k, its class and the sampler; not on how many are drawn.
    """

    out: Path
    """Folder to write to; it is made where it does not exist."""
    model: str = "lens28"
    """A bundled model, a run, a checkpoint folder, or a model_checkpoint.pth of the earlier
    project."""
    num: int = 100
    """Number of images."""
    label: str | None = None
    """A class, or several separated by commas that are gone through in turn; 'any' leaves the
    class to the model. By default all classes in turn."""
    seed: int = 0
    """Seed of the noise that the images start from."""
    sampler: Literal["dpmpp", "ddim", "ddpm", "heun"] | None = None
    """How noise is undone: dpmpp (DPM-Solver++ 2M), ddim, ddpm (1000 random steps), heun. By
    default the model's own."""
    steps: int | None = None
    """Number of steps; by default what suits model and sampler."""
    batch_size: int = 100
    """Images at a time; it bounds the memory."""
    guidance: float = 1.0
    """How strongly the class is insisted on; 1 is the model as it was trained."""
    format: str = "h5"
    """What to write, separated by commas: h5 (lenses.h5), npy, fits, png."""
    gif: bool = False
    """Write denoising.gif too: the first hundred images on their way from noise. It takes at least
    30 steps: where the images take fewer, it shows a run of 30 steps from the same noise."""
    overwrite: bool = False
    """Replace files that exist."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute."""


def run(options: Options) -> None:
    """Draw images and write them.

    Raises:
        GravLensError: If an option does not fit the model, or a file exists.
    """
    formats = tuple(dict.fromkeys(split(options.format)))
    check(options, formats)
    from gravlensdiffusion.data.writers import write_images
    from gravlensdiffusion.data.writing import whole_file
    from gravlensdiffusion.figures.grid import save_grid
    from gravlensdiffusion.pipeline import LensGenerator

    generator = LensGenerator.from_pretrained(options.model, device=options.device)
    drawing = Drawing(generator, options)
    with ExitStack() as stack:
        # The pictures get their names last: where one is, all files are.
        grid = stack.enter_context(whole_file(options.out / GRID, overwrite=options.overwrite))
        gif = None
        if options.gif:
            gif = stack.enter_context(whole_file(options.out / GIF, overwrite=options.overwrite))
        drawing.advance = stack.enter_context(progress_bar(drawing.num_image_steps))
        written = write_images(
            options.out,
            drawing.records(gif),
            generator.header(options.seed),
            formats,
            model=generator.name,
            overwrite=options.overwrite,
            num=options.num,
        )
        save_grid(drawing.shown(), grid)
    names = [path.name for path in written] + [GRID] + [GIF] * options.gif
    print(f"wrote {options.num} images of {generator.name} to {options.out}: {', '.join(names)}")


def check(options: Options, formats: Sequence[str]) -> None:
    """Refuse what can be refused before a model is loaded.

    Raises:
        GravLensError: If a value is out of range, a format unknown, or a file in the way.
    """
    from gravlensdiffusion.data.writers import check_targets
    from gravlensdiffusion.data.writing import refuse_existing

    for flag, value in (("--num", options.num), ("--batch-size", options.batch_size)):
        if value < 1:
            raise GravLensError(f"{flag} must be at least 1, got {value}")
    if not math.isfinite(options.guidance) or options.guidance < 0:
        raise GravLensError(f"--guidance must be a number from 0 up, got {options.guidance}")
    check_targets(options.out, formats, overwrite=options.overwrite)
    for name in [GRID] + [GIF] * options.gif:
        refuse_existing(options.out / name, overwrite=options.overwrite)


class Drawing:
    """One call's images, drawn batch by batch.

    Args:
        generator: The model.
        options: What was asked for.

    Attributes:
        advance: Called after each step of a batch with its number of images.
    """

    def __init__(self, generator: "LensGenerator", options: Options) -> None:
        names = None if options.label is None else split(options.label)
        self.generator = generator
        self.options = options
        self.advance: Callable[[int], object] = lambda num: num
        self.labels = generator.labels(options.num, names)
        self.sampler, self.steps = generator.sampling(options.sampler, options.steps)
        self._shown: list[NDArray[np.float32]] = []

    @property
    def num_image_steps(self) -> int:
        """Steps in all, those of each image counted."""
        extra = 0
        if self.options.gif and self.steps < MIN_GIF_STEPS:
            extra = MIN_GIF_STEPS * sum(map(len, self._gif_batches()))
        return self.options.num * self.steps + extra

    def records(self, gif: Path | None = None) -> Iterator["LensRecord"]:
        """Draw the images and yield them as records.

        Args:
            gif: Where to write the way of the first images, or None.
        """
        from gravlensdiffusion.records import LensRecord

        for k, image in enumerate(self._images(gif)):
            if k < NUM_SHOWN:
                self._shown.append(image)
            yield LensRecord(image=image, label=int(self.labels[k]))

    def shown(self) -> NDArray[np.float32]:
        """Return the first images drawn, shape ``(N, C, H, W)`` with N at most 100."""
        return np.stack(self._shown)

    def _images(self, gif: Path | None) -> Iterator[NDArray[np.float32]]:
        batches = self._batches()
        if gif is not None:
            first = self._gif_batches()
            finished = self._draw_gif(gif, first, max(self.steps, MIN_GIF_STEPS))
            if self.steps >= MIN_GIF_STEPS:
                batches = batches[len(first) :]
                for frame in finished:
                    yield from self.generator.to_flux(frame.x_t)
        for batch in batches:
            for frame in self._walk(batch, self.steps):
                finished = [frame]
            yield from self.generator.to_flux(finished[0].x_t)

    def _batches(self) -> list[range]:
        size, num = self.options.batch_size, self.options.num
        return [range(start, min(start + size, num)) for start in range(0, num, size)]

    def _gif_batches(self) -> list[range]:
        return self._batches()[: math.ceil(NUM_SHOWN / self.options.batch_size)]

    def _walk(self, batch: range, steps: int) -> Iterator["Frame"]:
        for frame in self.generator.trajectory(
            batch,
            self.labels[batch.start : batch.stop],
            seed=self.options.seed,
            sampler=self.sampler,
            num_steps=steps,
            guidance=self.options.guidance,
        ):
            if frame.step:
                self.advance(len(batch))
            yield frame

    def _draw_gif(self, path: Path, batches: list[range], steps: int) -> list["Frame"]:
        """Write the GIF, all batches in step, and return their last frames."""
        from gravlensdiffusion.figures.gif import save_gif

        last: list[Frame] = []
        kept = kept_steps(steps)

        def frames() -> Iterator[NDArray[np.float32]]:
            nonlocal last
            walks = [self._walk(batch, steps) for batch in batches]
            for moments in zip(*walks, strict=True):
                last = list(moments)
                if moments[0].step in kept:
                    shown = [self.generator.to_display(moment) for moment in moments]
                    yield np.concatenate(shown)[:NUM_SHOWN]

        # An asinh is a stretch already.
        is_stretched = self.generator.config.transform.kind == "asinh"
        stretch = "linear" if is_stretched else "sqrt"
        save_gif(frames(), path, duration_ms=GIF_MS // len(kept), stretch=stretch)
        return last


@contextmanager
def progress_bar(total: int) -> Iterator[Callable[[int], object]]:
    """Show a bar on stderr, where that is a terminal; yield what moves it on."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = ("sampling", BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("sampling", total=total)
        yield lambda num: bar.advance(task, num)


def kept_steps(num_steps: int) -> frozenset[int]:
    """Return the steps that a GIF shows, evenly spread, the first and the last among them."""
    num = min(num_steps, MAX_GIF_FRAMES - 1)
    return frozenset(round(k * num_steps / num) for k in range(num + 1))


def split(text: str) -> list[str]:
    """Return what stands between commas."""
    return [part.strip() for part in text.split(",")]
