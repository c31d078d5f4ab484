"""A set that models are adapted to, and recipes that do so in a moment."""

from dataclasses import replace
from typing import Any

import numpy as np

from gravlensdiffusion.config.model import DenoiserConfig, ScheduleConfig
from gravlensdiffusion.config.training import OptimiserConfig, TrainingConfig
from tests.sources import ArraySource, rings

SIZE = 8
STILL = OptimiserConfig(learning_rate=1e-12)
CLEAN = DenoiserConfig(prediction="preconditioned", skip=False, floor=0.03)
SCHEDULE = ScheduleConfig(kind="log_snr", sigma_min=0.02, sigma_max=50)


def own_set(num: int = 240, seed: int = 3) -> ArraySource:
    """Return large rings, and blobs three times as bright, which no model here has ever seen."""
    source = rings(num, size=SIZE, seed=seed)
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    width = 2 * np.exp(random.normal(0, 0.1, num))[:, None, None]
    # None is a copy of another: their centres differ.
    dx, dy = np.random.default_rng([seed, 1]).uniform(-1, 1, (2, num, 1, 1))
    blob = 3 * np.exp(-0.5 * np.hypot(x - dx, y - dy) ** 2 / width**2) + 0.01
    blob += 0.003 * random.normal(size=blob.shape)
    is_new = source.labels == 0
    source.images[is_new, 0] = blob[is_new]
    source.header = replace(source.header, class_names=("blob", "large"))
    return source


def quick(config: TrainingConfig, **changes: Any) -> TrainingConfig:
    """Return a recipe that is done in a moment."""
    settings: dict[str, Any] = {
        "total_images": 64,
        "optimiser": STILL,
        "sample_images": 0,
        "checkpoint_images": 10**6,
    }
    return replace(config, **(settings | changes))
