"""The corpus of damaged and hostile files: named, made from seeds, the same on every run."""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from tests.hostile.bases import Base, bases
from tests.hostile.crafted_arrays import array_files
from tests.hostile.crafted_folders import folders
from tests.hostile.crafted_images import image_files
from tests.hostile.crafted_models import model_files
from tests.hostile.crafted_stores import store_files
from tests.hostile.damage import DAMAGES

UNDAMAGED = "undamaged"
SEEDS = 1
"""Damaged files of each kind in `make test`."""


@dataclass(frozen=True)
class Case:
    """A file, or a folder, that must be read or refused.

    Attributes:
        kind: Its format.
        title: What is wrong with it.
        way: How it is read, one of `reading.WAYS`.
        build: Makes it in an empty folder, and returns the path to read.
    """

    kind: str
    title: str
    way: str
    build: Callable[[Path], Path]


@cache
def good_files() -> tuple[Base, ...]:
    """Return a good file of every format."""
    return tuple(bases())


def cases(seeds: int = SEEDS) -> Iterator[Case]:
    """Yield the whole corpus.

    Args:
        seeds: Damaged files of each kind.
    """
    for base in good_files():
        yield Case(base.kind, UNDAMAGED, base.way, _writer(base, base.content))
        for damage in DAMAGES:
            for seed in range(seeds):
                yield Case(
                    base.kind,
                    f"{base.name}: {damage}, {seed}",
                    base.way,
                    _damaged(base, damage, seed),
                )
    for kind, files in (
        (None, array_files()),
        (None, image_files()),
        ("HDF5", store_files()),
        (None, model_files()),
        ("folder", folders()),
    ):
        for crafted in files:
            yield Case(kind or crafted.kind, crafted.title, crafted.way, crafted.build)


def _damaged(base: Base, damage: str, seed: int) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        name = zlib.crc32(f"{base.name} {damage}".encode())
        random = np.random.default_rng([seed, name])
        return _writer(base, DAMAGES[damage](base.content, random))(folder)

    return build


def _writer(base: Base, content: bytes) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        path = folder / base.name
        path.write_bytes(content)
        for name, other in base.company:
            (folder / name).write_bytes(other)
        return folder if base.way in ("model", "sources") else path

    return build
