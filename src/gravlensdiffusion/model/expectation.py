"""What a model expects of the images of a condition: the smooth lens, where all of it is given."""

from dataclasses import replace
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.config.bounds import UNLABELLED
from gravlensdiffusion.config.instrument import ObservationConfig
from gravlensdiffusion.config.model import ModelConfig
from gravlensdiffusion.config.network import (
    BRIGHTNESS_STEP,
    LensEquationConfig,
    SmoothLensConfig,
    UNetConfig,
)
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
SHARE_BELOW = 0.99
"""Share of images whose brightest pixel shows how bright one can be; the rest are held to it."""
DARK = 0.05
"""Brightness below which pixels count as dark [steps]: from there on, the distance grows with the light."""


class Expectation(nn.Module):
    """What images are expected to be: that of the smooth lens where all of it is given, else the mean image.

    Args:
        smooth: The image of the smooth lens.
        transform: Flux to model space.
        spread: Standard deviation of the images about it, of any class and of each in turn, shape
            ``(1 + classes, brightnesses)``; see `SmoothLensConfig`.
        brightest: Brightest pixel of an image, in units of the brightest of the smooth lens; 0 for any.
    """

    spread: Tensor

    def __init__(
        self, smooth: SmoothLens, transform: Transform, spread: Tensor, brightest: float = 0.0
    ) -> None:
        super().__init__()
        self.smooth, self._brightest = smooth, brightest
        self._transform = (transform,)  # the model's own, which stands in its state dict once
        self.register_buffer("spread", spread, persistent=False)
        self._last: tuple[Condition, Tensor, Tensor, Tensor | None] | None = None

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
        known = equation.smooth
        everywhere = known.spread if isinstance(known.spread, tuple) else (known.spread,)
        spread = [everywhere, *(known.class_spread.get(c, everywhere) for c in config.class_names)]
        rows_of_spread = torch.tensor(spread, dtype=torch.float32)
        return Expectation(smooth, transform, rows_of_spread, known.brightest)

    def forward(
        self, condition: Condition | None, like: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return mean, standard deviation and limit of images; see `diffusion.denoise.Expected`."""
        if condition is None or condition.parameters is None:
            return torch.zeros_like(like), like.new_ones(len(like), 1, 1, 1), None
        # The steps of a trajectory ask for the same condition again and again.
        last = self._last  # another thread may put its own there
        if last is None or not _are_same(last[0], condition):
            label, parameters = condition.label.clone(), condition.parameters.clone()
            own = Condition(label=label, parameters=parameters)
            last = (own, *self._of_parameters(label, parameters, like))
            self._last = last
        mean, std, greatest = last[1:]
        return mean.to(like), std.to(like), None if greatest is None else greatest.to(like)

    @torch.no_grad()
    def _of_parameters(
        self, label: Tensor, parameters: Tensor, like: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        is_given = self.smooth.equation.are_given(parameters)[:, None, None, None]
        flux, transform = self.smooth(parameters), self._transform[0]
        below, above, share = self.levels(flux, self.spread.shape[1])
        of_class = (label + 1).clamp(max=len(self.spread) - 1)[:, None, None, None]
        low, high = self.spread[of_class, below], self.spread[of_class, above]
        std = torch.lerp(low, high, share.to(low))
        mean = torch.where(is_given, transform(flux), 0.0)
        greatest = None
        if self._brightest:
            limit = transform((self._brightest * _brightest(flux)).expand_as(flux))
            greatest = torch.where(is_given, limit, torch.inf).to(like)
        return mean.to(like), torch.where(is_given, std, 1.0).to(like), greatest

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
            correlation = observation.sky_correlation
            shared = 1.0 if correlation is None else correlation.total
            variance = variance + flux / (observation.exposure_time * shared)
        return (flux.square() / variance).sum(dim=(1, 2)).sqrt()


def _brightest(flux: Tensor) -> Tensor:
    """Return the brightest pixel of each image, shape ``(B, 1, 1, 1)``."""
    return flux.amax(dim=(1, 2, 3), keepdim=True)


def _are_same(first: Condition, second: Condition) -> bool:
    """Whether conditions are the same, what is not given too."""
    for a, b in ((first.label, second.label), (first.parameters, second.parameters)):
        if a is None or b is None or a.shape != b.shape or a.device != b.device:
            return False
        if not bool(((a == b) | (a.isnan() & b.isnan())).all()):
            return False
    return True


def fit_spread(
    config: ModelConfig, data: TrainingSet, transform: Transform, *, keeps: bool
) -> ModelConfig:
    """Measure how far images lie from that of the smooth lens; without it where it tells nothing.

    What an adapted model `keeps` of the images that it draws stays, but for the limit of their brightness:
    the images that it learns may have more light.
    """
    expected = Expectation.of(config, transform)
    if expected is None:
        return config
    network = cast("UNetConfig", config.network)
    equation = cast("LensEquationConfig", network.lens_equation)
    if keeps:
        unlimited = replace(cast("SmoothLensConfig", equation.smooth), brightest=0.0)
        return _with_smooth(config, network, equation, unlimited)
    each, num_each, brightest = _distances(expected, data, transform, config.class_names)
    every, num_every = each.sum(0), num_each.sum(0)
    num = int(np.cumprod(num_every > LEAST_COUNT).sum())  # those before the first that has too few
    kept = None
    if equation.smooth and num and every.sum() < num_every.sum():
        spread = np.sqrt(every[:num] / num_every[:num])
        squares, counts = each[1:, :num], num_each[1:, :num]
        # Where a class has too few pixels of a brightness, it has the spread of all, as much more or less.
        whole, all_like = squares.sum(1), (counts * spread**2).sum(1)
        ratio = np.divide(whole, all_like, out=np.ones(len(whole)), where=all_like > 0)[:, None]
        own = np.where(counts > LEAST_COUNT, squares / np.maximum(counts, 1), ratio * spread**2)
        rows = np.vstack([spread, np.sqrt(own)])
        first, *others = (tuple(row) for row in rows.clip(LEAST_SPREAD).round(5).tolist())
        by_name = dict(zip(config.class_names, others, strict=True))
        kept = replace(
            equation.smooth,
            spread=first,
            class_spread=by_name,
            brightest=round(brightest, 4),
        )
    return _with_smooth(config, network, equation, kept)


def _with_smooth(
    config: ModelConfig,
    network: UNetConfig,
    equation: LensEquationConfig,
    smooth: SmoothLensConfig | None,
) -> ModelConfig:
    return replace(config, network=replace(network, lens_equation=replace(equation, smooth=smooth)))


def _distances(
    expected: Expectation, data: TrainingSet, transform: Transform, names: tuple[str, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return the sum of squared distances from the smooth lens, of how many pixels it is, and the brightest.

    The first two have the shape ``(1 + classes, MAX_LEVELS)``: of images without a class, and of each class. The
    last is the brightest pixel of an image, in units of the brightest of its smooth lens; 0 where none is known.
    """
    ratios: list[float] = []
    squares = np.zeros((1 + len(names)) * MAX_LEVELS)
    counts = np.zeros_like(squares)
    for numbers in np.array_split(drawn_rows(len(data), NUM_SPREAD), NUM_SPREAD // BATCH):
        images = torch.from_numpy(data.images.read(numbers))
        x = transform(images)
        given = torch.from_numpy(data.parameters[numbers])
        label = torch.from_numpy(data.labels[numbers]) if names else torch.tensor(UNLABELLED)
        label = label.expand(len(given))
        mean, _, _ = expected(Condition(label=label, parameters=given), x)
        smooth = expected.smooth(given)
        below, above, share = expected.levels(smooth, MAX_LEVELS)
        of_class = ((label + 1) * MAX_LEVELS)[:, None, None, None]
        is_given = expected.smooth.equation.are_given(given)
        ratios += (_brightest(images) / _brightest(smooth))[is_given].flatten().tolist()
        square = (x - mean).double().square()
        for level, away in ((below, share), (above, 1 - share)):
            weight = torch.where((level > 0) | (away < DARK), 1 - away, 0)
            place, num, error = (
                found.expand_as(x)[is_given].numpy().ravel()
                for found in (of_class + level, weight, weight * square)
            )
            squares += np.bincount(place, error, len(squares))
            counts += np.bincount(place, num, len(counts))
    shape = 1 + len(names), MAX_LEVELS
    brightest = float(np.quantile(ratios, SHARE_BELOW)) if ratios else 0.0
    return squares.reshape(shape), counts.reshape(shape), brightest
