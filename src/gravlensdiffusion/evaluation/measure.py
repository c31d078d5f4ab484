"""What is measured of every image: lens physics, profiles, encoder features."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from joblib import Parallel, delayed
from numpy.typing import NDArray

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.evaluation.cache import Arrays, cached, key_of
from gravlensdiffusion.evaluation.preparation import PreparedSource
from gravlensdiffusion.evaluation.team import Task, Team, joined
from gravlensdiffusion.metrics import einstein, morphology, physics, profiles, sky
from gravlensdiffusion.metrics import images as images_module
from gravlensdiffusion.model.checkpoint import load_encoder
from gravlensdiffusion.model.folders import WEIGHTS, bundled_encoders
from gravlensdiffusion.nn.encoder import LensEncoder
from gravlensdiffusion.sets.flux import default_method, resize

NUM_THREADS = 2
"""Blocks that are measured at the same time, at most."""


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
        return Measurements(
            physics={name: values[indices] for name, values in self.physics.items()},
            profiles={name: values[indices] for name, values in self.profiles.items()},
            features=self.features[indices],
            estimates={name: values[indices] for name, values in self.estimates.items()},
            logits=self.logits[indices],
        )

    def joined(self, other: "Measurements") -> "Measurements":
        """Return these images followed by those of another set."""
        return Measurements(
            physics=_joined(self.physics, other.physics),
            profiles=_joined(self.profiles, other.profiles),
            features=np.concatenate([self.features, other.features]),
            estimates=_joined(self.estimates, other.estimates),
            logits=np.concatenate([self.logits, other.logits]),
        )


def features_alone(features: NDArray[np.float64]) -> Measurements:
    """Return measurements that consist of features ``(N, F)`` and nothing else."""
    nothing = np.empty((len(features), 0))
    return Measurements(physics={}, profiles={}, features=features, estimates={}, logits=nothing)


def _joined(
    one: Mapping[str, NDArray[np.float64]], two: Mapping[str, NDArray[np.float64]]
) -> dict[str, NDArray[np.float64]]:
    return {name: np.concatenate([values, two[name]]) for name, values in one.items()}


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


def measure_set(source: PreparedSource, encoder: Encoder, team: Team | None = None) -> Measurements:
    """Measure every image of a set, or find it in the cache.

    Args:
        source: The set.
        encoder: The encoder.
        team: Who shares the work; None for this process alone.
    """
    key = key_of(
        source.digest,
        repr(source.pixel_scale_arcsec),
        encoder.digest,
        repr(encoder.levels),
        modules=(physics, images_module, sky, morphology, profiles, einstein),
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
    tasks = (delayed(_measure_block)(block, source, encoder) for block in source.blocks(share))
    num = min(NUM_THREADS, torch.get_num_threads())
    workers = Parallel(n_jobs=num, prefer="threads", pre_dispatch=num, return_as="generator")
    parts: list[Arrays] = list(workers(tasks))
    return joined(parts)


def _encode(source: PreparedSource, encoder: Encoder, share: range) -> Arrays:
    levels = encoder.levels
    scaled = (source.preparation.on_peak_scale(block, levels) for block in source.blocks(share))
    return {"features": np.concatenate([encoder(block)[0] for block in scaled])}


def _measure_block(images: NDArray[np.float32], source: PreparedSource, encoder: Encoder) -> Arrays:
    scale = source.pixel_scale_arcsec
    scaled = source.preparation.on_peak_scale(images, encoder.levels)
    features, targets, logits = encoder(scaled)
    arrays: Arrays = {"features": features, "targets": targets, "logits": logits}
    for name, values in physics.measure(images, scale).items():
        arrays[f"physics/{name}"] = values
    arrays["profiles/radial_profile"] = profiles.radial_profile(images, scale).values
    arrays["profiles/power_spectrum"] = profiles.power_spectrum(images, scale).values
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
