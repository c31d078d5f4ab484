"""A set of images that is simulated when it is read."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Literal

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import NDArray

from gravlensdiffusion.config.simulation import SimulationConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.presets.simulation import simulation_preset
from gravlensdiffusion.progress import shown_progress
from gravlensdiffusion.sets.images import SUBHALO_DTYPE, Indices, as_indices
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.sets.records import LensRecord
from gravlensdiffusion.simulation.gallery import Gallery
from gravlensdiffusion.simulation.generate import labels_of, select, set_header, simulate_one

CHUNK = 32
"""Images that a worker makes at a time."""
CHUNKS_PER_WORKER = 8
"""Chunks per worker that are held in memory at a time."""


def simulate(
    preset: str | SimulationConfig,
    num: int = 1000,
    seed: int = 0,
    *,
    num_jobs: int | None = 1,
    start: int = 0,
    progress: bool = False,
    classes: Sequence[str] | None = None,
    mix: Sequence[float] | None = None,
    size: int | None = None,
    num_pixels: int | None = None,
    noise_free: bool | None = None,
    flux_unit: Literal["peak", "e-/s"] | None = None,
    sources: LensSet | None = None,
) -> "SimulatedSet":
    """Return a set of simulated images, each of which is made when it is read.

    Args:
        preset: What to simulate: the name of a preset, a ``.json`` file like the ``config`` of a set, or a
            configuration.
        num: Number of images.
        seed: Seed of the set, not negative.
        num_jobs: Number of processes; None for all that joblib's `parallel_config` in force has,
            those of a Dask cluster say. It changes nothing in the images.
        start: Number of the first image.
        progress: Whether to show on stderr how far the records are.
        classes: Names of the classes to keep, in the order of the labels; None for all.
        mix: Weight of each class; None for the preset's, or equal ones where classes are named.
        size: Height and width of the images [pixel], after a reduction that keeps the field; None
            for the preset's.
        num_pixels: Native height and width, which set the field [pixel]; None for the preset's.
        noise_free: Whether the images have noise-free twins; None for what the preset says.
        flux_unit: Unit of the images; None for the preset's.
        sources: Images of real galaxies that sources are taken from, as `open_set` opens them with
            ``mixed=True``; None for the preset's sources.

    Raises:
        GravLensError: If a number is out of range or there is no such preset or class, at the call
            and not at the first image.

    Example:
        >>> lenses = simulate("deeplense", 100)
        >>> lenses.read([0, 99]).shape
        (2, 1, 150, 150)
    """
    config = select(
        simulation_preset(preset) if isinstance(preset, str) else preset,
        classes=classes,
        mix=mix,
        size=size,
        num_pixels=num_pixels,
        noise_free=noise_free,
        flux_unit=flux_unit,
    )
    if num < 1:
        raise GravLensError(f"the number of images must be at least 1, got {num}")
    if seed < 0 or start < 0:
        raise GravLensError(f"seed and start must not be negative, got {seed} and {start}")
    if num_jobs is not None and num_jobs < 1:
        raise GravLensError(f"the number of jobs must be at least 1, got {num_jobs}")
    gallery = None
    if sources is not None:
        gallery = Gallery.of(sources)
        config = gallery.sources_of(config)
    return SimulatedSet(
        config, range(start, start + num), seed, num_jobs, shown=progress, gallery=gallery
    )


class SimulatedSet(LensSet):
    """Images of a simulation, a set like any other; see `simulate`.

    Image k depends on the seed and k alone. Pixels are made at each reading; to make them once,
    write the set by `write_store`. Parameters and subhaloes take a pass through all images.
    """

    def __init__(
        self,
        config: SimulationConfig,
        numbers: range,
        seed: int,
        num_jobs: int | None = 1,
        *,
        shown: bool = False,
        gallery: Gallery | None = None,
    ) -> None:
        self.config, self.seed, self.numbers = config, seed, numbers
        self._num_jobs, self._is_shown = num_jobs, shown
        self._gallery = gallery
        self.header = set_header(config, seed)
        size = config.imaging.size or config.imaging.num_pixels
        self.image_shape = (1, size, size)
        self.labels = labels_of(config, seed, numbers)
        self.has_noise_free = config.imaging.noise_free_twin
        self._read: tuple[bytes, list[LensRecord]] = (b"", [])

    def read(self, indices: Indices) -> NDArray[np.float32]:
        """Simulate images, shape ``(B, 1, H, W)``."""
        return self._stacked([record.image for record in self._made(indices)])

    def read_noise_free(self, indices: Indices) -> NDArray[np.float32]:
        """Simulate the noise-free twins of images, shape ``(B, 1, H, W)``."""
        if not self.has_noise_free:
            return super().read_noise_free(indices)
        twins = [record.noise_free for record in self._made(indices)]
        return self._stacked([each for each in twins if each is not None])

    def part(self, numbers: range) -> "SimulatedSet":
        """Return the images of these numbers of the same simulation."""
        return SimulatedSet(self.config, numbers, self.seed, self._num_jobs, gallery=self._gallery)

    def record(self, index: int) -> LensRecord:
        """Return image ``index`` with what is known of it."""
        return self._made([index])[0]

    def name(self, index: int) -> str:
        """Return preset, seed and number of image ``index``."""
        return f"{self.config.preset}, seed {self.seed}, image {self.numbers[index]}"

    def records(self, *, with_unknown: bool = True) -> Iterator[LensRecord]:
        """Yield the images in order with what is known of each; what it lacks is there as NaN."""
        records = self.simulated(self.numbers)
        if self._is_shown:
            with shown_progress(len(self)) as shown:
                yield from shown.over(records)
        else:
            yield from records

    @cached_property
    def parameters(self) -> Mapping[str, NDArray[np.float64]]:
        """Values by name, shape ``(N,)`` each; NaN where an image has none."""
        return self._truth[0]

    @cached_property
    def subhaloes(self) -> NDArray[np.void]:
        """Table of subhaloes: columns image, x [arcsec], y [arcsec], mass [M_sun]."""
        return self._truth[1]

    @cached_property
    def _truth(self) -> tuple[Mapping[str, NDArray[np.float64]], NDArray[np.void]]:
        values = {name: np.full(len(self), np.nan) for name in self.header.parameter_units}
        tables = [np.empty(0, SUBHALO_DTYPE)]
        for k, record in enumerate(self.records()):
            for name, value in record.parameters.items():
                values[name][k] = value
            rows = [(k, *row) for row in ([] if record.subhaloes is None else record.subhaloes)]
            tables.append(np.array(rows, SUBHALO_DTYPE))
        return values, np.concatenate(tables)

    def _made(self, indices: Indices) -> list[LensRecord]:
        """Return some images; the last ones are kept for the twins that are asked for next."""
        wanted = as_indices(indices, len(self))
        kept = self._read
        if kept[0] != wanted.tobytes():
            numbers = [self.numbers[k] for k in wanted]
            # Other threads may read other images in the meantime.
            self._read = kept = (wanted.tobytes(), list(self.simulated(numbers)))
        return kept[1]

    def _stacked(self, images: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.array(images, np.float32).reshape(-1, *self.image_shape)

    def simulated(self, numbers: range | list[int]) -> Iterator[LensRecord]:
        """Yield images by their numbers in the simulation, in the set or not."""
        chunks = [numbers[i : i + CHUNK] for i in range(0, len(numbers), CHUNK)]
        if self._num_jobs == 1:
            for chunk in chunks:
                yield from _simulate_chunk(self.config, self.seed, chunk, self._gallery)
            return
        num_jobs = -1 if self._num_jobs is None else self._num_jobs
        with Parallel(n_jobs=num_jobs, batch_size=1) as workers:
            at_once = effective_n_jobs(workers.n_jobs) * CHUNKS_PER_WORKER
            for i in range(0, len(chunks), at_once):
                tasks = (
                    delayed(_simulate_chunk)(self.config, self.seed, each, self._gallery)
                    for each in chunks[i : i + at_once]
                )
                for records in workers(tasks):
                    yield from records


def _simulate_chunk(
    config: SimulationConfig,
    seed: int,
    numbers: range | list[int],
    gallery: Gallery | None,
) -> list[LensRecord]:
    return [simulate_one(config, seed, number, gallery) for number in numbers]
