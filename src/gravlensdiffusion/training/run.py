"""A run directory: its configuration and its checkpoints."""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from torch import Tensor

from gravlensdiffusion.codec import read_json, read_record, to_json
from gravlensdiffusion.config.model import ModelConfig
from gravlensdiffusion.config.training import DistillationConfig, TrainingConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.files import LOCK, held, write_atomically
from gravlensdiffusion.model.build import Model, build_model
from gravlensdiffusion.model.checkpoint import (
    load_weights,
    read_tensors,
    remove_folder,
    write_folder,
)
from gravlensdiffusion.model.folders import (
    BEST,
    CONFIG,
    EMA_WEIGHTS,
    WEIGHTS,
    Checkpoint,
    checkpoints,
)
from gravlensdiffusion.training.tracking import environment
from gravlensdiffusion.training.validation import Standing
from gravlensdiffusion.untrusted.state_file import read_state

TRAINING_STATE = "training_state.pt"

LEFTOVERS = tuple(
    f"{folder}.*.{suffix}"
    for folder in ("", "checkpoints/", "prepared/", "samples/")
    for suffix in ("partial", "partial.*", "tmp")
)
"""What a process that was killed while it wrote has left in a run directory, of earlier versions too."""

ConfigT = TypeVar("ConfigT", TrainingConfig, DistillationConfig)

NO_IDENTITY = frozenset(
    {
        *("epochs", "total_images", "early_stopping.every_images", "early_stopping.patience"),
        *("precision", "compile", "prefetch"),
        *("log_images", "checkpoint_images", "sample_images", "keep_checkpoints"),
    }
)
"""Length, machine, and what is kept: a run goes on with others than it began with."""


@dataclass(frozen=True, slots=True)
class RunFolder(Generic[ConfigT]):
    """The folder of a run, of whatever kind.

    Attributes:
        folder: Where it lies.
        config: What was asked for.
    """

    folder: Path
    config: ConfigT

    @classmethod
    def open(cls, folder: Path, config: ConfigT, *, writes: bool = True) -> Self:
        """Create a run directory, or reopen one that holds the same configuration.

        A run that has no checkpoint yet has nothing to lose, and takes any configuration. One that
        has some takes another length, and other settings of the machine; see `NO_IDENTITY`.

        Args:
            folder: The run directory.
            config: What is asked for.
            writes: Whether it is written down, in a folder that is made where there is none.

        Raises:
            GravLensError: If the folder holds something else, or a run with other settings.
        """
        path = folder / CONFIG
        if path.is_file():
            old = read_json(type(config), path)
            difference = first_difference(asdict(old), asdict(config))
            if difference is not None and checkpoints(folder):
                raise GravLensError(
                    f"{folder} holds a run with another {difference}; choose another `out`"
                )
        else:
            refuse_others(folder)
        if writes:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, to_json(config))
        return cls(folder, config)

    def record_environment(
        self, fingerprint: str, device: str, parameters: str = "", *, writes: bool = True
    ) -> None:
        """Write ``environment.json``, or find what the run began with unchanged.

        Args:
            fingerprint: Digest of what is learned from.
            device: Where it is learned.
            parameters: Digest of the physical parameters that are learned; empty for none.
            writes: Whether it is written where there is none.

        Raises:
            GravLensError: If the run began with something else, or its record is damaged.
        """
        path = self.folder / "environment.json"
        if not path.is_file() or self.last_checkpoint() is None:
            if not writes:
                return
            facts = environment(fingerprint, device)
            if parameters:
                facts["parameters_fingerprint"] = parameters
            write_atomically(path, json.dumps(facts, indent=2))
            return
        old = read_record(path)
        # A run of an earlier version does not know its parameters.
        known = old.get("parameters_fingerprint", parameters)
        if (old.get("data_fingerprint"), known) != (fingerprint, parameters):
            raise GravLensError(
                f"{self.folder} was trained on other data than those given now; "
                "give the same `data`, or choose another `out`"
            )

    def save(
        self,
        images_seen: int,
        model: Model,
        ema: Mapping[str, Tensor] | None,
        state: dict[str, Any],
        standing: Standing | None = None,
    ) -> None:
        """Write a checkpoint and drop the oldest ones, but for that with the lowest held-out loss.

        A run that is killed on the way has its old record with the old checkpoint, or the new one
        with the new.
        """
        folder = self.folder / "checkpoints" / f"{images_seen:010d}"
        if not folder.exists():
            self._write(folder, model, ema, state)
        if standing is not None:
            self.record_best(standing)
        best_images = 0 if standing is None else standing.best_images
        for old in checkpoints(self.folder)[: -self.config.keep_checkpoints]:
            if old.images_seen != best_images:
                remove_folder(old.folder)

    def _write(
        self,
        folder: Path,
        model: Model,
        ema: Mapping[str, Tensor] | None,
        state: dict[str, Any],
    ) -> None:
        files: dict[str, bytes | Mapping[str, Tensor]] = {
            WEIGHTS: model.state_dict(),
            CONFIG: to_json(model.config).encode(),
        }
        if ema is not None:
            files[EMA_WEIGHTS] = ema
        write_folder(folder, files, {TRAINING_STATE: state})

    def record_best(self, standing: Standing) -> None:
        """Write down which checkpoint has the lowest held-out loss, if one was measured."""
        if standing.best_images:
            record = {"images_seen": standing.best_images, "held_out_loss": standing.best}
            write_atomically(self.folder / BEST, json.dumps(record))

    def load(self, checkpoint: Checkpoint) -> tuple[Model, dict[str, Tensor], dict[str, Any]]:
        """Read a checkpoint: model, moving average (empty for none), training state.

        Raises:
            GravLensError: If it is damaged, which a kill or a full disk does not do.
        """
        try:
            return self._load(checkpoint)
        except (GravLensError, OSError) as error:
            raise GravLensError(
                f"{error}; remove {checkpoint.folder} to go on from the checkpoint before"
            ) from error

    def _load(self, checkpoint: Checkpoint) -> tuple[Model, dict[str, Tensor], dict[str, Any]]:
        path = checkpoint.folder / CONFIG
        model = build_model(read_json(ModelConfig, path))
        weights = checkpoint.folder / WEIGHTS
        load_weights(model, read_tensors(weights), source=weights)
        ema = checkpoint.folder / EMA_WEIGHTS
        average = read_tensors(ema) if ema.is_file() else {}
        state = read_state(checkpoint.folder / TRAINING_STATE, "training state")
        return model, average, state

    def last_checkpoint(self) -> Checkpoint | None:
        """Return the newest complete checkpoint, or None."""
        found = checkpoints(self.folder)
        return found[-1] if found else None


@contextmanager
def held_run(folder: Path, *, writes: bool = True) -> Iterator[None]:
    """Hold a run directory for this process, and clear away what killed ones left half-written.

    Args:
        folder: The run directory; made where there is none.
        writes: Whether it is to be written to; else it is left as it is.

    Raises:
        GravLensError: If another process trains there, or the folder is no run directory.
    """
    refuse_others(folder)
    with held(folder) if writes or (folder / LOCK).is_file() else nullcontext():
        for pattern in LEFTOVERS if writes else ():
            for path in folder.glob(pattern):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
        yield


def refuse_others(folder: Path) -> None:
    """Refuse a path that holds something else than a run.

    Raises:
        GravLensError: If it does.
    """
    if not folder.exists() or (folder / CONFIG).is_file():
        return
    # A process that was killed before it had written its configuration leaves no more than these.
    own = re.compile(rf"{re.escape(LOCK)}|\.{Path(CONFIG).stem}\..*\.(tmp|partial\.json)")
    if not folder.is_dir() or any(not own.fullmatch(path.name) for path in folder.iterdir()):
        raise GravLensError(f"{folder} exists and is not a run directory; choose another `out`")


def first_difference(old: Any, new: Any, path: str = "") -> str | None:
    """Describe the first value in which two configurations of a run differ, or return None.

    Args:
        old: The one, as nested mappings.
        new: The other.
        path: Where in the configurations they stand, keys with dots between them.
    """
    if path in NO_IDENTITY:
        return None
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            found = first_difference(old.get(key), new.get(key), f"{path}.{key}".lstrip("."))
            if found is not None:
                return found
        return None
    name = path.rpartition(".")[2] or "configuration"
    return None if old == new else f"{name} ({old} there, {new} here)"
