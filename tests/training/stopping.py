"""A recipe that ends early, and the weights that it leaves."""

from pathlib import Path
from typing import Any

import torch

from gravlensdiffusion.config.training import (
    EarlyStopping,
    EMAConfig,
    OptimiserConfig,
    TrainingConfig,
)
from gravlensdiffusion.model.checkpoint import read_tensors
from tests.sources import tiny

NUM = 20
SHARE = 0.2


def stopping(**changes: Any) -> TrainingConfig:
    """Return a recipe that soon knows its sixteen images by heart."""
    settings: dict[str, Any] = {
        "early_stopping": EarlyStopping(held_out=SHARE, every_images=160, patience=3),
        "optimiser": OptimiserConfig(learning_rate=4e-2, beta2=0.9),
        "ema": EMAConfig(halflife_images=50),
        "batch_size": 16,
        "total_images": 20_000,
        "log_images": 320,
        "checkpoint_images": 320,
        "keep_checkpoints": 1,
    }
    return tiny(**(settings | changes))


def averaged(folder: Path) -> dict[str, torch.Tensor]:
    """Return the moving average of the weights in a checkpoint."""
    return read_tensors(folder / "ema.safetensors")
