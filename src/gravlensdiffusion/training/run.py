"""A run directory: its configuration, its data, its checkpoints."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from gravlensdiffusion.build import Model, build_model
from gravlensdiffusion.checkpoint import (
    CONFIG,
    EMA_WEIGHTS,
    WEIGHTS,
    Checkpoint,
    checkpoints,
    load_weights,
    read_tensors,
    write_folder,
)
from gravlensdiffusion.codec import from_json, to_json
from gravlensdiffusion.config.model import ModelConfig, ParameterConfig
from gravlensdiffusion.config.training import TrainingConfig
from gravlensdiffusion.data.dataset import ImageSource, PreparedSet, prepare
from gravlensdiffusion.data.transform import fit_transform
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.resize import default_method
from gravlensdiffusion.training.split import NoiseFreeTwins, observation_of
from gravlensdiffusion.training.tracking import environment, write_atomically

TRAINING_STATE = "training_state.pt"
PRIOR_SIZE = 8192
"""Training images whose class and parameters go with the weights."""
LOGARITHMIC = frozenset({"signal_to_noise"})
"""Parameters that the network sees in their logarithm."""


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """The folder of a run.

    Attributes:
        folder: Where it lies.
        config: What was asked for.
    """

    folder: Path
    config: TrainingConfig

    @classmethod
    def open(cls, folder: Path, config: TrainingConfig) -> "RunDirectory":
        """Create a run directory, or reopen one that holds the same configuration.

        A run that has no checkpoint yet has nothing to lose, and takes any configuration.

        Raises:
            GravLensError: If the folder holds something else, or a run with other settings.
        """
        path = folder / CONFIG
        if path.is_file():
            old = from_json(TrainingConfig, path.read_bytes(), source=str(path))
            difference = first_difference(asdict(old), asdict(config))
            if difference is not None and checkpoints(folder):
                raise GravLensError(
                    f"{folder} holds a run with another {difference}; choose another --out"
                )
            write_atomically(path, to_json(config))
        elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise GravLensError(f"{folder} exists and is not a run directory; choose another --out")
        else:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, to_json(config))
        return cls(folder, config)

    def prepare_data(self, source: ImageSource, device: str) -> PreparedSet:
        """Resize the training set, or find it as it was when the run began.

        Raises:
            GravLensError: If the run began with other data.
        """
        size = source.image_shape[1] if self.config.size is None else self.config.size
        method = self.config.resize or default_method(size)
        if self.config.noise == "split":
            if size != source.image_shape[1]:
                raise GravLensError(
                    f"noise 'split' trains at the size of its set, {source.image_shape[1]} pixels, "
                    f"not at {size}; make the set with `gravlens simulate --size {size}`"
                )
            source = NoiseFreeTwins(source)
        data = prepare(
            source, self.folder / "prepared", size, method, parameters=self.config.parameters
        )
        path = self.folder / "environment.json"
        if path.is_file() and self.last_checkpoint() is not None:
            before = json.loads(path.read_text(encoding="utf-8"))["data_fingerprint"]
            if before != data.fingerprint:
                raise GravLensError(
                    f"{self.folder} was trained on other data than those given now; "
                    "give the same --data, or choose another --out"
                )
        else:
            text = json.dumps(environment(data.fingerprint, device), indent=2)
            write_atomically(path, text)
        return data

    def fresh_model(self, source: ImageSource, data: PreparedSet) -> Model:
        """Fit the transform to the data and build a model with fresh weights."""
        transform = fit_transform(
            self.config.model.transform, data.batches(), data.images.shape[1:]
        )
        config = complete(self.config, source, data, transform.config)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            return build_model(config, transform, prior_table(data, config.prior_size))

    def save(
        self,
        images_seen: int,
        model: Model,
        ema: Mapping[str, Tensor] | None,
        state: dict[str, Any],
    ) -> None:
        """Write a checkpoint and drop the oldest ones."""
        folder = self.folder / "checkpoints" / f"{images_seen:010d}"
        if folder.exists():
            return
        files: dict[str, bytes | Mapping[str, Tensor]] = {
            WEIGHTS: model.state_dict(),
            CONFIG: to_json(model.config).encode(),
        }
        if ema is not None:
            files[EMA_WEIGHTS] = ema
        write_folder(folder, files, {TRAINING_STATE: state})
        for old in checkpoints(self.folder)[: -self.config.keep_checkpoints]:
            shutil.rmtree(old.folder)

    def load(self, checkpoint: Checkpoint) -> tuple[Model, dict[str, Tensor], dict[str, Any]]:
        """Read a checkpoint: model, moving average (empty for none), training state."""
        path = checkpoint.folder / CONFIG
        model = build_model(from_json(ModelConfig, path.read_bytes(), source=str(path)))
        weights = checkpoint.folder / WEIGHTS
        load_weights(model, read_tensors(weights), source=weights)
        ema = checkpoint.folder / EMA_WEIGHTS
        average = read_tensors(ema) if ema.is_file() else {}
        state = torch.load(checkpoint.folder / TRAINING_STATE, weights_only=True)
        return model, average, state

    def last_checkpoint(self) -> Checkpoint | None:
        """Return the newest complete checkpoint, or None."""
        found = checkpoints(self.folder)
        return found[-1] if found else None


def complete(
    config: TrainingConfig, source: ImageSource, data: PreparedSet, transform: Any
) -> ModelConfig:
    """Fill in what the model's configuration takes from the data."""
    channels, size = data.images.shape[1], data.images.shape[-1]
    header, scale = source.header, source.header.pixel_scale_arcsec
    resized = size != source.image_shape[1]
    names = header.class_names if config.conditional else ()
    kind = f"preset {header.preset}, seed {header.seed}" if header.preset else "images given"
    return replace(
        config.model,
        image_size=size,
        num_channels=channels,
        class_names=names,
        parameters=learned_parameters(config.parameters, source, data),
        prior_size=min(len(data), PRIOR_SIZE) if config.parameters else 0,
        pixel_scale_arcsec=None if scale is None else scale * source.image_shape[1] / size,
        flux_unit="peak" if transform.kind == "peak" else header.flux_unit,
        resize=(config.resize or default_method(size)) if resized else header.resize,
        training_data=f"{len(data):,} images, {kind}",
        observation=observation_of(source) if config.noise == "split" else None,
        transform=transform,
    )


def learned_parameters(
    names: Sequence[str], source: ImageSource, data: PreparedSet
) -> tuple[ParameterConfig, ...]:
    """Return the parameters with the ranges that they have in the training set.

    Raises:
        GravLensError: If a parameter is the same in all images.
    """
    found = []
    for name, values in zip(names, data.parameters.T, strict=True):
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        if not low < high:
            raise GravLensError(f"parameter '{name}' is {low:g} in all training images")
        scale: Literal["linear", "log"] = "log" if name in LOGARITHMIC else "linear"
        unit = source.header.parameter_units.get(name, "")
        found.append(ParameterConfig(name=name, unit=unit, low=low, high=high, scale=scale))
    return tuple(found)


def prior_table(data: PreparedSet, num: int) -> Tensor | None:
    """Return class and parameters of the first images, shape ``(num, 1 + P)``; None for none."""
    if not num:
        return None
    rows = np.column_stack([data.labels[:num], data.parameters[:num]])
    return torch.from_numpy(rows.astype(np.float32))


def first_difference(old: Any, new: Any, name: str = "configuration") -> str | None:
    """Describe the first value in which two nested mappings differ, or return None."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            found = first_difference(old.get(key), new.get(key), key)
            if found is not None:
                return found
        return None
    return None if old == new else f"{name} ({old} there, {new} here)"
