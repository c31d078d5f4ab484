"""Pipelines of diffusers with small random networks."""

from pathlib import Path
from typing import Any

import pytest
import torch

diffusers = pytest.importorskip("diffusers")

SMALL = {
    "sample_size": 8,
    "in_channels": 1,
    "out_channels": 1,
    "block_out_channels": (8, 16),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 1,
    "norm_num_groups": 4,
}


def network(**options: Any) -> Any:
    """Return a network with random weights and outputs so small that rounding does not grow."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = diffusers.UNet2DModel(**(SMALL | options)).eval()
    with torch.no_grad():
        model.conv_out.weight.mul_(0.3)
    return model


def saved(folder: Path, scheduler: Any, **options: Any) -> Any:
    """Save a pipeline, and return it as diffusers opens it."""
    is_ddim = isinstance(scheduler, diffusers.DDIMScheduler)
    kind = diffusers.DDIMPipeline if is_ddim else diffusers.DDPMPipeline
    kind(unet=network(**options), scheduler=scheduler).save_pretrained(folder)
    return opened(folder)


def opened(folder: Path) -> Any:
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
