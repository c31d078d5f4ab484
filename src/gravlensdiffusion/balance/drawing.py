"""Drawing the images that a class lacks, batch by batch."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.balance.fit import Fit
from gravlensdiffusion.balance.settings import Settings
from gravlensdiffusion.balance.survey import Survey
from gravlensdiffusion.diffusion.randomness import Stream, generator
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.generation.instrument import Observer, Observing, peak_scaled
from gravlensdiffusion.generation.ordering import Order
from gravlensdiffusion.sets.records import GENERATED, FilledClass, LensRecord

CLASS_STRIDE = 2**40
"""Image numbers from one class of a model to the next."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Images of one class that are drawn together.

    Attributes:
        name: Name of the class.
        label: Its index in the set.
        first: Number j of the first image within the class.
        num: Number of images.
    """

    name: str
    label: int
    first: int
    num: int


def split(classes: Sequence[FilledClass], size: int) -> list[Batch]:
    """Return what is to be made in batches of at most ``size``, class by class.

    Args:
        classes: What is to be made, in the order of the set's classes.
        size: Images at a time.
    """
    return [
        Batch(name=each.name, label=label, first=each.first + low, num=min(size, each.num - low))
        for label, each in enumerate(classes)
        for low in range(0, each.num, size)
    ]


class Drawing:
    """Draws batches of images that fit into a set.

    Image j of a class depends on (seed, class, j), where the class is its place among the model's;
    in a peak-scaled set also on the extremes of the originals.

    Args:
        source: The model.
        fit: What makes its images fit.
        survey: What was seen of the set.
        settings: How the images are drawn.
        stored: Names of the parameters that the set keeps.
    """

    def __init__(
        self,
        source: LensGenerator,
        fit: Fit,
        survey: Survey,
        settings: Settings,
        stored: Sequence[str],
    ) -> None:
        self.source = source
        self.fit = fit
        self.survey = survey
        self.settings = settings
        self.stored = frozenset(stored)
        self.observer = Observer(source.config, Observing(), source.name)

    def records(self, batch: Batch) -> Iterator[LensRecord]:
        """Draw a batch and yield its images as the set takes them."""
        seed = self.settings.seed
        position = self.source.config.class_names.index(batch.name)
        start = (1 + position) * CLASS_STRIDE + batch.first
        numbers = range(start, start + batch.num)
        num_parameters = len(self.source.config.parameters)
        labels = np.full(batch.num, position, dtype=np.int16)
        order = Order(labels, np.full((batch.num, num_parameters), np.nan))
        order = self.source.filled(order, seed, numbers)
        frames = self.source.trajectory(
            numbers,
            order,
            seed=seed,
            sampler=self.settings.sampler,
            num_steps=self.settings.num_steps,
            guidance=self.settings.guidance,
        )
        flux = self.source.to_flux(deque(frames, maxlen=1).pop().x_t)
        images, clean = self.observer.take(flux, numbers, seed)
        images, clean = self._fitted(images, clean, batch.label, numbers)
        values = self.source.stored_parameters(order, self.observer)
        kept = {name: each for name, each in values.items() if name in self.stored}
        for k, image in enumerate(images):
            own = {name: float(each[k]) for name, each in kept.items()}
            yield LensRecord(
                image=image,
                label=batch.label,
                parameters=own | {GENERATED: 1.0},
                noise_free=clean[k] if self.fit.has_twins and clean is not None else None,
            )

    def _fitted(
        self,
        images: NDArray[np.float32],
        clean: NDArray[np.float32] | None,
        label: int,
        numbers: Sequence[int],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Bring images and their twins to the pixels and the scale of the set."""
        if self.fit.resampling is not None:
            images = self.fit.resampling(images)
            clean = None if clean is None else self.fit.resampling(clean)
        if not self.fit.is_scaled:
            return images, clean
        images, clean = peak_scaled(images, clean)
        examples = self.survey.examples(label)
        drawn = [generator(self.settings.seed, k, Stream.EXTREMES).random() for k in numbers]
        rows = examples[(np.array(drawn) * len(examples)).astype(int)]
        low = self.survey.lows[rows][:, None, None, None]
        span = self.survey.highs[rows][:, None, None, None] - low
        return images * span + low, None if clean is None else clean * span + low
