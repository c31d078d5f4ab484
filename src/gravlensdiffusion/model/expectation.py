"""What a model expects of the images of a condition: the smooth lens, where all of it is given."""

from dataclasses import replace
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.config.instrument import ObservationConfig
from gravlensdiffusion.config.model import ModelConfig
from gravlensdiffusion.config.network import BRIGHTNESS_STEP, LensEquationConfig, UNetConfig
from gravlensdiffusion.model.transform import Transform, stretch
from gravlensdiffusion.nn.lens_equation import LensEquation, SmoothLens
from gravlensdiffusion.sets.flux import weights
from gravlensdiffusion.sets.images import drawn_rows
from gravlensdiffusion.sets.training_set import TrainingSet

NUM_SPREAD, BATCH = 1024, 64
"""Images on which it is measured how far they lie from that of the smooth lens, and how many at a time."""
LEAST_SPREAD = 1e-4
"""Distance from that image that counts as the least [model units]."""
MAX_LEVELS, LEAST_COUNT = 64, 100
"""Brightnesses at which that is measured, and pixels that a brightness needs."""
DARK = 0.05
"""Brightness below which pixels count as dark [steps]: from there on, the distance grows with the light."""


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
