"""The blocks of Inception v3, as tables of their branches.

The names are those of torchvision's state dict.

References:
    Szegedy et al. 2015, arXiv:1512.00567, section 6.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d
from torch.nn.utils.fusion import fuse_conv_bn_eval

Size = int | tuple[int, int]
Pool = Literal["average", "maximum", "shrink"]
ROW, COLUMN = (1, 7), (7, 1)
SHORT_ROW, SHORT_COLUMN = (1, 3), (3, 1)


class _Layer(NamedTuple):
    """A convolution, with padding that keeps the size, or none where it strides by 2."""

    name: str
    channels: int
    kernel: Size = 1
    stride: int = 1


class _Branch:
    """One branch of a block: a pooling, then convolutions one after the other, then a fork.

    Args:
        prefix: What the names of its convolutions begin with.
        layers: Name, channels, kernel and stride of each convolution, in their order.
        fork: Convolutions that all take the result, and whose outputs are joined.
        pool: Pooling of the block's input, or None.
    """

    def __init__(
        self,
        prefix: str = "branch",
        *layers: tuple[object, ...],
        fork: tuple[tuple[object, ...], ...] = (),
        pool: Pool | None = None,
    ) -> None:
        self.layers, self.fork = (
            [_Layer(f"{prefix}{name}", *rest) for name, *rest in each]  # type: ignore[arg-type]
            for each in (layers, fork)
        )
        self.pool = pool


class NormedConvolution(nn.Module):
    """A convolution without bias, batch normalisation with eps 0.001, and a rectifier."""

    def __init__(
        self, in_channels: int, channels: int, kernel: Size, stride: int = 1, padding: Size = 0
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, kernel, stride, padding, bias=False)
        self.bn: nn.BatchNorm2d | nn.Identity = nn.BatchNorm2d(channels, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """Return the activations, shape ``(B, channels, H', W')``."""
        return torch.relu_(self.bn(self.conv(x)))

    def fold(self) -> None:
        """Make the normalisation a part of the convolution: the same outputs, a tenth sooner."""
        if isinstance(self.bn, nn.BatchNorm2d):
            self.conv, self.bn = fuse_conv_bn_eval(self.conv, self.bn), nn.Identity()


class Mixed(nn.Module):
    """A block of parallel branches whose outputs are joined along the channels.

    Args:
        in_channels: Input channels.
        branches: The branches, in the order of their output.

    Attributes:
        channels: Output channels.
    """

    def __init__(self, in_channels: int, branches: list[_Branch]) -> None:
        super().__init__()
        self.branches = branches
        self.channels = 0
        for branch in branches:
            channels = in_channels
            for layer in branch.layers:
                self.add_module(layer.name, _build(channels, layer))
                channels = layer.channels
            for layer in branch.fork:
                self.add_module(layer.name, _build(channels, layer))
            self.channels += sum(layer.channels for layer in branch.fork) or channels

    def forward(self, x: Tensor) -> Tensor:
        """Return the joined outputs, shape ``(B, channels, H', W')``."""
        outputs = []
        for branch in self.branches:
            y = pool(x, branch.pool)
            for layer in branch.layers:
                y = self.get_submodule(layer.name)(y)
            outputs += [self.get_submodule(layer.name)(y) for layer in branch.fork] or [y]
        return torch.cat(outputs, dim=1)


def _build(in_channels: int, layer: _Layer) -> NormedConvolution:
    kernel = layer.kernel if isinstance(layer.kernel, tuple) else (layer.kernel,) * 2
    padding = (0, 0) if layer.stride == 2 else (kernel[0] // 2, kernel[1] // 2)
    return NormedConvolution(in_channels, layer.channels, kernel, layer.stride, padding)


def pool(x: Tensor, kind: Pool | None) -> Tensor:
    """Return the pooled activations: the mean or maximum of 3 x 3, or the maximum at stride 2."""
    if kind == "average":
        return avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
    if kind == "maximum":
        return max_pool2d(x, 3, stride=1, padding=1)
    if kind == "shrink":
        return max_pool2d(x, 3, stride=2)
    return x


def _grid_35(pool_channels: int) -> list[_Branch]:
    """Return the branches of a block at 35 x 35 (after Szegedy et al. 2015, figure 5)."""
    return [
        _Branch("branch1x1", ("", 64)),
        _Branch("branch5x5_", (1, 48), (2, 64, 5)),
        _Branch("branch3x3dbl_", (1, 64), (2, 96, 3), (3, 96, 3)),
        _Branch("branch_pool", ("", pool_channels), pool="average"),
    ]


def _grid_17(num: int) -> list[_Branch]:
    """Return the branches of a block at 17 x 17 (Szegedy et al. 2015, figure 6)."""
    long = ((1, num), (2, num, COLUMN), (3, num, ROW), (4, num, COLUMN), (5, 192, ROW))
    return [
        _Branch("branch1x1", ("", 192)),
        _Branch("branch7x7_", (1, num), (2, num, ROW), (3, 192, COLUMN)),
        _Branch("branch7x7dbl_", *long),
        _Branch("branch_pool", ("", 192), pool="average"),
    ]


def _grid_8(kind: Pool) -> list[_Branch]:
    """Return the branches of a block at 8 x 8 (Szegedy et al. 2015, figure 7)."""
    forks = [((f"{k}a", 384, SHORT_ROW), (f"{k}b", 384, SHORT_COLUMN)) for k in (2, 3)]
    return [
        _Branch("branch1x1", ("", 320)),
        _Branch("branch3x3_", (1, 384), fork=forks[0]),
        _Branch("branch3x3dbl_", (1, 448), (2, 384, 3), fork=forks[1]),
        _Branch("branch_pool", ("", 192), pool=kind),
    ]


BLOCKS = {
    "Mixed_5b": _grid_35(pool_channels=32),
    "Mixed_5c": _grid_35(pool_channels=64),
    "Mixed_5d": _grid_35(pool_channels=64),
    "Mixed_6a": [
        _Branch("branch3x3", ("", 384, 3, 2)),
        _Branch("branch3x3dbl_", (1, 64), (2, 96, 3), (3, 96, 3, 2)),
        _Branch(pool="shrink"),
    ],
    "Mixed_6b": _grid_17(128),
    "Mixed_6c": _grid_17(160),
    "Mixed_6d": _grid_17(160),
    "Mixed_6e": _grid_17(192),
    "Mixed_7a": [
        _Branch("branch3x3_", (1, 192), (2, 320, 3, 2)),
        _Branch("branch7x7x3_", (1, 192), (2, 192, ROW), (3, 192, COLUMN), (4, 192, 3, 2)),
        _Branch(pool="shrink"),
    ],
    "Mixed_7b": _grid_8("average"),
    "Mixed_7c": _grid_8("maximum"),
}
"""The branches of all blocks, in their order."""
