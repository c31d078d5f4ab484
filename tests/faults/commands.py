"""The commands that are killed: what they need, and what they leave when they are done."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gravlensdiffusion.codec import to_json
from gravlensdiffusion.config.training import EarlyStopping
from gravlensdiffusion.model.checkpoint import save_model
from gravlensdiffusion.sets.records import LensRecord
from gravlensdiffusion.store.writer import write_store
from tests.balancing.sets import save_set
from tests.models import LEARNED, awake
from tests.sources import rings, tiny

UNLIKE = frozenset({"images_per_s"})
"""Numbers of the log that two equal runs do not share."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command line, which is given in a folder of its own.

    Attributes:
        name: The subcommand, or what is special about it.
        words: All words after ``gravlens``.
        set_up: Puts what the command needs into a folder.
        done: What must stand in the folder in the end; the sign of a command that is done.
    """

    name: str
    words: tuple[str, ...]
    set_up: Callable[[Path], object]
    done: str

    @property
    def line(self) -> str:
        """The command line."""
        return " ".join(("gravlens", *self.words))


def results(folder: Path) -> dict[str, bytes | str]:
    """Return all files of a folder by name, without what two equal runs do not share."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_dir() or path.name == ".lock" or "tensorboard" in name:
            continue
        if path.name == "metrics.jsonl":
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            kept = [{k: v for k, v in line.items() if k not in UNLIKE} for line in lines]
            found[name] = json.dumps(kept)
        elif path.name == "prepared.json":
            found[name] = json.loads(path.read_text())["fingerprint"]
        else:
            found[name] = path.read_bytes()
    return found


def _training_data(folder: Path) -> None:
    source = rings(40)
    records = (
        LensRecord(image=image, label=int(label))
        for image, label in zip(source.images, source.labels, strict=True)
    )
    write_store(folder / "lenses.h5", records, source.header)
    stopping = EarlyStopping(held_out=0.2, every_images=32)
    recipe = tiny(sample_images=96, early_stopping=stopping)
    (folder / "recipe.json").write_text(to_json(recipe))


def _model(folder: Path) -> None:
    save_model(folder / "model", awake())


def _teacher(folder: Path) -> None:
    save_model(folder / "model", awake(LEARNED))


def _balance_data(folder: Path) -> None:
    save_set(folder / "set.h5")
    _model(folder)


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split())


TRAIN = Command(
    name="train",
    words=_split("train --data lenses.h5 --preset recipe.json --out run --device cpu"),
    set_up=_training_data,
    done="run/checkpoints/0000000096",
)
DISTILL = Command(
    name="distill",
    words=_split(
        "distill --teacher model --out run --steps 1,2 --images 96 --batch-size 8 --device cpu"
    ),
    set_up=_teacher,
    done="run/checkpoints/0000000096",
)
SIMULATE = Command(
    name="simulate",
    words=_split("simulate --num 60 --size 28 --jobs 1 --noise-free --out lenses28.h5"),
    set_up=lambda _: None,
    done="lenses28.h5",
)
SAMPLE = Command(
    name="sample",
    words=_split(
        "sample --model model --num 30 --steps 3 --batch-size 5 --format h5,npy,fits,png --gif "
        "--out drawn --device cpu"
    ),
    set_up=_model,
    done="drawn",
)
SHARDS = Command(
    name="shards",
    words=_split(
        "sample --model model --num 30 --steps 3 --batch-size 5 --shard-size 10 --out shards "
        "--device cpu"
    ),
    set_up=_model,
    done="shards/lenses-00002.h5",
)
BALANCE = Command(
    name="balance",
    words=_split(
        "balance set.h5 --model model --per-class 12 --batch-size 3 --out filled.h5 --device cpu"
    ),
    set_up=_balance_data,
    done="filled.h5",
)
COMMANDS = (TRAIN, DISTILL, SIMULATE, SAMPLE, SHARDS, BALANCE)
