"""Models on disk: safetensors and JSON, written whole or not at all, never a pickle."""

import hashlib
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from gravlensdiffusion.codec import read_json, to_json
from gravlensdiffusion.config.classifier import ClassifierConfig, EncoderConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.files import check_regular, temporary_name, whole_folder
from gravlensdiffusion.interop.pipeline import is_pipeline, own_name, weights_of
from gravlensdiffusion.model.build import Model, build_model, least_size
from gravlensdiffusion.model.folders import CONFIG, EMA_WEIGHTS, WEIGHTS, find_model, read_config
from gravlensdiffusion.nn.classifier import ClassifierNetwork, LensEncoder
from gravlensdiffusion.presets.training import training_preset
from gravlensdiffusion.untrusted.state_file import read_weights

Network = TypeVar("Network", bound=nn.Module)
Config = TypeVar("Config")
Shapes = dict[str, tuple[int, ...]]
"""Shapes of tensors by name."""


def write_folder(
    folder: Path,
    files: Mapping[str, bytes | Mapping[str, Tensor]],
    states: Mapping[str, Any] | None = None,
) -> None:
    """Write files into a temporary folder, down to the disk, and rename it to ``folder``.

    Args:
        folder: Final place; must not exist.
        files: By name, also that of a file in a folder: bytes as they are, tensors as safetensors.
        states: By name: nested tensors and numbers, which ``torch.load(weights_only=True)`` reads.

    Raises:
        GravLensError: If it holds something already, or cannot be written.
    """

    def refuse_filled() -> None:
        if folder.is_dir() and any(folder.iterdir()):
            raise GravLensError(f"{folder}: exists and is not empty; what is in it is kept")

    with whole_folder(folder, refuse_filled) as temporary:
        for name, content in files.items():
            data = content if isinstance(content, bytes) else _to_safetensors(content)
            (temporary / name).parent.mkdir(exist_ok=True)
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


def save_model(
    folder: Path,
    model: Model | LensEncoder | ClassifierNetwork,
    *,
    half: bool = False,
    files: Mapping[str, bytes | Mapping[str, Tensor]] | None = None,
) -> None:
    """Write a model, an encoder or a classifier, and other files by name, into a new folder.

    These are ``model.safetensors``, of `half` precision but for buffers, and ``config.json``.
    """
    write_folder(folder, {**(files or {}), **model_files(model, half=half)})


def model_files(
    model: Model | LensEncoder | ClassifierNetwork, *, half: bool = False
) -> dict[str, bytes | Mapping[str, Tensor]]:
    """Return the files of a model as `write_folder` takes them; see `save_model`."""
    weights = {name for name, _ in model.named_parameters() if half}
    state = {k: v.half() if k in weights else v for k, v in model.state_dict().items()}
    return {WEIGHTS: state, CONFIG: to_json(model.config).encode()}


def load_model(name_or_path: str | Path, device: torch.device | str = "cpu") -> Model:
    """Read a model for inference.

    Args:
        name_or_path: A bundled model's name, a run directory (its checkpoint with the lowest
            held-out loss, where that was measured, or its last one), a checkpoint folder, a
            pipeline of diffusers, ``owner/name`` on the hub, or ``model_checkpoint.pth`` of the
            reference project. Where a checkpoint has
            moving-average weights, those are used.
        device: Where to put it.

    Raises:
        GravLensError: If there is no such model or its files are damaged.
    """
    path = find_model(name_or_path)
    if path.is_file():
        return _load_reference(path, device)
    config = read_config(path)
    if is_pipeline(path):
        weights = weights_of(path)
    else:
        weights = path / EMA_WEIGHTS if (path / EMA_WEIGHTS).is_file() else path / WEIGHTS
    # A configuration can ask for far more memory than its weights take.
    num = sum(math.prod(shape) for shape in _read_shapes(weights).values())
    if num < least_size(config):
        raise GravLensError(f"{weights}: holds {num} numbers, too few for a model of {path}")
    model, state = build_model(config), read_tensors(weights)
    if is_pipeline(path):
        state = {own_name(name): tensor for name, tensor in state.items()}
        state["transform.mean"] = model.transform.mean
    load_weights(model, state, source=weights)
    return model.to(device).eval()


def load_encoder(folder: Path) -> LensEncoder:
    """Read a lens encoder.

    Raises:
        GravLensError: If its files are missing or damaged.
    """
    return _read_network(LensEncoder, read_json(EncoderConfig, folder / CONFIG), folder / WEIGHTS)


def load_classifier(folder: Path) -> ClassifierNetwork:
    """Read a classifier.

    Raises:
        GravLensError: If its files are missing or damaged.
    """
    try:
        config = read_json(ClassifierConfig, folder / CONFIG)
    except GravLensError as error:
        raise GravLensError(f"{error}; is this the folder of a classifier?") from None
    return _read_network(ClassifierNetwork, config, folder / WEIGHTS)


def _read_network(build: Callable[[Config], Network], config: Config, path: Path) -> Network:
    """Return a network with the weights of a file, ready to be used."""
    # A configuration can ask for far more memory than its weights take, and takes none here.
    with torch.device("meta"):
        expected = _shapes(build(config).state_dict())
    _check_shapes(expected, _read_shapes(path), path)
    network = build(config)
    load_weights(network, read_tensors(path), source=path)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval()


def load_weights(model: nn.Module, state: Mapping[str, Tensor], source: Path) -> None:
    """Copy weights into a model, names and shapes checked.

    Raises:
        GravLensError: If a tensor is missing, unknown, or has another shape.
    """
    _check_shapes(_shapes(model.state_dict()), _shapes(state), source)
    try:
        model.load_state_dict(dict(state))
    except RuntimeError as error:  # numbers of a type that weights do not have
        reason = str(error).strip().splitlines()[-1].strip()
        raise GravLensError(f"{source}: not the weights of this model: {reason:.100}") from None


def _check_shapes(expected: Shapes, found: Shapes, source: Path) -> None:
    """Refuse tensors, by their names and shapes, that are not those of a network."""
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            raise GravLensError(f"{source}: tensor '{name}' is missing")
        if name not in expected:
            raise GravLensError(f"{source}: tensor '{name}' is not part of this model")
        if expected[name] != found[name]:
            shapes = f"{found[name]}, expected {expected[name]}"
            raise GravLensError(f"{source}: tensor '{name}' has shape {shapes}")


def _shapes(state: Mapping[str, Tensor]) -> Shapes:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


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


def _read_shapes(path: Path) -> Shapes:
    """Return the shapes of the tensors in a safetensors file, by name."""
    with _readable(path), safe_open(path, "pt") as tensors:
        return {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what a damaged file of weights raises into one line."""
    try:
        check_regular(path)
        yield
    except GravLensError:
        raise
    # A damaged header fails in the library in many ways.
    except Exception as error:  # noqa: BLE001
        reason = str(error).partition("\n")[0]
        raise GravLensError(f"{path}: not a readable weights file: {reason:.200}") from None


def _load_reference(path: Path, device: torch.device | str) -> Model:
    """Read ``model_checkpoint.pth`` of the reference project; no code in it is ever run."""
    model = build_model(training_preset("reference").model)
    state = read_weights(path, model.network.state_dict(), "the reference project")
    load_weights(model.network, state, source=path)
    return model.to(device).eval()
