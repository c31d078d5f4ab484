"""Whether a model is told the image of the smooth lens, and how far its training images lie from it."""

from dataclasses import replace
from typing import cast

import numpy as np
import torch

from gravlensdiffusion.config.instrument import Camera
from gravlensdiffusion.config.model import ModelConfig
from gravlensdiffusion.config.network import (
    LensEquationConfig,
    NetworkConfig,
    SmoothLensConfig,
    UNetConfig,
)
from gravlensdiffusion.config.training import TrainingConfig
from gravlensdiffusion.model.expectation import Expectation
from gravlensdiffusion.model.transform import Transform
from gravlensdiffusion.nn.lens_equation import ABSENT
from gravlensdiffusion.sets.images import drawn_rows
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.sets.training_set import TrainingSet

NUM_SPREAD, BATCH = 1024, 64
"""Images on which it is measured how far they lie from that of the smooth lens, and how many at a time."""
LEAST_SPREAD = 1e-4
"""Distance from that image that counts as the least [model units]."""
MAX_LEVELS, LEAST_COUNT = 64, 100
"""Brightnesses at which that is measured, and pixels that a brightness needs."""
DARK = 0.05
"""Brightness below which pixels count as dark [steps]: from there on, the distance grows with the light."""


def with_lens_equation(
    config: TrainingConfig, source: LensSet, pixel_scale: float | None
) -> NetworkConfig:
    """Fill in what the channels of the lens equation take from the data; see `nn.lens_equation`."""
    network, learned = config.model.network, config.parameters
    if not isinstance(network, UNetConfig) or network.lens_equation is None:
        return network
    if config.model.parameters:
        # They are kept, and with them what the model takes for the others.
        return network
    if pixel_scale is None or "theta_E" not in learned:
        return replace(network, lens_equation=None)
    stored = {name: source.parameters[name] for name in ABSENT if name in source.parameters}
    values = {
        name: float(np.nanmedian(column))
        for name, column in stored.items()
        if name not in learned and np.isfinite(column).any()
    }
    smooth = network.lens_equation.smooth and _smooth_lens(source)
    lens_equation = replace(
        network.lens_equation, pixel_scale_arcsec=pixel_scale, values=values, smooth=smooth
    )
    return replace(network, lens_equation=lens_equation)


def _smooth_lens(source: LensSet) -> SmoothLensConfig | None:
    """Return how the instrument of a set sees a smooth lens; None where there is more to be seen."""
    simulation = source.header.simulation
    if simulation is None or source.header.flux_unit != "e-/s":
        return None
    imaging = simulation.imaging
    camera = imaging.instrument
    is_smooth = simulation.lens.light is None and simulation.source.light.structure is None
    if not isinstance(camera, Camera) or camera.psf_fwhm is None or imaging.supersampling > 1:
        return None
    if not is_smooth or simulation.neighbours or not all(c.lensed for c in simulation.classes):
        return None
    return SmoothLensConfig(
        num_pixels=imaging.num_pixels, psf_fwhm_arcsec=camera.psf_fwhm, zero_point=camera.zero_point
    )


def with_spread(
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
