"""What is measured of every image: lens physics, profiles, encoder features."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from joblib import Parallel, delayed
from numpy.typing import NDArray

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.evaluation.cache import Arrays, cached, key_of
from gravlensdiffusion.evaluation.preparation import BLOCK, PreparedSource
from gravlensdiffusion.metrics import einstein, morphology, physics, sky
from gravlensdiffusion.model.checkpoint import load_encoder
from gravlensdiffusion.model.folders import WEIGHTS, bundled_encoders
from gravlensdiffusion.nn.classifier import LensEncoder
from gravlensdiffusion.parallel import Processes, partition
from gravlensdiffusion.progress import shown_progress
from gravlensdiffusion.sets.flux import default_method, resize

NUM_THREADS = 2
"""Blocks that are measured at the same time, at most."""
STRIDE = 4 * BLOCK
"""Images after which it is told how far the measuring is; whole blocks, some of them at a time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurements:
    """Everything measured of N images.

    Attributes:
        physics: One number per image by name, ``(N,)`` each.
        profiles: Several numbers per image by name, ``(N, K)`` each.
        features: Encoder features, ``(N, F)``.
        estimates: The encoder's targets by name, ``(N,)`` each.
        logits: The encoder's class logits, ``(N, K)``.
    """

    physics: Mapping[str, NDArray[np.float64]]
    profiles: Mapping[str, NDArray[np.float64]]
    features: NDArray[np.float64]
    estimates: Mapping[str, NDArray[np.float64]]
    logits: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, indices: NDArray[np.integer] | slice) -> "Measurements":
        return self._changed(lambda values: values[indices])

    def joined(self, other: "Measurements") -> "Measurements":
        """Return these images followed by those of another set."""
        return self._changed(lambda *parts: np.concatenate(parts), other)

    def _changed(self, change: Callable[..., Any], *others: "Measurements") -> "Measurements":
        """Return what a function makes of each array, and of the same arrays of others."""
        found: dict[str, Any] = {}
        for field in fields(self):
            own, *more = (getattr(each, field.name) for each in (self, *others))
            found[field.name] = (
                {name: change(own[name], *(each[name] for each in more)) for name in own}
                if isinstance(own, Mapping)
                else change(own, *more)
            )
        return Measurements(**found)


def features_alone(features: NDArray[np.float64]) -> Measurements:
    """Return measurements that consist of features ``(N, F)`` and nothing else."""
    nothing = np.empty((len(features), 0))
    return Measurements(physics={}, profiles={}, features=features, estimates={}, logits=nothing)


class Encoder:
    """The lens encoder that serves a size of images.

    Args:
        size: Size of the images that are compared [pixel].

    Attributes:
        name: Its name.
        digest: SHA-256 of its weights.
        levels: Mean lower quartile and mean maximum of the images it was trained on [peak].

    Raises:
        GravLensError: If no encoder is bundled, or the images are smaller than any takes.
    """

    def __init__(self, size: int) -> None:
        known = bundled_encoders()
        fitting = [each for each in known if each <= size]
        if not fitting:
            least = min(known) if known else 28
            raise GravLensError(
                f"images of {size} pixels are too small: the smallest lens encoder takes {least}"
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


Task = Callable[[PreparedSource, Encoder, range], Arrays]
"""Measures some images of a set: arrays by name, one row per image. A function of a module, by whose
name other processes find it."""


class Team:
    """The processes that share the measuring of an evaluation: the main one asks, all measure.

    Args:
        sources: The sets, the same on all processes.
        encoder: The encoder of the report.
        processes: The processes.
        progress: Whether the main one shows on stderr how far its own share is.
    """

    def __init__(
        self,
        sources: Sequence[PreparedSource],
        encoder: Encoder,
        processes: Processes,
        *,
        progress: bool = False,
    ) -> None:
        self._sources = tuple(sources)
        self._processes = processes
        self._is_shown = progress
        self.encoder = encoder

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let the others go."""
        self._processes.broadcast(None)

    def measure(self, task: Task, source: PreparedSource) -> Arrays:
        """Measure all images of a set, from the main process.

        Raises:
            GravLensError: If a process cannot.
        """
        number = next(k for k, each in enumerate(self._sources) if each is source)
        self._processes.broadcast((task, number))
        return _concatenated(self._parts(task, number))

    def serve(self) -> None:
        """Measure what the main process asks for, until it lets this one go."""
        while True:
            request: tuple[Task, int] | None = self._processes.broadcast(None)
            if request is None:
                return
            # The main process hears of it, and says it.
            with suppress(GravLensError):
                self._parts(*request)

    def _parts(self, task: Task, number: int) -> list[Arrays]:
        """Return the shares of all processes, in their order, on the main one."""
        source = self._sources[number]
        share = partition(len(source), BLOCK, self._processes.num, self._processes.index)
        parts = self._processes.together(lambda: self._own(task, source, share))
        return [each for some in self._processes.gather(parts) for each in some]

    def _own(self, task: Task, source: PreparedSource, share: range) -> list[Arrays]:
        parts = []
        with shown_progress(len(share), is_shown=self._is_shown) as shown:
            for low in range(0, len(share), STRIDE):
                parts.append(task(source, self.encoder, share[low : low + STRIDE]))
                shown.update(min(low + STRIDE, len(share)))
        return parts


def measure_set(source: PreparedSource, encoder: Encoder, team: Team | None = None) -> Measurements:
    """Measure every image of a set, or find it in the cache; without a team, in this process alone."""
    key = key_of(
        source.digest,
        repr(source.pixel_scale_arcsec),
        encoder.digest,
        repr(encoder.levels),
        modules=(physics, sky, morphology, einstein),
    )
    return _unpack(cached(key, lambda: _by(team, _measure, source, encoder)), encoder)


def encode_set(
    source: PreparedSource, encoder: Encoder, team: Team | None = None
) -> NDArray[np.float64]:
    """Return the encoder features of a set, ``(N, F)``, or find them in the cache; as above."""
    key = key_of("features alone", source.digest, encoder.digest, repr(encoder.levels))
    arrays = cached(key, lambda: _by(team, _encode, source, encoder))
    return arrays["features"].astype(np.float64)


def measure_images(
    images: NDArray[np.float32], source: PreparedSource, encoder: Encoder
) -> Measurements:
    """Measure prepared images ``(N, size, size)`` that stand for images of a set."""
    return _unpack(_measure_block(images, source, encoder), encoder)


def _by(team: Team | None, task: Task, source: PreparedSource, encoder: Encoder) -> Arrays:
    if team is None:
        return task(source, encoder, range(len(source)))
    return team.measure(task, source)


def _measure(source: PreparedSource, encoder: Encoder, share: range) -> Arrays:
    tasks = (
        delayed(_measure_block)(block, source, encoder, masked)
        for block, masked in zip(
            source.pixel_blocks(share), source.masked_blocks(share), strict=True
        )
    )
    num = min(NUM_THREADS, torch.get_num_threads())
    workers = Parallel(n_jobs=num, prefer="threads", pre_dispatch=num, return_as="generator")
    return _concatenated(list(workers(tasks)))


def _encode(source: PreparedSource, encoder: Encoder, share: range) -> Arrays:
    levels = encoder.levels
    scaled = (
        source.preparation.on_peak_scale(block, levels) for block in source.pixel_blocks(share)
    )
    return {"features": np.concatenate([encoder(block)[0] for block in scaled])}


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
    def group(prefix: str) -> Iterator[tuple[str, NDArray[np.float64]]]:
        for name, values in arrays.items():
            if name.startswith(prefix):
                yield name.removeprefix(prefix), values.astype(np.float64, copy=False)

    targets = arrays["targets"].astype(np.float64, copy=False)
    return Measurements(
        physics=dict(group("physics/")),
        profiles=dict(group("profiles/")),
        features=arrays["features"].astype(np.float64, copy=False),
        estimates=dict(zip(encoder.network.config.targets, targets.T, strict=True)),
        logits=arrays["logits"].astype(np.float64, copy=False),
    )


def _concatenated(parts: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    return {
        name: first if len(parts) == 1 else np.concatenate([part[name] for part in parts])
        for name, first in parts[0].items()
    }
