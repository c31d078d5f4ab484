"""A run directory: what makes a run, its log, its checkpoints, and how it is gone on with."""

import json
import platform
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from gravlensdiffusion.codec import parse_record, read_json, read_record, to_json
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
    ENVIRONMENT,
    WEIGHTS,
    checkpoints,
)
from gravlensdiffusion.untrusted.state_file import read_state

TRAINING_STATE, METRICS = "training_state.pt", "metrics.jsonl"

LEFTOVERS = tuple(
    f"{folder}.*.{suffix}"
    for folder in ("", "checkpoints/", "prepared/", "samples/")
    for suffix in ("partial", "partial.*", "tmp")
)
"""What a process that was killed while it wrote has left in a run directory, of earlier versions too."""

PACKAGES = ("gravlensdiffusion", "torch", "numpy", "accelerate", "safetensors")

NO_IDENTITY = frozenset(
    {
        *("epochs", "total_images", "early_stopping.every_images", "early_stopping.patience"),
        *("precision", "compile", "prefetch"),
        *("log_images", "checkpoint_images", "sample_images", "keep_checkpoints"),
    }
)
"""Length, machine, and what is kept: a run goes on with others than it began with."""

Config = TrainingConfig | DistillationConfig


class Saved(NamedTuple):
    """What a checkpoint holds: model, moving average (empty for none), state of the training."""

    folder: Path
    model: Model
    average: dict[str, Tensor]
    state: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """The folder of a run, of whatever kind, how many checkpoints it keeps, and whether it is written to."""

    folder: Path
    keep_checkpoints: int
    writes: bool

    @classmethod
    def open(cls, folder: Path, config: Config, *, writes: bool = True) -> "RunDirectory":
        """Create a run directory, if it `writes`, or reopen one that holds the same configuration.

        A run that has no checkpoint yet has nothing to lose, and takes any configuration. One that
        has some takes another length, and other settings of the machine; see `NO_IDENTITY`.

        Raises:
            GravLensError: If the folder holds something else, or a run with other settings.
        """
        path = folder / CONFIG
        if path.is_file():
            old = read_json(type(config), path)
            difference = _first_difference(asdict(old), asdict(config))
            if difference is not None and checkpoints(folder):
                raise GravLensError(
                    f"{folder} holds a run with another {difference}; choose another `out`"
                )
        else:
            _refuse_others(folder)
        if writes:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, to_json(config))
        return cls(folder, config.keep_checkpoints, writes)

    @staticmethod
    @contextmanager
    def held(folder: Path, *, writes: bool = True) -> Iterator[None]:
        """Hold a run directory for this process; where it `writes`, clear away what killed ones left half-written.

        What a training that is refused before its first step has put into a new one is removed.

        Raises:
            GravLensError: If another process trains there, or the folder is no run directory.
        """
        _refuse_others(folder)
        with held(folder) if writes or (folder / LOCK).is_file() else nullcontext():
            for pattern in LEFTOVERS if writes else ():
                _remove(folder.glob(pattern))
            is_new = writes and not (folder / CONFIG).exists()
            try:
                yield
            except GravLensError:
                if is_new and not (folder / METRICS).exists():
                    _remove(path for path in folder.iterdir() if path.name != LOCK)
                raise

    def record_environment(
        self, fingerprint: str, device: str, parameters: str = "", *, option: str = "data"
    ) -> None:
        """Write ``environment.json``, or find the digests of the data and their parameters unchanged.

        Args:
            fingerprint: Digest of what the run learns from.
            device: Device that it begins on.
            parameters: Digest of their parameters; empty where there are none.
            option: Name of the option that gives what the run learns from.

        Raises:
            GravLensError: If the run began with something else, or its record is damaged.
        """
        path = self.folder / ENVIRONMENT
        if not path.is_file() or not checkpoints(self.folder):
            if self.writes:
                facts = environment(fingerprint, device)
                if parameters:
                    facts["parameters_fingerprint"] = parameters
                write_atomically(path, json.dumps(facts, indent=2))
            return
        old = read_record(path)
        # A run of an earlier version does not know its parameters.
        known = old.get("parameters_fingerprint", parameters)
        if (old.get("data_fingerprint"), known) != (fingerprint, parameters):
            other = (
                "on other data than those" if option == "data" else f"by another {option} than is"
            )
            raise GravLensError(
                f"{self.folder} was trained {other} given now; "
                f"give the same `{option}`, or choose another `out`"
            )

    def save(
        self,
        images_seen: int,
        model: Model,
        average: Mapping[str, Tensor] | None,
        state: dict[str, Any],
        best: tuple[int, float] = (0, 0.0),
    ) -> None:
        """Write a checkpoint and drop the oldest ones, but for that with the lowest validation loss.

        It holds the model, the average of its weights, if any, and what it takes to go on. A run that
        is killed on the way has its old record of the best one with the old checkpoint, or the new
        one with the new.
        """
        folder = self.folder / "checkpoints" / f"{images_seen:010d}"
        if not folder.exists():
            files: dict[str, bytes | Mapping[str, Tensor]] = {
                WEIGHTS: model.state_dict(),
                CONFIG: to_json(model.config).encode(),
            }
            if average is not None:
                files[EMA_WEIGHTS] = average
            write_folder(folder, files, {TRAINING_STATE: state})
        self.record_best(*best)
        for old in checkpoints(self.folder)[: -self.keep_checkpoints]:
            if old.images_seen != best[0]:
                remove_folder(old.folder)

    def record_best(self, images_seen: int, loss: float) -> None:
        """Write down which checkpoint has the lowest validation loss; 0 images for none."""
        if images_seen:
            record = {"images_seen": images_seen, "held_out_loss": loss}
            write_atomically(self.folder / BEST, json.dumps(record))

    def load(self) -> Saved | None:
        """Read the newest complete checkpoint, if there is one.

        Raises:
            GravLensError: If it is damaged, which a kill or a full disk does not do.
        """
        found = checkpoints(self.folder)
        if not found:
            return None
        folder = found[-1].folder
        try:
            model = build_model(read_json(ModelConfig, folder / CONFIG))
            load_weights(model, read_tensors(folder / WEIGHTS), source=folder / WEIGHTS)
            average = folder / EMA_WEIGHTS
            state = read_state(folder / TRAINING_STATE, "training state")
            tensors = read_tensors(average) if average.is_file() else {}
            return Saved(folder, model, tensors, state)
        except (GravLensError, OSError) as error:
            raise GravLensError(
                f"{error}; remove {folder} to go on from the checkpoint before"
            ) from error


def _remove(paths: Iterable[Path]) -> None:
    for path in list(paths):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _refuse_others(folder: Path) -> None:
    """Refuse a path that holds something else than a run."""
    if not folder.exists() or (folder / CONFIG).is_file():
        return
    # A process that was killed before it had written its configuration leaves no more than these.
    own = re.compile(rf"{re.escape(LOCK)}|\.{Path(CONFIG).stem}\..*\.(tmp|partial\.json)")
    if not folder.is_dir() or any(not own.fullmatch(path.name) for path in folder.iterdir()):
        raise GravLensError(f"{folder} exists and is not a run directory; choose another `out`")


def _first_difference(old: Any, new: Any, path: str = "") -> str | None:
    """Describe the first value by which two configurations are of different runs, or return None."""
    if path in NO_IDENTITY:
        return None
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            found = _first_difference(old.get(key), new.get(key), f"{path}.{key}".lstrip("."))
            if found is not None:
                return found
        return None
    name = path.rpartition(".")[2] or "configuration"
    return None if old == new else f"{name} ({old} there, {new} here)"


class MetricsLog:
    """Appends one line of numbers at a time to ``metrics.jsonl`` and to TensorBoard.

    Lines of after the images that were seen where the run goes on, of work that was lost, are dropped.
    """

    def __init__(self, folder: Path, images_seen: int) -> None:
        lines = read_metrics(folder) if images_seen else []
        kept = (json.dumps(line) + "\n" for line in lines if line["images"] <= images_seen)
        write_atomically(folder / METRICS, "".join(kept))
        self._file = (folder / METRICS).open("a", encoding="utf-8")
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=images_seen + 1)

    def log(self, images: int, numbers: Mapping[str, float]) -> None:
        """Append the numbers that hold after ``images`` training images."""
        self._file.write(json.dumps({"images": images, **numbers}) + "\n")
        self._file.flush()
        for name, value in numbers.items():
            self._board.add_scalar(name, value, images)

    def close(self) -> None:
        """Flush and close."""
        self._file.close()
        self._board.close()


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of ``metrics.jsonl``, up to one that a crash has cut short or damaged."""
    path = folder / METRICS
    lines = []
    for text in path.read_bytes().splitlines() if path.is_file() else ():
        line = parse_record(text)
        if line is None or not isinstance(line.get("images"), int):
            break
        lines.append(line)
    return lines


def environment(fingerprint: str, device: str) -> dict[str, Any]:
    """Describe what a run depends on: versions, machine, and the digest of its data."""
    return {
        "data_fingerprint": fingerprint,
        "device": device,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: version(name) for name in PACKAGES},
    }
