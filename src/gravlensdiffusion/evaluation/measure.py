"""What is measured of every image: lens physics, profiles and encoder features."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from joblib import Parallel, delayed
from numpy.typing import NDArray

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.evaluation.preparation import BLOCK, Arrays, PreparedSource, cached
from gravlensdiffusion.metrics import einstein, morphology, physics, sky
from gravlensdiffusion.model.checkpoint import load_encoder
from gravlensdiffusion.model.folders import WEIGHTS, bundled_encoders
from gravlensdiffusion.nn.classifier import LensEncoder
from gravlensdiffusion.parallel import ALONE, Processes, partition
from gravlensdiffusion.progress import shown_progress
from gravlensdiffusion.sets.flux import default_method, resize

NUM_THREADS = 2
"""Blocks that are measured at the same time, at most."""
STRIDE = 4 * BLOCK
"""Images after which it is told how far the measuring is; whole blocks, some of them at a time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurements:
    """Everything measured of N images."""

    physics: Mapping[str, NDArray[np.float64]]  # one number per image by name, `(N,)` each
    profiles: Mapping[str, NDArray[np.float64]]  # several numbers per image by name, `(N, K)` each
    features: NDArray[np.float64]  # encoder features, `(N, F)`
    estimates: Mapping[str, NDArray[np.float64]]  # the encoder's targets by name, `(N,)` each
    logits: NDArray[np.float64]  # the encoder's class logits, `(N, K)`

    @classmethod
    def of(cls, features: NDArray[np.float64], **more: Any) -> Self:
        """Return measurements of features ``(N, F)``, and of nothing else but what is named."""
        nothing = np.empty((len(features), 0))
        rest: dict[str, Any] = {"physics": {}, "profiles": {}, "estimates": {}, "logits": nothing}
        return cls(features=features, **rest | more)

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, indices: NDArray[np.integer] | slice) -> "Measurements":
        return self._changed(lambda values: values[indices])

    def joined(self, *others: "Measurements") -> "Measurements":
        """Return these images followed by those of other sets."""
        if not others:
            return self
        return self._changed(lambda *parts: np.concatenate(parts), *others)

    def _changed(self, change: Callable[..., Any], *others: "Measurements") -> "Measurements":
        found: dict[str, Any] = {}
        for field in fields(self):
            own, *more = (getattr(each, field.name) for each in (self, *others))
            found[field.name] = (
                {name: change(own[name], *(each[name] for each in more)) for name in own}
                if isinstance(own, Mapping)
                else change(own, *more)
            )
        return Measurements(**found)


class Encoder:
    """The lens encoder that serves a size of images.

    Args:
        size: Size of the images that are compared [pixel].

    Attributes:
        name: Its name.
        digest: SHA-256 of its weights.
        levels: Mean lower quartile and mean maximum of the images it was trained on [peak].

    Raises:
        GravLensError: If the images are smaller than any takes.
    """

    def __init__(self, size: int) -> None:
        known = bundled_encoders()
        fitting = [each for each in known if each <= size]
        if not fitting:
            raise GravLensError(
                f"images of {size} pixels are too small: the smallest lens encoder takes {min(known)}"
            )
        folder: Path = known[max(fitting)]
        self.network: LensEncoder = load_encoder(folder)
        config = self.network.config
        self.name = config.name
        self.levels = (config.faint_level, config.bright_level)
        self.digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()

    @torch.no_grad()
    def __call__(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float64], ...]:
        """Return features, targets and class logits of peak-scaled images ``(N, H, W)``."""
        size = self.network.config.image_size
        if images.shape[-1] != size:
            images = resize(images, size, default_method(size)).astype(np.float32)
        features = self.network(torch.from_numpy(np.ascontiguousarray(images))[:, None])
        targets, logits = self.network.estimate(features)
        return tuple(part.double().numpy() for part in (features, targets, logits))


Task = Callable[[PreparedSource, Encoder, range], Iterable[Arrays]]
"""Measures some images of a set: for each block, arrays by name, one row per image. A function of a
module, by whose name other processes find it."""


class Team:
    """The processes that share the measuring of an evaluation: the main one asks, all measure.

    Args:
        sources: The sets, the same on all processes.
        encoder: The encoder of the report.
        processes: The processes; by default this one alone.
        progress: Whether the main one shows on stderr how far its own share is.
    """

    def __init__(
        self,
        sources: Sequence[PreparedSource],
        encoder: Encoder,
        processes: Processes = ALONE,
        *,
        progress: bool = False,
    ) -> None:
        self._sources = tuple(sources)
        self._processes = processes
        self._is_shown = progress
        self.encoder = encoder

    def dismiss(self) -> None:
        """Let the others go."""
        self._processes.broadcast(None)

    def measure(self, source: PreparedSource) -> Measurements:
        """Measure every image of a set, or find it in the cache."""
        scale, encoder = repr(source.pixel_scale_arcsec), self.encoder
        parts = (source.digest, scale, encoder.digest, repr(encoder.levels))
        modules = (physics, sky, morphology, einstein)
        arrays = cached(*parts, modules=modules, compute=lambda: self.run(_measure, source))
        return _unpack(arrays, encoder)

    def encode(self, source: PreparedSource) -> NDArray[np.float64]:
        """Return the encoder features of a set, ``(N, F)``, or find them in the cache."""
        parts = ("features alone", source.digest, self.encoder.digest, repr(self.encoder.levels))
        arrays = cached(*parts, compute=lambda: self.run(_encode, source))
        return arrays["features"].astype(np.float64)

    def run(self, task: Task, source: PreparedSource) -> Arrays:
        """Do a task for all images of a set, from the main process.

        Raises:
            GravLensError: If a process cannot.
        """
        number = next(k for k, each in enumerate(self._sources) if each is source)
        self._processes.broadcast((task, number))
        blocks = self._blocks(task, number)
        return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}

    def serve(self) -> None:
        """Measure what the main process asks for, until it lets this one go."""
        while True:
            request: tuple[Task, int] | None = self._processes.broadcast(None)
            if request is None:
                return
            # The main process hears of it, and says it.
            with suppress(GravLensError):
                self._blocks(*request)

    def _blocks(self, task: Task, number: int) -> list[Arrays]:
        """Return the shares of all processes, in their order, on the main one."""
        source = self._sources[number]
        share = partition(len(source), BLOCK, self._processes.num, self._processes.index)
        own = self._processes.together(lambda: self._own(task, source, share))
        return [each for some in self._processes.gather(own) for each in some]

    def _own(self, task: Task, source: PreparedSource, share: range) -> list[Arrays]:
        blocks = list[Arrays]()
        with shown_progress(len(share), is_shown=self._is_shown) as shown:
            for low in range(0, len(share), STRIDE):
                blocks += task(source, self.encoder, share[low : low + STRIDE])
                shown.update(min(low + STRIDE, len(share)))
        return blocks


def measure_images(
    images: NDArray[np.float32], source: PreparedSource, encoder: Encoder
) -> Measurements:
    """Measure prepared images ``(N, size, size)`` that stand for images of a set."""
    return _unpack(_measure_block(images, source, encoder), encoder)


def _measure(source: PreparedSource, encoder: Encoder, share: range) -> list[Arrays]:
    tasks = (
        delayed(_measure_block)(block, source, encoder, masked)
        for block, masked in zip(
            source.pixel_blocks(share), source.masked_blocks(share), strict=True
        )
    )
    num = min(NUM_THREADS, torch.get_num_threads())
    workers = Parallel(n_jobs=num, prefer="threads", pre_dispatch=num, return_as="generator")
    return list(workers(tasks))


def _encode(source: PreparedSource, encoder: Encoder, share: range) -> Iterator[Arrays]:
    for block in source.pixel_blocks(share):
        yield {"features": encoder(source.preparation.on_peak_scale(block, encoder.levels))[0]}


def _measure_block(
    images: NDArray[np.float32],
    source: PreparedSource,
    encoder: Encoder,
    masked: NDArray[np.bool_] | None = None,
) -> Arrays:
    scale = source.pixel_scale_arcsec
    scaled = source.preparation.on_peak_scale(images, encoder.levels)
    features, targets, logits = encoder(scaled)
    arrays: Arrays = {"features": features, "targets": targets, "logits": logits}
    for name, values in physics.measure(images, scale, masked).items():
        arrays[f"physics/{name}"] = values
    arrays["profiles/radial_profile"] = physics.radial_profile(images, scale, masked).values
    arrays["profiles/power_spectrum"] = physics.power_spectrum(images, scale, masked).values
    return arrays


def _unpack(arrays: Arrays, encoder: Encoder) -> Measurements:
    def group(prefix: str) -> dict[str, NDArray[np.float64]]:
        return {
            name.removeprefix(prefix): values.astype(np.float64, copy=False)
            for name, values in arrays.items()
            if name.startswith(prefix)
        }

    targets = arrays["targets"].astype(np.float64, copy=False)
    return Measurements(
        physics=group("physics/"),
        profiles=group("profiles/"),
        features=arrays["features"].astype(np.float64, copy=False),
        estimates=dict(zip(encoder.network.config.targets, targets.T, strict=True)),
        logits=arrays["logits"].astype(np.float64, copy=False),
    )
