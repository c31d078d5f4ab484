"""One image of a simulation: image k depends on the seed and k alone."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion import __version__
from gravlensdiffusion.codec import to_json
from gravlensdiffusion.config.simulation import LensClass, SimulationConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.flux import PEAK, bring_to_size, default_method, to_unit_range
from gravlensdiffusion.sets.records import LensRecord, SetHeader
from gravlensdiffusion.simulation import substructure
from gravlensdiffusion.simulation.gallery import Gallery
from gravlensdiffusion.simulation.instrument import PSF_UNITS, build_instrument
from gravlensdiffusion.simulation.population import (
    LENSING,
    draw_lens,
    draw_neighbours,
    draw_scene,
    draw_source,
    parameter_units,
)
from gravlensdiffusion.simulation.render import Renderer
from gravlensdiffusion.simulation.substructure import Substructure, draw_substructure, lens_geometry

BLOCK = 60
"""Images over which the mix of classes is kept to, as closely as whole images allow."""

IMAGE_UNITS = {
    "exposure_time": "s",
    "background_rms": "e-/s",
    "signal_to_noise": "",
    "flux_min": "e-/s",
    "flux_max": "e-/s",
}
"""Units of what is known of an image's noise and of its native pixels."""

_LENS, _SUBSTRUCTURE, _NOISE, _CLASS, _SCENE, _PSF, _BAD = range(7)
_NEIGHBOURS = 10


def select(
    config: SimulationConfig,
    *,
    classes: Sequence[str] | None = None,
    mix: Sequence[float] | None = None,
    size: int | None = None,
    num_pixels: int | None = None,
    noise_free: bool | None = None,
    flux_unit: Literal["peak", "e-/s"] | None = None,
) -> SimulationConfig:
    """Return a configuration with some of its classes, another mix, size or unit, or with twins; see `simulate`.

    Raises:
        GravLensError: If a class or unit is not known, or mix or size is not possible.
    """
    known = {each.name: each for each in config.classes}
    if classes is not None:
        for name in classes:
            if name not in known:
                raise GravLensError(f"unknown class '{name}'; choose from {', '.join(known)}")
        weights = tuple(mix) if mix is not None else (1.0,) * len(classes)
        config = replace(config, classes=tuple(known[name] for name in classes), mix=weights)
    elif mix is not None:
        config = replace(config, mix=tuple(mix))
    if flux_unit not in (None, "peak", "e-/s"):
        raise GravLensError(f"unknown flux unit '{flux_unit}'; choose from peak, e-/s")
    asked: dict[str, Any] = {
        "num_pixels": num_pixels,
        "size": size,
        "noise_free_twin": noise_free,
        "flux_unit": flux_unit,
    }
    changes = {name: value for name, value in asked.items() if value is not None}
    return replace(config, imaging=replace(config.imaging, **changes))


def simulate_one(
    config: SimulationConfig, seed: int, index: int, gallery: Gallery | None = None
) -> LensRecord:
    """Simulate image number ``index`` of the set with a seed; see `SimulatedSet`."""
    label = int(labels_of(config, seed, range(index, index + 1))[0])
    chosen = config.classes[label]
    renderer = Renderer(config.cosmology, config.imaging)
    values, clumps = _draw_truth(config, chosen, seed, index)
    values |= renderer.instrument.draw_psf(_generator(seed, index, _PSF))
    clean = renderer.image(values, clumps, gallery)
    noise_rng = _generator(seed, index, _NOISE)
    noise = renderer.instrument.draw_noise_level(noise_rng)
    noisy = renderer.instrument.observe(clean, noise, noise_rng)
    noisy, spoilt = renderer.instrument.fill_bad_pixels(noisy, _generator(seed, index, _BAD))
    limits = float(noisy.min()), float(noisy.max())
    return LensRecord(
        image=_stored(config, noisy, limits),
        label=label,
        parameters=values
        | clumps.parameters
        | {
            # NaN where there is no such noise.
            "exposure_time": math.nan if noise.exposure_time is None else noise.exposure_time,
            "background_rms": noise.background_rms,
            "signal_to_noise": renderer.instrument.signal_to_noise(clean, noise),
            "flux_min": limits[0],
            "flux_max": limits[1],
        }
        | spoilt,
        subhaloes=clumps.subhaloes,
        noise_free=_stored(config, clean, limits) if config.imaging.noise_free_twin else None,
    )


def set_header(config: SimulationConfig, seed: int) -> SetHeader:
    """Return what is common to all images that `simulate` makes."""
    imaging = config.imaging
    size = imaging.size or imaging.num_pixels
    instrument = build_instrument(imaging)
    units = parameter_units(config) | substructure.UNITS | IMAGE_UNITS
    if instrument.spread is not None:
        units |= PSF_UNITS
    if instrument.camera.bad_pixels is not None:
        units |= {"bad_pixels": ""}
    return SetHeader(
        class_names=tuple(each.name for each in config.classes),
        pixel_scale_arcsec=instrument.camera.pixel_scale * imaging.num_pixels / size,
        flux_unit=imaging.flux_unit,
        preset=config.preset,
        config=to_json(config),
        seed=seed,
        parameter_units=units,
        resize=default_method(size) if size != imaging.num_pixels else None,
        software=f"gravlensdiffusion {__version__}",
    )


def _draw_truth(
    config: SimulationConfig, chosen: LensClass, seed: int, index: int
) -> tuple[dict[str, float], Substructure]:
    """Return the values of lens and galaxies of an image, and its substructure."""
    rng = _generator(seed, index, _LENS)
    values = draw_lens(config.lens, rng) | draw_source(config.source, rng)
    clumps = draw_substructure(
        chosen.substructure,
        values["theta_E"],
        lens_geometry(config.cosmology),
        _generator(seed, index, _SUBSTRUCTURE),
    )
    if chosen.scenes:
        values = draw_scene(chosen.scenes, values, _generator(seed, index, _SCENE))
        clumps = Substructure(parameters=dict.fromkeys(substructure.UNITS, math.nan))
    elif not chosen.lensed:
        values |= dict.fromkeys(LENSING, math.nan)
    values |= draw_neighbours(config.neighbours, _generator(seed, index, _NEIGHBOURS))
    return dict.fromkeys(parameter_units(config), math.nan) | values, clumps


def _stored(
    config: SimulationConfig, native: NDArray[np.float64], limits: tuple[float, float]
) -> NDArray[np.float32]:
    """Bring a native image ``(H, W)`` [e- / s] to its stored unit and size, ``(1, size, size)``.

    The fluxes ``limits`` [e- / s] become 0 and 1 where the unit is ``peak``.
    """
    imaging = config.imaging
    size = imaging.size or imaging.num_pixels
    image: NDArray[np.floating] = native[None]
    if imaging.flux_unit == PEAK:
        # Empty sky without noise is the only flat image.
        image = to_unit_range(image, *limits)
    if size != imaging.num_pixels:
        image = bring_to_size(image, size, default_method(size), imaging.flux_unit)
    return image.astype(np.float32)


def labels_of(config: SimulationConfig, seed: int, numbers: range) -> NDArray[np.int16]:
    """Return the class of each image, shape ``(N,)``; the numbers follow one another.

    The images of a block take their quantile from a shuffled ladder with one step each, so that a
    set keeps to the mix much closer than independent draws would.
    """
    shares = np.cumsum(config.mix) / np.sum(config.mix)
    first = numbers.start // BLOCK
    quantiles = []
    for block in range(first, (numbers.stop - 1) // BLOCK + 1):
        rng = _generator(seed, block, _CLASS)
        step = rng.permutation(BLOCK)
        quantiles.append((step + rng.uniform(size=BLOCK)) / BLOCK)
    places = np.concatenate(quantiles)[numbers.start - first * BLOCK :][: len(numbers)]
    return np.searchsorted(shares[:-1], places, side="right").astype(np.int16)


def _generator(seed: int, index: int, stream: int) -> np.random.Generator:
    return np.random.Generator(
        np.random.Philox(np.random.SeedSequence(seed, spawn_key=(index, stream)))
    )
