"""From flux to what the network sees, and back; and what a model expects to see of the smooth lens."""

from collections.abc import Iterable
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.config.instrument import ObservationConfig
from gravlensdiffusion.config.model import ModelConfig, TransformConfig
from gravlensdiffusion.config.network import BRIGHTNESS_STEP, LensEquationConfig, UNetConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.nn.lens_equation import LensEquation, SmoothLens
from gravlensdiffusion.sets.flux import weights
from gravlensdiffusion.sets.images import drawn_rows
from gravlensdiffusion.sets.training_set import TrainingSet

NUM_QUANTILE_PIXELS = 2_000_000
"""Pixels kept for the quantiles when a transform is fitted."""
MEDIAN_OF_NORMAL = 0.6745
"""Median of the absolute value of a standard normal number."""
NUM_SPREAD, BATCH = 1024, 64
"""Images on which it is measured how far they lie from that of the smooth lens, and how many at a time."""
LEAST_SPREAD = 1e-4
"""Distance from that image that counts as the least [model units]."""
MAX_LEVELS, LEAST_COUNT = 64, 100
"""Brightnesses at which that is measured, and pixels that a brightness needs."""
DARK = 0.05
"""Brightness below which pixels count as dark [steps]: from there on, the distance grows with the light."""


class Transform(nn.Module):
    """A pixel-wise map of flux, the mean image taken off, scaled to unit variance.

    ``linear``: ``z = (flux - offset) / scale``; ``asinh``: ``z = asinh((flux - offset) / scale)``;
    ``peak``: ``z`` is the image brought to [0, 1]. Then ``x = gain (z - mean)``.

    Args:
        config: The kind and its constants; ``gain`` must be set.
        mean: Mean of ``z`` over the training set, shape ``(C, H, W)``.
    """

    mean: Tensor

    def __init__(self, config: TransformConfig, mean: Tensor) -> None:
        super().__init__()
        if config.gain == 0:
            raise GravLensError("the transform has no gain yet: it must be fitted to data first")
        self.config = config
        self.register_buffer("mean", mean)

    def forward(self, flux: Tensor) -> Tensor:
        """Map flux ``(B, C, H, W)`` to model space, same shape."""
        return (stretch(self.config, flux) - self.mean) * self.config.gain

    def inverse(self, x: Tensor) -> Tensor:
        """Map model space ``(B, C, H, W)`` back to flux; ``peak`` gives peak-scaled images."""
        z = x / self.config.gain + self.mean
        if self.config.kind == "peak":
            return z
        if self.config.kind == "asinh":
            z = torch.sinh(z)
        return z * self.config.scale + self.config.offset

    def noise_level(self, batches: Iterable[NDArray[np.float32]]) -> float:
        """Estimate the standard deviation of white noise, the median over images [model units].

        Second differences along both axes, ``[1, -2, 1]`` times its transpose, take away whatever is
        smooth and leave six times the noise. Half of the pixels of an image may hold anything else.

        Args:
            batches: Flux, each of shape ``(B, C, H, W)`` with H and W of 3 at least.

        References:
            Immerkaer 1996, Fast noise variance estimation (with a median in place of the mean).
        """
        found = []
        for batch in batches:
            x = self(torch.from_numpy(batch)).double()
            left = x.diff(n=2, dim=-1).diff(n=2, dim=-2)
            found.append(left.abs().flatten(1).median(dim=1).values)
        return float(torch.cat(found).median()) / MEDIAN_OF_NORMAL / 6


def stretch(config: TransformConfig, flux: Tensor) -> Tensor:
    """Apply the pixel-wise part of the transform to ``(B, C, H, W)``."""
    if config.kind == "peak":
        low, high = flux.amin((1, 2, 3), keepdim=True), flux.amax((1, 2, 3), keepdim=True)
        return (flux - low) / (high - low).clamp_min(torch.finfo(flux.dtype).tiny)
    z = (flux - config.offset) / config.scale
    return torch.asinh(z) if config.kind == "asinh" else z


def fit_transform(
    config: TransformConfig, batches: Iterable[NDArray[np.float32]], image_shape: tuple[int, ...]
) -> Transform:
    """Measure what the configuration leaves open on a training set.

    With ``fit``, ``asinh`` gets the 10% quantile of the pixels as its offset, and as its scale five
    times the distance from there to the median: about six times the sky noise where most pixels are
    sky, so that the sky stays linear. ``linear`` needs no constants beside mean image and gain.

    Args:
        config: The transform; ``gain`` 0 and ``fit`` mark what is measured.
        batches: Flux, each of shape ``(B, C, H, W)``; read twice, so not an iterator.
        image_shape: ``(C, H, W)``.

    Raises:
        GravLensError: If the set has no spread, or leaves the bounds of the transform.
    """
    if config.bounds is not None:
        _check_bounds(batches, config.bounds)
    if config.fit and config.kind == "asinh":
        low, middle = _quantiles(batches, (0.1, 0.5))
        if not middle > low:
            raise GravLensError(
                "the faint half of the pixels has no spread, so that there is no noise for asinh "
                "to follow; use `transform` linear"
            )
        config = replace(config, offset=low, scale=5 * (middle - low))
    config = replace(config, fit=False)
    total = torch.zeros(image_shape, dtype=torch.float64)
    squares = torch.zeros(image_shape, dtype=torch.float64)
    count = 0
    for batch in batches:
        z = stretch(config, torch.from_numpy(batch).double())
        total += z.sum(0)
        squares += z.square().sum(0)
        count += len(z)
    mean = total / count
    if config.gain == 0:
        spread = (squares / count - mean.square()).mean().clamp_min(0).sqrt().item()
        # Copies of one image leave what rounding makes of the difference.
        if not spread > 1e-6 * (squares / count).mean().sqrt().item():
            raise GravLensError("the training images are all the same")
        config = replace(config, gain=1 / spread)
    if config.centre == "none":
        mean = torch.zeros_like(mean)
    return Transform(config, mean.float())


def _check_bounds(batches: Iterable[NDArray[np.float32]], bounds: tuple[float, float]) -> None:
    low = min(float(batch.min()) for batch in batches)
    high = max(float(batch.max()) for batch in batches)
    margin = 1e-3 * (bounds[1] - bounds[0])
    if low < bounds[0] - margin or high > bounds[1] + margin:
        raise GravLensError(
            f"this preset takes images from {bounds[0]:g} to {bounds[1]:g}, these run from {low:g} "
            f"to {high:g}; scale them with `transform` linear, asinh or peak, or use preset cutouts28"
        )


def _quantiles(
    batches: Iterable[NDArray[np.float32]], levels: tuple[float, ...]
) -> tuple[float, ...]:
    kept: list[NDArray[np.float32]] = []
    stride, size = 1, 0
    for k, batch in enumerate(batches):
        # Another start in each batch: rows of as many pixels as the step would give one column alone.
        kept.append(batch.ravel()[k % stride :: stride])
        size += len(kept[-1])
        if size > 2 * NUM_QUANTILE_PIXELS:
            kept, stride = [part[::2] for part in kept], 2 * stride
            size = sum(len(part) for part in kept)
    return tuple(float(value) for value in np.quantile(np.concatenate(kept), levels))


class Expectation(nn.Module):
    """What images are expected to be: that of the smooth lens where all of it is given, else the mean image.

    Args:
        smooth: The image of the smooth lens.
        transform: Flux to model space.
        spread: Standard deviation of the images about it; see `SmoothLensConfig`.
    """

    spread: Tensor

    def __init__(
        self, smooth: SmoothLens, transform: Transform, spread: float | tuple[float, ...]
    ) -> None:
        super().__init__()
        self.smooth = smooth
        self._transform = (transform,)  # the model's own, which stands in its state dict once
        known = torch.tensor(spread, dtype=torch.float32).reshape(-1)
        self.register_buffer("spread", known, persistent=False)
        self._last: tuple[Tensor, Tensor, Tensor] | None = None

    @staticmethod
    def of(config: ModelConfig, transform: Transform) -> "Expectation | None":
        """Return that of a model; None where it has no smooth lens."""
        network = config.network
        equation = network.lens_equation if isinstance(network, UNetConfig) else None
        if equation is None or equation.smooth is None or not equation.smooth.num_pixels:
            return None
        num = equation.smooth.num_pixels
        rows = weights(num, config.image_size, config.resize or "area") * (num / config.image_size)
        smooth = SmoothLens(
            LensEquation(config.parameters, equation), equation, torch.from_numpy(rows)
        )
        return Expectation(smooth, transform, equation.smooth.spread)

    def forward(self, condition: Condition | None, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of images; see `diffusion.denoise.Expected`."""
        parameters = None if condition is None else condition.parameters
        if parameters is None:
            return torch.zeros_like(like), like.new_ones(len(like), 1, 1, 1)
        # The steps of a trajectory ask for the same parameters again and again.
        last = self._last  # another thread may put its own there
        if last is None or not _are_same(last[0], parameters):
            last = (parameters.clone(), *self.of_parameters(parameters, like))
            self._last = last
        return last[1].to(like), last[2].to(like)

    @torch.no_grad()
    def of_parameters(self, parameters: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of images of parameters of shape ``(B, P)``."""
        is_given = self.smooth.equation.are_given(parameters)[:, None, None, None]
        flux, transform = self.smooth(parameters), self._transform[0]
        below, above, share = self.levels(flux, len(self.spread))
        std = torch.lerp(self.spread[below], self.spread[above], share.to(self.spread))
        mean = torch.where(is_given, transform(flux), 0.0)
        return mean.to(like), torch.where(is_given, std, 1.0).to(like)

    def levels(self, flux: Tensor, num: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return which of `num` brightnesses lie below and above each pixel, and its place between them, 0 to 1."""
        brightness = stretch(self._transform[0].config, flux) / BRIGHTNESS_STEP
        brightness = brightness.clamp(0, num - 1)
        below = brightness.long()
        return below, (below + 1).clamp(max=num - 1), brightness - below

    @torch.no_grad()
    def signal_to_noise(self, parameters: Tensor, observation: ObservationConfig) -> Tensor:
        """Return the signal-to-noise ratio of smooth lenses of parameters ``(B, P)``, shape ``(B,)``.

        That of a whole image, each pixel weighted at its best, as `simulate` stores it.
        """
        flux = self.smooth.native(parameters)
        variance = torch.full_like(flux, observation.background_rms**2)
        if observation.exposure_time is not None:
            variance = variance + flux / observation.exposure_time
        return (flux.square() / variance).sum(dim=(1, 2)).sqrt()


def _are_same(first: Tensor, second: Tensor) -> bool:
    """Whether parameters are the same, those that are not given too."""
    if first.shape != second.shape or first.device != second.device:
        return False
    return bool(((first == second) | (first.isnan() & second.isnan())).all())


def fit_spread(
    config: ModelConfig, data: TrainingSet, transform: Transform, *, keeps: bool
) -> ModelConfig:
    """Measure how far images lie from that of the smooth lens; without it where it tells nothing.

    What an adapted model `keeps` of the images that it draws stays.
    """
    expected = Expectation.of(config, transform)
    if expected is None or keeps:
        return config
    squares, counts = np.zeros(MAX_LEVELS), np.zeros(MAX_LEVELS)
    for numbers in np.array_split(drawn_rows(len(data), NUM_SPREAD), NUM_SPREAD // BATCH):
        x = transform(torch.from_numpy(data.images.read(numbers)))
        given = torch.from_numpy(data.parameters[numbers])
        is_given = expected.smooth.equation.are_given(given)
        mean, _ = expected.of_parameters(given, x)
        square = (x - mean)[is_given].double().square().numpy().ravel()
        below, above, share = (
            each[is_given].numpy().ravel()
            for each in expected.levels(expected.smooth(given).expand_as(x), MAX_LEVELS)
        )
        for level, away in ((below, share), (above, 1 - share)):
            weight = np.where((level > 0) | (away < DARK), 1 - away, 0)
            squares += np.bincount(level, weight * square, MAX_LEVELS)
            counts += np.bincount(level, weight, MAX_LEVELS)
    network = cast("UNetConfig", config.network)
    equation = cast("LensEquationConfig", network.lens_equation)
    is_nearer = squares.sum() < counts.sum()
    num = int(np.cumprod(counts > LEAST_COUNT).sum())  # those before the first that has too few
    spread = tuple(np.sqrt(squares[:num] / counts[:num]).clip(LEAST_SPREAD).round(5).tolist())
    kept = (
        equation.smooth and replace(equation.smooth, spread=spread) if is_nearer and num else None
    )
    return replace(config, network=replace(network, lens_equation=replace(equation, smooth=kept)))
