"""The blocks of Inception v3, as tables of their branches.

The names are those of torchvision's state dict.

References:
    Szegedy et al. 2015, arXiv:1512.00567, section 6.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d
from torch.nn.utils.fusion import fuse_conv_bn_eval

Size = int | tuple[int, int]
Pool = Literal["average", "maximum", "shrink"]


@dataclass(frozen=True, slots=True)
class Convolution:
    """One convolution of a block, with padding that keeps the size where it does not stride.

    Attributes:
        name: Name within the block.
        channels: Output channels.
        kernel: Height and width.
        stride: Step; where it is 2, nothing is padded.
    """

    name: str
    channels: int
    kernel: Size = 1
    stride: int = 1


@dataclass(frozen=True, slots=True)
class Branch:
    """One branch of a block: a pooling, then convolutions one after the other, then a fork.

    Attributes:
        convolutions: Convolutions in their order.
        fork: Convolutions that all take the result, and whose outputs are joined.
        pool: Pooling of the block's input, or None.
    """

    convolutions: tuple[Convolution, ...] = ()
    fork: tuple[Convolution, ...] = ()
    pool: Pool | None = None


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
    """

    def __init__(self, in_channels: int, *branches: Branch) -> None:
        super().__init__()
        self.branches = branches
        self.out_channels = 0
        for branch in branches:
            channels = in_channels
            for one in branch.convolutions:
                self.add_module(one.name, _build(channels, one))
                channels = one.channels
            for one in branch.fork:
                self.add_module(one.name, _build(channels, one))
            self.out_channels += sum(one.channels for one in branch.fork) or channels

    def forward(self, x: Tensor) -> Tensor:
        """Return the joined outputs, shape ``(B, out_channels, H', W')``."""
        outputs = []
        for branch in self.branches:
            y = pool(x, branch.pool)
            for one in branch.convolutions:
                y = self.get_submodule(one.name)(y)
            outputs += [self.get_submodule(one.name)(y) for one in branch.fork] or [y]
        return torch.cat(outputs, dim=1)


def pool(x: Tensor, kind: Pool | None) -> Tensor:
    """Return the pooled activations: the mean or maximum of 3 x 3, or the maximum at stride 2."""
    if kind == "average":
        return avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
    if kind == "maximum":
        return max_pool2d(x, 3, stride=1, padding=1)
    if kind == "shrink":
        return max_pool2d(x, 3, stride=2)
    return x


def grid_35(pool_channels: int) -> Sequence[Branch]:
    """Return the branches of a block at 35 x 35 (after Szegedy et al. 2015, figure 5)."""
    three = Convolution("branch3x3dbl_2", 96, 3), Convolution("branch3x3dbl_3", 96, 3)
    return (
        Branch((Convolution("branch1x1", 64),)),
        Branch((Convolution("branch5x5_1", 48), Convolution("branch5x5_2", 64, 5))),
        Branch((Convolution("branch3x3dbl_1", 64), *three)),
        Branch((Convolution("branch_pool", pool_channels),), pool="average"),
    )


def to_grid_17() -> Sequence[Branch]:
    """Return the branches of the block from 35 x 35 to 17 x 17."""
    three = Convolution("branch3x3dbl_2", 96, 3), Convolution("branch3x3dbl_3", 96, 3, stride=2)
    return (
        Branch((Convolution("branch3x3", 384, 3, stride=2),)),
        Branch((Convolution("branch3x3dbl_1", 64), *three)),
        Branch(pool="shrink"),
    )


def grid_17(channels: int) -> Sequence[Branch]:
    """Return the branches of a block at 17 x 17 (Szegedy et al. 2015, figure 6)."""
    row, column = (1, 7), (7, 1)
    return (
        Branch((Convolution("branch1x1", 192),)),
        Branch(
            (
                Convolution("branch7x7_1", channels),
                Convolution("branch7x7_2", channels, row),
                Convolution("branch7x7_3", 192, column),
            )
        ),
        Branch(
            (
                Convolution("branch7x7dbl_1", channels),
                Convolution("branch7x7dbl_2", channels, column),
                Convolution("branch7x7dbl_3", channels, row),
                Convolution("branch7x7dbl_4", channels, column),
                Convolution("branch7x7dbl_5", 192, row),
            )
        ),
        Branch((Convolution("branch_pool", 192),), pool="average"),
    )


def to_grid_8() -> Sequence[Branch]:
    """Return the branches of the block from 17 x 17 to 8 x 8."""
    return (
        Branch((Convolution("branch3x3_1", 192), Convolution("branch3x3_2", 320, 3, stride=2))),
        Branch(
            (
                Convolution("branch7x7x3_1", 192),
                Convolution("branch7x7x3_2", 192, (1, 7)),
                Convolution("branch7x7x3_3", 192, (7, 1)),
                Convolution("branch7x7x3_4", 192, 3, stride=2),
            )
        ),
        Branch(pool="shrink"),
    )


def grid_8(kind: Pool) -> Sequence[Branch]:
    """Return the branches of a block at 8 x 8 (Szegedy et al. 2015, figure 7)."""
    row, column = (1, 3), (3, 1)
    return (
        Branch((Convolution("branch1x1", 320),)),
        Branch(
            (Convolution("branch3x3_1", 384),),
            fork=(
                Convolution("branch3x3_2a", 384, row),
                Convolution("branch3x3_2b", 384, column),
            ),
        ),
        Branch(
            (Convolution("branch3x3dbl_1", 448), Convolution("branch3x3dbl_2", 384, 3)),
            fork=(
                Convolution("branch3x3dbl_3a", 384, row),
                Convolution("branch3x3dbl_3b", 384, column),
            ),
        ),
        Branch((Convolution("branch_pool", 192),), pool=kind),
    )


def _build(in_channels: int, one: Convolution) -> NormedConvolution:
    height, width = one.kernel if isinstance(one.kernel, tuple) else (one.kernel, one.kernel)
    padding = (0, 0) if one.stride == 2 else (height // 2, width // 2)
    return NormedConvolution(in_channels, one.channels, (height, width), one.stride, padding)
