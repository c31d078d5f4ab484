"""Models on disk: safetensors and JSON, written whole or not at all, never a pickle."""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from gravlensdiffusion.codec import read_json, to_json
from gravlensdiffusion.config.classifier import ClassifierConfig, EncoderConfig
from gravlensdiffusion.config.model import ModelConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.files import temporary_name, whole_folder
from gravlensdiffusion.model.build import Model, build_model, least_size
from gravlensdiffusion.nn.classifier import LensClassifier
from gravlensdiffusion.nn.encoder import LensEncoder
from gravlensdiffusion.nn.reference import load_reference_state
from gravlensdiffusion.presets.training import reference

MODELS_FOLDER = Path(__file__).parents[1] / "models"
"""The bundled models, one folder each."""

ENCODERS_FOLDER = MODELS_FOLDER / "encoders"
"""The bundled lens encoders, one folder each."""

WEIGHTS = "model.safetensors"
EMA_WEIGHTS = "ema.safetensors"
CONFIG = "config.json"
BEST = "best.json"
"""File of a run that names its checkpoint with the lowest held-out loss."""
FEW_STEPS = "few_steps"
"""Folder within that of a model, which holds its distilled weights."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One complete checkpoint of a run.

    Attributes:
        folder: Where it lies.
        images_seen: Training images seen when it was written.
    """

    folder: Path
    images_seen: int


def bundled_models() -> tuple[str, ...]:
    """Return the names of the models that come with the package."""
    if not MODELS_FOLDER.is_dir():
        return ()
    return tuple(sorted(path.parent.name for path in MODELS_FOLDER.glob(f"*/{CONFIG}")))


def write_folder(
    folder: Path,
    files: Mapping[str, bytes | Mapping[str, Tensor]],
    states: Mapping[str, Any] | None = None,
) -> None:
    """Write files into a temporary folder, down to the disk, and rename it to ``folder``.

    Args:
        folder: Final place; must not exist.
        files: By name: bytes as they are, tensors as safetensors.
        states: By name: nested tensors and numbers, which ``torch.load(weights_only=True)`` reads.

    Raises:
        GravLensError: If it cannot be written.
    """
    with whole_folder(folder, lambda: None) as temporary:
        for name, content in files.items():
            data = content if isinstance(content, bytes) else _to_safetensors(content)
            _write_bytes(temporary / name, data)
        for name, state in (states or {}).items():
            # By way of memory: what is left of an error of the disk in torch.save says nothing.
            stream = BytesIO()
            torch.save(state, stream)
            _write_bytes(temporary / name, stream.getbuffer())


def remove_folder(folder: Path) -> None:
    """Remove what `write_folder` has written; killed on the way, it leaves no part under the name."""
    doomed = temporary_name(folder)
    folder.rename(doomed)
    shutil.rmtree(doomed)


def save_model(folder: Path, model: Model, *, half: bool = False) -> None:
    """Write a model for inference: ``model.safetensors`` and ``config.json``.

    Args:
        folder: Final place; must not exist.
        model: The model.
        half: Whether to store the weights in half precision; buffers stay in single precision.
    """
    state = halved(model) if half else model.state_dict()
    write_folder(folder, {WEIGHTS: state, CONFIG: to_json(model.config).encode()})


def halved(module: nn.Module) -> dict[str, Tensor]:
    """Return a state with the weights in half precision; buffers stay as they are."""
    weights = {name for name, _ in module.named_parameters()}
    state = module.state_dict()
    return {name: t.half() if name in weights else t for name, t in state.items()}


def checkpoints(run: Path) -> list[Checkpoint]:
    """Return the complete checkpoints of a run, oldest first."""
    folders = [path for path in (run / "checkpoints").glob("*") if path.name.isdigit()]
    found = [Checkpoint(folder, int(folder.name)) for folder in folders]
    return sorted(found, key=lambda checkpoint: checkpoint.images_seen)


def best_checkpoint(run: Path) -> Checkpoint | None:
    """Return the checkpoint of a run with the lowest held-out loss, or None for no such record.

    Raises:
        GravLensError: If the record is damaged, or names a checkpoint that is not there.
    """
    path = run / BEST
    if not path.is_file():
        return None
    try:
        images_seen = int(json.loads(path.read_bytes())["images_seen"])
    except (ValueError, KeyError, TypeError):
        raise GravLensError(f"{path}: not a record of the best checkpoint") from None
    for found in checkpoints(run):
        if found.images_seen == images_seen:
            return found
    raise GravLensError(f"{path}: names checkpoint {images_seen}, which is not there")


def load_model(name_or_path: str | Path, device: torch.device | str = "cpu") -> Model:
    """Read a model for inference.

    Args:
        name_or_path: A bundled model's name, a run directory (its checkpoint with the lowest
            held-out loss, where that was measured, or its last one), a checkpoint folder, or
            ``model_checkpoint.pth`` of the reference project. Where a checkpoint has
            moving-average weights, those are used.
        device: Where to put it.

    Raises:
        GravLensError: If there is no such model or its files are damaged.
    """
    path = find_model(name_or_path)
    if path.is_file():
        return _load_reference(path, device)
    config = read_json(ModelConfig, path / CONFIG)
    weights = path / EMA_WEIGHTS if (path / EMA_WEIGHTS).is_file() else path / WEIGHTS
    # A configuration can ask for far more memory than its weights take.
    num = sum(math.prod(shape) for shape in read_shapes(weights).values())
    if num < least_size(config):
        raise GravLensError(
            f"{weights}: holds {num} numbers, too few for a model of {path / CONFIG}"
        )
    model = build_model(config)
    load_weights(model, read_tensors(weights), source=weights)
    return model.to(device).eval()


def load_few_steps(name_or_path: str | Path, device: torch.device | str = "cpu") -> Model | None:
    """Read the distilled model that lies beside a model.

    Args:
        name_or_path: See `load_model`.
        device: Where to put it.

    Returns:
        None where there is none.

    Raises:
        GravLensError: If there is no such model, or its files are damaged.
    """
    folder = find_model(name_or_path) / FEW_STEPS
    return load_model(folder, device) if (folder / CONFIG).is_file() else None


def find_model(name_or_path: str | Path) -> Path:
    """Return the folder that holds a model's configuration and weights, or the reference's file.

    Raises:
        GravLensError: If there is no such model.
    """
    path = Path(name_or_path)
    if str(name_or_path) in bundled_models():
        return MODELS_FOLDER / str(name_or_path)
    if not path.exists():
        known = ", ".join(bundled_models()) or "none"
        raise GravLensError(f"no model '{name_or_path}': not a path, and bundled are: {known}")
    if path.is_file() or ((path / CONFIG).is_file() and not (path / "checkpoints").is_dir()):
        return path
    found = checkpoints(path)
    if not found:
        raise GravLensError(f"{path}: no {CONFIG} and no checkpoint in this folder")
    return (best_checkpoint(path) or found[-1]).folder


def save_encoder(folder: Path, encoder: LensEncoder) -> None:
    """Write a lens encoder, its weights in half precision.

    Args:
        folder: Final place; must not exist.
        encoder: The encoder.
    """
    write_folder(folder, {WEIGHTS: halved(encoder), CONFIG: to_json(encoder.config).encode()})


def load_encoder(folder: Path) -> LensEncoder:
    """Read a lens encoder.

    Raises:
        GravLensError: If its files are missing or damaged.
    """
    config = read_json(EncoderConfig, folder / CONFIG)
    encoder = LensEncoder(config)
    weights = folder / WEIGHTS
    load_weights(encoder, read_tensors(weights), source=weights)
    encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return encoder.eval()


def save_classifier(
    folder: Path, classifier: LensClassifier, files: Mapping[str, bytes] | None = None
) -> None:
    """Write a classifier.

    Args:
        folder: Final place; must not exist.
        classifier: The classifier.
        files: What else belongs into the folder, by name.
    """
    config = to_json(classifier.config).encode()
    write_folder(folder, {**(files or {}), WEIGHTS: classifier.state_dict(), CONFIG: config})


def load_classifier(folder: Path) -> LensClassifier:
    """Read a classifier.

    Raises:
        GravLensError: If its files are missing or damaged.
    """
    path = folder / CONFIG
    try:
        config = read_json(ClassifierConfig, path)
    except GravLensError as error:
        raise GravLensError(f"{error}; is this the folder of a classifier?") from None
    classifier = LensClassifier(config)
    load_weights(classifier, read_tensors(folder / WEIGHTS), source=folder / WEIGHTS)
    classifier.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return classifier.eval()


def bundled_encoders() -> dict[int, Path]:
    """Return the folders of the lens encoders that come with the package, by image size."""
    folders = (path.parent for path in sorted(ENCODERS_FOLDER.glob(f"*/{CONFIG}")))
    found = {int(folder.name.removeprefix("encoder")): folder for folder in folders}
    return dict(sorted(found.items()))


def load_weights(model: nn.Module, state: Mapping[str, Tensor], source: Path) -> None:
    """Copy weights into a model, names and shapes checked.

    Raises:
        GravLensError: If a tensor is missing, unknown, or has another shape.
    """
    own = model.state_dict()
    for name in sorted(own.keys() | state.keys()):
        if name not in state:
            raise GravLensError(f"{source}: tensor '{name}' is missing")
        if name not in own:
            raise GravLensError(f"{source}: tensor '{name}' is not part of this model")
        if own[name].shape != state[name].shape:
            shapes = f"{tuple(state[name].shape)}, expected {tuple(own[name].shape)}"
            raise GravLensError(f"{source}: tensor '{name}' has shape {shapes}")
    try:
        model.load_state_dict(dict(state))
    except RuntimeError as error:  # numbers of a type that weights do not have
        reason = str(error).strip().splitlines()[-1].strip()
        raise GravLensError(f"{source}: not the weights of this model: {reason:.100}") from None


def fingerprint(model: Model) -> str:
    """Return a digest of a model's weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        GravLensError: If it cannot be read.
    """
    with _readable(path):
        tensors: dict[str, Tensor] = load_file(path)
    return tensors


def _to_safetensors(tensors: Mapping[str, Tensor]) -> bytes:
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    data: bytes = save(plain)
    return data


def _write_bytes(path: Path, content: bytes | memoryview) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors in a safetensors file, by name.

    Raises:
        GravLensError: If it cannot be read.
    """
    with _readable(path), safe_open(path, "pt") as tensors:
        return {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what a damaged file of weights raises into one line."""
    try:
        # A pipe or a device may never end.
        if path.exists() and not path.is_file():
            raise GravLensError(f"{path}: is no regular file")
        yield
    except GravLensError:
        raise
    # A damaged header fails in the library in many ways.
    except Exception as error:  # noqa: BLE001
        reason = str(error).partition("\n")[0]
        raise GravLensError(f"{path}: not a readable weights file: {reason:.200}") from None


def _load_reference(path: Path, device: torch.device | str) -> Model:
    state = load_reference_state(path)
    model = build_model(reference().model)
    model.network.load_state_dict(state)
    return model.to(device).eval()
