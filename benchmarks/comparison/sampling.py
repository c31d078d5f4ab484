"""Drawing the images that are scored, part by part, so that it can be stopped and taken up."""

import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from comparison.drawing import CURVE_SAMPLERS, OWN, SLOW, open_samplers
from comparison.settings import Options, read_piece, share_name, write_piece
from comparison.training import peak_bytes

TIMES = "times.json"
"""File with the time that drawing took."""


def sample_folder(options: Options, arm: str, sampler: str, share: float) -> Path:
    """Return where the images of one arm, sampler and share of its training time lie."""
    end = "" if share == 1 else f"-{share_name(share)}"
    return options.out / "sample" / f"{arm}-{sampler}{end}"


def number_of_images(options: Options, sampler: str, share: float) -> int:
    """Return how many images are drawn."""
    if share < 1:
        return options.num_curve
    return options.num_slow if sampler == SLOW else options.num


def curve_sampler(arm: str) -> str:
    """Return the sampler with which the weights on the way are judged."""
    return CURVE_SAMPLERS.get(arm, OWN)


def read_images(options: Options, arm: str, sampler: str, share: float) -> NDArray[np.float32]:
    """Return the images drawn so far, in order, shape ``(N, H, W)``."""
    folder = sample_folder(options, arm, sampler, share)
    parts = [np.load(path) for path in sorted(folder.glob("part-*.npy"))]
    found = np.concatenate(parts) if parts else np.empty((0, 1, 1), dtype=np.float32)
    return found[: number_of_images(options, sampler, share)]


def is_drawn(options: Options, arm: str, sampler: str, share: float) -> bool:
    """Whether all images are there."""
    num = number_of_images(options, sampler, share)
    return len(read_images(options, arm, sampler, share)) >= num


def sample_arm(options: Options, arm: str, name: str, share: float) -> None:
    """Draw all images of one arm and sampler that are not there yet."""
    torch.set_num_threads(options.threads)
    folder = sample_folder(options, arm, name, share)
    folder.mkdir(parents=True, exist_ok=True)
    sampler = open_samplers(options, arm, share)[name]
    path = folder / TIMES
    kept = read_piece(path) or {"wall": 0.0, "processor": 0.0, "num": 0, "peak_bytes": 0}
    start, part = 0, 0
    total = number_of_images(options, name, share)
    while start < total:
        num = min(sampler.batch_size, total - start)
        file = folder / f"part-{part:04d}.npy"
        if not file.exists() or len(np.load(file)) < num:
            wall, processor = time.perf_counter(), time.process_time()
            images = sampler.draw(num, options.seed + 1000 * (part + 1))
            kept["wall"] += time.perf_counter() - wall
            kept["processor"] += (time.process_time() - processor) / options.threads
            kept["num"] += num
            kept["peak_bytes"] = max(kept["peak_bytes"], peak_bytes())
            kept["steps"] = sampler.steps
            save_array(file, images)
            write_piece(path, kept)
            print(f"{folder.name}: {start + num} of {total} images", flush=True)
        start, part = start + num, part + 1


def save_array(path: Path, array: NDArray[np.float32]) -> None:
    """Write an array under a temporary name and rename it."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        np.save(file, array)
    temporary.replace(path)
