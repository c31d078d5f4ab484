"""What a model takes from its training images: their size and scale, parameters, noise."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
import torch

from gravlensdiffusion.config.bounds import Resize
from gravlensdiffusion.config.instrument import Camera, NoiseLevel, ObservationConfig
from gravlensdiffusion.config.model import ModelConfig, ParameterConfig
from gravlensdiffusion.config.network import NetworkConfig, SmoothLensConfig, UNetConfig
from gravlensdiffusion.config.training import TrainingConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.metrics.sky import measure_sky
from gravlensdiffusion.model.build import Model, build_model
from gravlensdiffusion.model.expectation import fit_spread
from gravlensdiffusion.model.transform import Transform, fit_transform, stretch
from gravlensdiffusion.nn.lens_equation import ABSENT
from gravlensdiffusion.presets.parameters import LOGARITHMIC
from gravlensdiffusion.sets.flux import default_method
from gravlensdiffusion.sets.images import drawn_rows, evenly_spread
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.sets.training_set import TrainingSet, prepare
from gravlensdiffusion.simulation.population import prior_bounds
from gravlensdiffusion.training.batches import FreshSet

MAX_DEPTHS = 64
"""Images whose noise goes with the weights, where images differ in it."""
PRIOR_SIZE = 12288
"""Training images whose class and parameters go with the weights, at most."""
SIMULATED_MORE = 3
"""How many times the images of a set without an end are asked for their class and parameters."""
NEAR = 0.05
"""Distance from the end of a prior, in units of its width, at which values are taken to reach it."""


def prepare_data(
    config: TrainingConfig,
    source: LensSet,
    folder: Path,
    *,
    writes: bool = True,
    keeps: bool = True,
) -> TrainingSet:
    """Resize the training set, or find it resized in a run directory; see `sets.training_set.prepare`."""
    size = source.image_shape[1] if config.size is None else config.size
    if config.noise == "split":
        if size != source.image_shape[1]:
            raise GravLensError(
                f"noise 'split' trains at the size of its set, {source.image_shape[1]} pixels, "
                f"not at {size}; make the set with `gravlens simulate`, `size` {size}"
            )
        source = noise_free_twins(source)
    known = config.model.parameters
    data = prepare(
        source,
        folder / "prepared",
        size,
        config.resize or default_method(size),
        parameters=config.parameters,
        may_lack=bool(known),
        writes=writes,
        keeps=keeps,
    )
    if not known:
        return data
    bounds, units = np.array([each.bounds() for each in known]), source.header.parameter_units
    is_known = (data.parameters >= bounds[:, 0]) & (data.parameters <= bounds[:, 1])
    is_known &= [units.get(each.name, "") == each.unit for each in known]
    # NaN where the model does not know such a value.
    return replace(data, parameters=np.where(is_known, data.parameters, np.nan))


def fresh_model(
    config: TrainingConfig, source: LensSet, data: TrainingSet, num_different: int
) -> Model:
    """Fit the transform to the data and build a model with fresh weights."""
    transform = fit_transform(config.model.transform, data.images.blocks(), data.images.shape[1:])
    found = _complete(config, source, data, transform.config, num_different)
    if config.noise == "carried":
        # White noise goes past the network. The lowest level of sampling is a fifth of it or less, so
        # that 98% of it or more, 1 / sqrt(1 + (sigma_min / noise)^2), is left in the last estimate.
        noise, schedule = transform.noise_level(data.images.blocks()), found.schedule
        if noise:
            schedule = replace(schedule, sigma_min=min(schedule.sigma_min, noise / 5))
        found = replace(found, schedule=schedule, denoiser=replace(found.denoiser, noise=noise))
    if config.noise == "removed":
        noise = _sky_noise(data, transform)
        found = replace(found, denoiser=replace(found.denoiser, noise=noise, keeps_noise=False))
    found = fit_spread(found, data, transform, keeps=bool(config.model.parameters))
    prior = None
    if found.prior_size and not config.model.prior_size:
        num = found.prior_size
        some = drawn_rows(len(data), num, config.seed)
        rows = np.column_stack([data.labels[some], data.parameters[some]])
        if isinstance(source, FreshSet):
            more = source.conditions(range(len(rows), num), config.parameters)
            rows = np.concatenate([rows, more])
        prior = torch.from_numpy(rows.astype(np.float32))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return build_model(found, transform, prior)


def _sky_noise(data: TrainingSet, transform: Transform) -> float:
    """Return the median standard deviation of the sky's noise [model units]."""
    found = []
    for images in data.images.blocks():
        sky = measure_sky(images[:, 0])
        ends = np.stack([sky.level + sky.rms, sky.level - sky.rms])
        # The mean image moves both ends alike.
        high, low = stretch(transform.config, torch.from_numpy(ends)).numpy()
        found.append(transform.config.gain * (high - low) / 2)
    return float(np.median(np.concatenate(found)))


def _complete(
    config: TrainingConfig, source: LensSet, data: TrainingSet, transform: Any, num_different: int
) -> ModelConfig:
    """Fill in what the model's configuration takes from the data."""
    channels, size = data.images.shape[1], data.images.shape[-1]
    header = source.resized(size, config.resize).header
    names = header.class_names if config.conditional else ()
    num_made = int(source.is_generated.sum())
    made = f", {num_made:,} of them generated" if num_made else ""
    different = f", {num_different:,} of them different" if num_different < len(data) else ""
    num_held_out = len(source) - len(data)
    held_out = f" ({num_held_out:,} more held out)" if num_held_out else ""
    kind = f"preset {header.preset}, seed {header.seed}" if header.preset else "images given"
    images = f"{len(data):,} images{held_out}{different}{made}"
    if isinstance(source, FreshSet):
        images = "images simulated on the way"
    pixel_scale, flux_unit = header.pixel_scale_arcsec, header.flux_unit
    observation = observation_of(source) if config.noise == "split" else None
    learned: dict[str, Any] = {}
    resize = header.resize
    if config.noise == "removed":
        known = config.model
        pixel_scale, flux_unit = known.pixel_scale_arcsec, known.flux_unit
        observation = known.observation
        resize = known.observation.resize if known.observation else None
    if config.parameters and not config.model.parameters:
        num = len(data) * (SIMULATED_MORE if isinstance(source, FreshSet) else 1)
        learned = {
            "parameters": _learned_parameters(config.parameters, source, data),
            "prior_size": min(num, PRIOR_SIZE),
            "prior_draws": "density",
        }
    return replace(
        config.model,
        network=_with_lens_equation(config, source, pixel_scale),
        image_size=size,
        num_channels=channels,
        class_names=names,
        **learned,
        pixel_scale_arcsec=pixel_scale,
        flux_unit="peak" if transform.kind == "peak" else flux_unit,
        resize=resize,
        training_data=f"{images}, {kind}",
        observation=observation,
        transform=transform,
    )


def _with_lens_equation(
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


def _learned_parameters(
    names: Sequence[str], source: LensSet, data: TrainingSet
) -> tuple[ParameterConfig, ...]:
    """Return the parameters with the ranges that they have in the training set.

    Where that was simulated, an end that it nearly reaches is the end of the prior.
    """
    simulation = source.header.simulation
    priors = {} if simulation is None else prior_bounds(simulation)
    found = []
    for name, values in zip(names, data.parameters.T, strict=True):
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        if not low < high:
            raise GravLensError(f"parameter '{name}' is {low:g} in all training images")
        first, last = priors.get(name, (math.nan, math.nan))
        near = NEAR * (last - first)
        if math.isfinite(near):
            low = first if 0 <= low - first <= near else low
            high = last if 0 <= last - high <= near else high
        scale: Literal["linear", "log"] = "log" if name in LOGARITHMIC else "linear"
        unit = source.header.parameter_units.get(name, "")
        found.append(ParameterConfig(name=name, unit=unit, low=low, high=high, scale=scale))
    return tuple(found)


def noise_free_twins(source: LensSet) -> LensSet:
    """Return the noise-free twins of a set in the place of its images.

    Raises:
        GravLensError: If the set has no noise-free twins, or another flux unit.
    """
    if not source.has_noise_free:
        raise GravLensError(
            "noise 'split' needs a training set with noise-free images, as "
            "`gravlens simulate` with `noise_free` and `flux_unit` e-/s makes them"
        )
    if source.header.flux_unit != "e-/s":
        raise GravLensError(
            f"noise 'split' needs images in e-/s, these are in {source.header.flux_unit}; "
            "make them with `gravlens simulate`, `flux_unit` e-/s"
        )
    return source.twins()


def observation_of(source: LensSet) -> ObservationConfig:
    """Return the noise that a simulated set was made with; where images differ, medians and a sample.

    Raises:
        GravLensError: If the set does not say how it was simulated.
    """
    values = source.parameters
    header = source.header
    simulation = header.simulation
    if simulation is None or "background_rms" not in values:
        raise GravLensError("noise 'split' needs a training set that `gravlens simulate` made")
    if header.resize is not None and header.resize not in get_args(Resize):
        raise GravLensError(f"the training set went through an unknown resize, '{header.resize}'")
    rms = values["background_rms"]
    times = values.get("exposure_time", np.full(len(source), np.nan))
    finite = times[np.isfinite(times)]
    chosen = np.argsort(rms, kind="stable")[evenly_spread(len(rms), MAX_DEPTHS)]
    return ObservationConfig(
        num_pixels=simulation.imaging.num_pixels,
        background_rms=float(np.median(rms)),
        exposure_time=float(np.median(finite)) if len(finite) else None,
        resize=cast("Resize | None", header.resize),
        sky_correlation=simulation.imaging.sky_correlation,
        depths=tuple(
            NoiseLevel(
                background_rms=float(rms[k]),
                exposure_time=float(times[k]) if np.isfinite(times[k]) else None,
            )
            for k in (chosen if np.ptp(rms) else ())
        ),
    )
