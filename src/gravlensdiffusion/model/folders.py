"""Where models lie: bundled ones, runs and their checkpoints, and what is in the folder of one."""

from pathlib import Path
from typing import Any, NamedTuple

from gravlensdiffusion.codec import read_json, read_record
from gravlensdiffusion.config.model import ModelConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.interop.hub import fetch, is_hub_name
from gravlensdiffusion.interop.pipeline import is_pipeline, read_pipeline

MODELS_FOLDER = Path(__file__).parents[1] / "models"
"""The bundled models, one folder each."""

WEIGHTS = "model.safetensors"
EMA_WEIGHTS = "ema.safetensors"
CONFIG = "config.json"
BEST = "best.json"
"""File of a run that names its checkpoint with the lowest held-out loss."""
ENVIRONMENT = "environment.json"
"""File that a run has from its start on, and no other folder."""
CARD = "README.md"
FEW_STEPS = "few_steps"
"""Folder within that of a model, which holds its distilled weights."""


class _Checkpoint(NamedTuple):
    """A complete checkpoint of a run, and the training images seen when it was written."""

    folder: Path
    images_seen: int


def bundled_models() -> tuple[str, ...]:
    """Return the names of the models that come with the package."""
    return tuple(sorted(path.parent.name for path in MODELS_FOLDER.glob(f"*/{CONFIG}")))


def bundled_encoders() -> dict[int, Path]:
    """Return the folders of the lens encoders that come with the package, by image size."""
    folders = (path.parent for path in MODELS_FOLDER.glob(f"encoders/*/{CONFIG}"))
    found = {int(folder.name.removeprefix("encoder")): folder for folder in folders}
    return dict(sorted(found.items()))


def checkpoints(run: Path) -> list[_Checkpoint]:
    """Return the complete checkpoints of a run, oldest first."""
    folders = [path for path in (run / "checkpoints").glob("*") if path.name.isdigit()]
    found = [_Checkpoint(folder, int(folder.name)) for folder in folders]
    return sorted(found, key=lambda checkpoint: checkpoint.images_seen)


def _best_checkpoint(run: Path) -> _Checkpoint | None:
    """Return the checkpoint of a run with the lowest held-out loss, or None for no such record."""
    path = run / BEST
    if not path.is_file():
        return None
    images_seen = read_record(path).get("images_seen")
    for found in checkpoints(run):
        if found.images_seen == images_seen:
            return found
    raise GravLensError(f"{path}: names checkpoint {images_seen!s:.50}, which is not there")


def is_model(name_or_path: str | Path) -> bool:
    """Whether this is a model: the folder of a run, of a checkpoint or of a pipeline of diffusers.

    A text is one too where it is the name of a bundled model and no path.
    """
    path = Path(name_or_path)
    if not path.exists():
        return isinstance(name_or_path, str) and name_or_path in bundled_models()
    has_weights = (path / WEIGHTS).is_file() or (path / EMA_WEIGHTS).is_file()
    return is_pipeline(path) or (
        (path / CONFIG).is_file() and (has_weights or bool(checkpoints(path)))
    )


def read_config(folder: Path) -> ModelConfig:
    """Return the configuration of the model in a folder, ours or a pipeline of diffusers.

    Raises:
        GravLensError: If it cannot be read.
    """
    return read_pipeline(folder) if is_pipeline(folder) else read_json(ModelConfig, folder / CONFIG)


def find_model(name_or_path: str | Path, **hub: Any) -> Path:
    """Return the folder that holds a model's configuration and weights, or the reference's file.

    A pipeline of diffusers is such a folder too.

    Args:
        name_or_path: A text is a bundled model where one has that name, a model on the hub where it
            is like ``owner/name`` and there is no such path; a Path is always a path.
        hub: How a model on the hub is found; see `hub.fetch`.

    Raises:
        GravLensError: If there is no such model.
    """
    path = Path(name_or_path)
    if isinstance(name_or_path, str) and name_or_path in bundled_models():
        return MODELS_FOLDER / name_or_path
    if not path.exists():
        if isinstance(name_or_path, str) and is_hub_name(name_or_path):
            return fetch(name_or_path, read_config, **hub)
        known = ", ".join(bundled_models()) or "none"
        raise GravLensError(f"no model '{name_or_path}': not a path, and bundled are: {known}")
    if path.is_file():
        from gravlensdiffusion.formats.companions import is_of_images

        if is_of_images(path):
            raise GravLensError(f"{path}: is a file of images, where a model is expected")
        return path
    is_run = (path / "checkpoints").is_dir() or (path / ENVIRONMENT).is_file()
    if is_pipeline(path) or ((path / CONFIG).is_file() and not is_run):
        return path
    found = checkpoints(path)
    if is_run and not found:
        raise GravLensError(f"{path}: a run without a checkpoint")
    if not found:
        raise GravLensError(f"{path}: no {CONFIG} and no checkpoint in this folder")
    return (_best_checkpoint(path) or found[-1]).folder
