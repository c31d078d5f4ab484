"""The small network that tells two sets of images apart by their pixels."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

REACH = 4
"""Pixels by which an image is mirrored at its edges."""

WIDTH, NUM_MASKS, NUM_FILTERS = 16, 4, 8
"""Channels of the first convolutions, masks, and linear filters."""

HIGH_PASS = ((0.25, -0.5, 0.25), (-0.5, 1.0, -0.5), (0.25, -0.5, 0.25))
NOISE_GAIN = 1.5
"""Factor by which `HIGH_PASS` raises the rms of white noise: the root of its sum of squares."""


class PixelNetwork(nn.Module):
    """Log odds that an image is generated, from its noise and from its shape.

    Noise: each pixel is predicted from its neighbours, itself left out (a convolution with a hole,
    then 1 x 1 convolutions); the squares of what remains, and of some linear filters, are averaged
    under learned masks and taken to logarithms. Shape: a stack of convolutions, pooled to means and
    standard deviations. How much noise an image ought to have follows from its shape, since an
    image scaled to its peak has less of it the brighter its peak is; the head compares the two.

    The noise is looked at on a grid of every `stride`-th pixel, about 32 a side, so that the cost
    hardly grows with the size; the origin of the grid is an argument, and training draws it.

    Args:
        images: Images of both sets, whose scales it takes, shape ``(N, C, H, W)``; some hundred are
            enough.

    Attributes:
        sky: Level of the faint pixels, per channel, shape ``(1, C, 1, 1)``.
        noise: Rms of the pixel noise, likewise.
        peak: Brightness of the brightest pixels above the sky, likewise.
        roughness: Rms of the high-passed images by place, shape ``(1, C, H, W)``.
    """

    sky: Tensor
    noise: Tensor
    peak: Tensor
    roughness: Tensor
    hole: Tensor

    def __init__(self, images: NDArray[np.float32]) -> None:
        super().__init__()
        _, channels, height, width = images.shape
        self.stride = max(1, min(height, width) // 32)
        self.grid = (height // self.stride, width // self.stride)
        self._measure_scales(images)
        hole = torch.ones(1, 1, 7, 7)
        hole[:, :, 3, 3] = 0
        self.register_buffer("hole", hole)
        self.surroundings = nn.Conv2d(channels, 24, 7)
        self.prediction = nn.Sequential(
            nn.SiLU(), nn.Conv2d(24, 24, 1), nn.SiLU(), nn.Conv2d(24, 2 * channels, 1)
        )
        self.filters = nn.Conv2d(2 * channels, NUM_FILTERS, 3, padding=1, bias=False)
        self.stem = nn.Sequential(
            nn.Conv2d(3 * channels, WIDTH, 5, stride=self.stride),
            nn.SiLU(),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
            nn.SiLU(),
        )
        self.masks = nn.Conv2d(WIDTH, NUM_MASKS, 1)
        # Resized images are noisier in some rows than in others.
        self.mask_bias = nn.Parameter(torch.zeros(1, NUM_MASKS, *self.grid))
        self.shape = nn.Sequential(
            nn.AvgPool2d(2),
            nn.Conv2d(WIDTH, 32, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.SiLU(),
            nn.AvgPool2d(2),
            nn.Conv2d(32, 48, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(48, 48, 3, padding=1),
            nn.SiLU(),
        )
        num_features = NUM_MASKS * (NUM_FILTERS + 4 * channels) + 2 * 48
        self.head = nn.Sequential(
            nn.BatchNorm1d(num_features),
            nn.Linear(num_features, 64),
            nn.SiLU(),
            nn.Dropout(0.2),
            nn.Linear(64, 64),
            nn.SiLU(),
            nn.Linear(64, 1),
        )

    def _measure_scales(self, images: NDArray[np.float32]) -> None:
        pixels = images.reshape(*images.shape[:2], -1)
        sky = np.median(np.quantile(pixels, 0.3, axis=2), axis=0)
        peak = np.median(np.quantile(pixels, 0.99, axis=2), axis=0) - sky
        # Where nothing varies, any scale will do.
        peak = np.where(peak > 0, peak, 1.0)
        rough = np.abs(_high_pass(torch.from_numpy(images)).numpy())
        # A quarter of the absolute values of a normal variable lie below 0.319.
        faint = np.quantile(rough.reshape(pixels.shape), 0.25, axis=2)
        noise = np.maximum(np.median(faint, axis=0) / (0.319 * NOISE_GAIN), 1e-5 * peak)
        by_place = 1.483 * np.median(rough, axis=0)
        floor = np.maximum(0.3 * np.median(by_place, axis=(1, 2)), noise * 1e-2)
        by_place = np.maximum(by_place, floor[:, None, None])
        for name, values in {"sky": sky, "noise": noise, "peak": peak}.items():
            self.register_buffer(name, torch.from_numpy(values).float().reshape(1, -1, 1, 1))
        self.register_buffer("roughness", torch.from_numpy(by_place).float()[None])

    def forward(self, images: Tensor, row: int = 0, column: int = 0) -> tuple[Tensor, Tensor]:
        """Return the log odds and what neighbours left unexplained.

        Args:
            images: Shape ``(B, C, H, W)``.
            row: First row of the grid, below `stride`.
            column: Its first column.

        Returns:
            Log odds, shape ``(B,)``, and the residuals, in units of twice the noise where the image
            is faint and of the brightness where it is bright, shape ``(B, C, h, w)``.
        """
        padded = functional.pad(images, (REACH,) * 4, mode="reflect")
        # Linear in the noise, logarithmic in the light.
        stretched = torch.asinh((padded - self.sky) / (2 * self.noise))
        rough = (_high_pass(images) / self.roughness).clamp(-6, 6)
        rough = functional.pad(rough, (REACH,) * 4)
        kernel = self.surroundings.weight * self.hole
        around = functional.conv2d(
            self._window(stretched, 3, row, column),
            kernel,
            self.surroundings.bias,
            stride=self.stride,
        )
        own = self._pixels(stretched, row, column)
        residuals = torch.cat([own, own], 1) - self.prediction(around)
        first = residuals[:, : own.shape[1]]
        inputs = torch.cat([stretched / 3, rough, (padded - self.sky) / self.peak], 1)
        features = self.stem(self._window(inputs, 2, row, column))
        masks = torch.sigmoid(self.masks(features) + self.mask_bias)
        filtered = self.filters(torch.cat([self._pixels(rough, row, column), first], 1))
        energies = _masked_means(masks, torch.cat([filtered, residuals], 1).square())
        levels = _masked_means(masks, torch.cat([own, first], 1))
        shape = self.shape(features)
        summary = [torch.log(energies + 1e-3), levels, shape.mean((2, 3)), shape.std((2, 3))]
        return self.head(torch.cat(summary, 1))[:, 0], first

    def _window(self, padded: Tensor, radius: int, row: int, column: int) -> Tensor:
        """Cut what a kernel of a radius needs to be centred on the pixels of the grid."""
        top, left = REACH - radius + row, REACH - radius + column
        height, width = ((n - 1) * self.stride + 1 + 2 * radius for n in self.grid)
        return padded[:, :, top : top + height, left : left + width]

    def _pixels(self, padded: Tensor, row: int, column: int) -> Tensor:
        return self._window(padded, 0, row, column)[:, :, :: self.stride, :: self.stride]


def _high_pass(images: Tensor) -> Tensor:
    """Return what differs from a plane through the 3 x 3 neighbours, edges mirrored."""
    num_channels = images.shape[1]
    kernel = torch.tensor(HIGH_PASS).expand(num_channels, 1, 3, 3)
    padded = functional.pad(images, (1, 1, 1, 1), mode="reflect")
    return functional.conv2d(padded, kernel, groups=num_channels)


def _masked_means(masks: Tensor, values: Tensor) -> Tensor:
    """Return the mean of each of E values under each of K masks, shape ``(B, K * E)``."""
    weights = masks.flatten(2)
    sums = weights @ values.flatten(2).mT
    return (sums / (weights.sum(2, keepdim=True) + 1)).flatten(1)
