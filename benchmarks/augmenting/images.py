"""The images of the study: simulated once, taken by class and seed."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from augmenting.settings import CLASSES, RARE, Options, Regime
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.store.reader import LensStore

PRESET = "deeplense"
TEST_SEED, POOL_SEED = 6001, 6000
"""Seeds of the simulations; the bundled generators were trained on seed 4000."""
SHARE = 1500
"""Images of each class that belong to one seed: the scarce sets come from the first of them."""
MAX_SEEDS = 5
"""Seeds that the pool has images for."""
MAX_ADDED = 2000
"""Fresh simulations of each class that belong to one seed; they follow those of all scarce sets."""

Pictures = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Images, shape ``(N, 1, S, S)``, and their classes, shape ``(N,)``."""


def simulate(options: Options) -> None:
    """Simulate the test set and the pool, where they are not there yet."""
    for name, num, seed in (
        ("test", options.num_test, TEST_SEED),
        ("pool", options.num_pool, POOL_SEED),
    ):
        path = options.out / f"{name}.h5"
        if path.exists():
            continue
        words = ["simulate", "--preset", PRESET, "--size", str(options.size), "--num", str(num)]
        words += ["--seed", str(seed), "--jobs", str(options.jobs), "--out", str(path)]
        run_gravlens(words, options.threads)


def run_gravlens(words: list[str], threads: int) -> None:
    """Run a command of the package.

    Raises:
        GravLensError: If it fails.
    """
    done = subprocess.run(
        [sys.executable, "-m", "gravlensdiffusion", *words],
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        check=False,
    )
    if done.returncode:
        raise GravLensError(f"gravlens {' '.join(words)} ended with {done.returncode}")


class Pool:
    """Simulated images by class.

    Args:
        path: A simulated set.
    """

    def __init__(self, path: Path) -> None:
        self.store = LensStore(path)
        labels = self.store.labels
        if self.store.header.class_names != CLASSES:
            raise GravLensError(f"{path}: has classes {self.store.header.class_names}")
        self.by_class = [np.flatnonzero(labels == k) for k in range(len(CLASSES))]

    def take(self, parts: list[NDArray[np.int64]]) -> Pictures:
        """Return images at positions within each class, class after class."""
        where = [own[part] for own, part in zip(self.by_class, parts, strict=True)]
        order = np.argsort(np.concatenate(where))
        labels = np.repeat(np.arange(len(CLASSES)), [len(part) for part in where])
        images = self.store.read(np.concatenate(where)[order])
        back = np.argsort(order)
        return images[back], labels.astype(np.int64)

    def everything(self) -> Pictures:
        """Return all images."""
        return self.take([np.arange(len(own)) for own in self.by_class])


def real_images(pool: Pool, regime: Regime, seed: int) -> Pictures:
    """Return the real images of a scarce set: no image belongs to two seeds."""
    return pool.take([seed * SHARE + np.arange(num) for num in regime.real])


def fresh_images(pool: Pool, regime: Regime, seed: int) -> Pictures:
    """Return as many further simulations as generated images are added elsewhere."""
    low = MAX_SEEDS * SHARE + seed * MAX_ADDED
    return pool.take([low + np.arange(num) for num in regime.added])


def added(pictures: Pictures, regime: Regime, *, even: bool) -> Pictures:
    """Return those of the generated images that are added to the real ones.

    Args:
        pictures: As many of each class as the target.
        regime: The scarce set.
        even: Whether each class gets as many as the rarest.
    """
    images, labels = pictures
    wanted = [max(regime.added)] * len(CLASSES) if even else regime.added
    where = [np.flatnonzero(labels == k)[:num] for k, num in enumerate(wanted)]
    chosen = np.concatenate(where)
    return images[chosen], labels[chosen]


def rare_label() -> int:
    """Return the class that is rare where the mix is unbalanced."""
    return CLASSES.index(RARE)
