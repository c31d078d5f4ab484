"""Drawing a set of images batch by batch, with the pictures of the first hundred."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from gravlensdiffusion.generation.generator import LensGenerator
    from gravlensdiffusion.generation.instrument import Observer
    from gravlensdiffusion.generation.ordering import Order
    from gravlensdiffusion.generation.samples import Frame
    from gravlensdiffusion.sets.records import LensRecord

NUM_SHOWN = 100
"""Images in the grid and in the GIF, at most."""
FEW_STEPS = "consistency"
"""Sampler of distilled models; see `build`, which would bring torch along."""
MIN_GIF_STEPS = 30
MAX_GIF_FRAMES = 100
GIF_MS = 5000
"""Time from noise to images [ms]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How images are drawn.

    Attributes:
        seed: Seed of everything random.
        sampler: Name of the sampler.
        steps: Number of steps.
        batch_size: Images at a time.
        guidance: Scale of classifier-free guidance.
        noise_free: Whether the records keep the images without noise too.
    """

    seed: int
    sampler: str
    steps: int
    batch_size: int
    guidance: float
    noise_free: bool


class Drawing:
    """One call's images, drawn batch by batch.

    Args:
        generator: The model.
        order: What each image is asked to be.
        observer: What happens to the images of the model.
        settings: How they are drawn.
        gif: Whether the way of the first images is written.
        share: Which of them this process draws, whole batches; None for all.

    Attributes:
        advance: Called after each step of a batch with its number of images.
    """

    def __init__(
        self,
        generator: "LensGenerator",
        order: "Order",
        observer: "Observer",
        settings: Settings,
        *,
        gif: bool,
        share: range | None = None,
    ) -> None:
        self.generator = generator
        self.order = order
        self.observer = observer
        self.settings = settings
        self.gif = gif
        self.share = range(len(order)) if share is None else share
        self.advance: Callable[[int], object] = lambda num: num
        self._shown: list[NDArray[np.float32]] = []

    @property
    def steps_of_image(self) -> int:
        """Steps that an image takes."""
        return self.settings.steps

    def part(self, share: range) -> "Drawing":
        """Return the drawing of some of the images, which moves the same bar on."""
        drawing = Drawing(
            self.generator, self.order, self.observer, self.settings, gif=False, share=share
        )
        drawing.advance = self.advance
        return drawing

    @property
    def _sampling(self) -> tuple[str, int]:
        """Sampler and steps of the images."""
        return self.settings.sampler, self.settings.steps

    @property
    def _gif_sampling(self) -> tuple[str, int]:
        """Sampler and steps of the GIF: those of the images where they show enough of the way."""
        own = self.generator.config.sampling.sampler
        sampler, steps = self._sampling
        if sampler == FEW_STEPS:
            # A distilled model has no long way; the one that it was distilled from has.
            return self._sampling if own == FEW_STEPS else (own, MIN_GIF_STEPS)
        return sampler, max(steps, MIN_GIF_STEPS)

    def records(
        self, gif: Path | None = None, tell: Callable[[str], object] = lambda line: line
    ) -> Iterator["LensRecord"]:
        """Draw the images and yield them as records.

        Args:
            gif: Where to write the way of the first images, or None.
            tell: Where to say that it could not be drawn.
        """
        from gravlensdiffusion.sets.records import LensRecord

        stored = self.generator.stored_parameters(self.order, self.observer)
        for batch, flux in self._flux(gif, tell):
            images, clean = self.observer.take(flux, batch, self.settings.seed)
            for place, k in enumerate(batch):
                has_twin = self.settings.noise_free and clean is not None
                yield LensRecord(
                    image=images[place],
                    label=int(self.order.labels[k]),
                    parameters={name: float(values[k]) for name, values in stored.items()},
                    noise_free=clean[place] if has_twin and clean is not None else None,
                )

    def showing(self, records: Iterable["LensRecord"]) -> Iterator["LensRecord"]:
        """Yield records of the set in their order, and keep the first images for the grid."""
        for record in records:
            if len(self._shown) < NUM_SHOWN:
                self._shown.append(record.image)
            yield record

    def shown(self) -> NDArray[np.float32]:
        """Return the first images of the set, shape ``(N, C, H, W)`` with N at most 100."""
        return np.stack(self._shown)

    def _flux(
        self, gif: Path | None, tell: Callable[[str], object]
    ) -> Iterator[tuple[range, NDArray[np.float32]]]:
        """Yield the images of the model batch by batch."""
        batches = self._batches(self.share)
        if gif is not None:
            first = self._gif_batches()
            finished = self._draw_gif(gif, first, tell)
            for batch, frame in zip(first, finished, strict=True):
                if self._serves(batch):
                    batches.remove(batch)
                    yield batch, self.generator.to_flux(frame.x_t)
        for batch in batches:
            for frame in self._walk(batch, *self._sampling):
                finished = [frame]
            yield batch, self.generator.to_flux(finished[0].x_t)

    def _batches(self, share: range) -> list[range]:
        size = self.settings.batch_size
        return [share[low : low + size] for low in range(0, len(share), size)]

    def _gif_batches(self) -> list[range]:
        everything = self._batches(range(len(self.order)))
        return everything[: math.ceil(NUM_SHOWN / self.settings.batch_size)]

    def _serves(self, batch: range) -> bool:
        """Whether the images at the end of the GIF are a batch that is to be drawn."""
        return self._gif_sampling == self._sampling and batch.start in self.share

    def _walk(self, batch: range, sampler: str, steps: int) -> Iterator["Frame"]:
        for frame in self.generator.trajectory(
            batch,
            self.order[batch.start : batch.stop],
            seed=self.settings.seed,
            sampler=sampler,
            num_steps=steps,
            guidance=self.settings.guidance,
        ):
            if frame.step and (sampler, steps) == self._sampling:
                self.advance(len(batch))
            yield frame

    def _draw_gif(
        self, path: Path, batches: Sequence[range], tell: Callable[[str], object]
    ) -> list["Frame"]:
        """Write the GIF, all batches in step, and return their last frames."""
        from gravlensdiffusion.reports.drawing import spared
        from gravlensdiffusion.reports.gif import save_gif

        last: list[Frame] = []
        failed: list[Exception] = []
        sampler, steps = self._gif_sampling
        kept = kept_steps(steps)

        def drawn() -> Iterator[NDArray[np.float32]]:
            nonlocal last
            walks = [self._walk(batch, sampler, steps) for batch in batches]
            for moments in zip(*walks, strict=True):
                last = list(moments)
                if moments[0].step in kept:
                    shown = [self.generator.to_display(moment) for moment in moments]
                    yield np.concatenate(shown)[:NUM_SHOWN]

        def frames() -> Iterator[NDArray[np.float32]]:
            try:
                yield from drawn()
            except Exception as error:
                failed.append(error)
                raise

        # An asinh is a stretch already.
        is_stretched = self.generator.config.transform.kind == "asinh"
        stretch = "linear" if is_stretched else "sqrt"
        moments = frames()
        with spared(path.name, tell):
            save_gif(moments, path, duration_ms=GIF_MS // len(kept), stretch=stretch)
        # The images are drawn to their end, whatever has become of the picture.
        deque(moments, maxlen=0)
        if failed:
            raise failed[0]
        return last


def kept_steps(num_steps: int) -> frozenset[int]:
    """Return the steps that a GIF shows, evenly spread, the first and the last among them."""
    num = min(num_steps, MAX_GIF_FRAMES - 1)
    return frozenset(round(k * num_steps / num) for k in range(num + 1))
