"""Random weights for the FID Inception network, as a file."""

from pathlib import Path

import torch
from torch import Tensor

from gravlensdiffusion.metrics.inception import FIDInception


def random_state(seed: int) -> dict[str, Tensor]:
    """Return weights with which activations neither die out nor blow up."""
    with torch.device("meta"):
        expected = FIDInception().state_dict()
    source = torch.Generator().manual_seed(seed)
    state = {}
    for name, tensor in expected.items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.zeros((), dtype=torch.int64)
            continue
        normal = torch.randn(tensor.shape, generator=source)
        if tensor.ndim == 4:
            state[name] = normal * (2 / tensor[0].numel()) ** 0.5
        elif name.endswith(("bn.weight", "running_var")):
            state[name] = 1 + 0.2 * normal.abs()
        else:
            state[name] = 0.1 * normal
    return state


def write_random_weights(path: Path, seed: int = 0) -> Path:
    torch.save(random_state(seed), path)
    return path
