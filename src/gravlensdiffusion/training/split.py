"""Learning lenses without noise: the noise-free twins of a set, and the noise to add afterwards."""

from typing import cast, get_args

import numpy as np

from gravlensdiffusion.codec import from_json
from gravlensdiffusion.config.model import ObservationConfig, Resize
from gravlensdiffusion.config.simulation import SimulationConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.sets.records import SetHeader

UNIT = "e-/s"
"""Flux unit that the noise of an instrument is told in."""
SIMULATED = "noise 'split' needs a training set that `gravlens simulate` made"
"""What to say of a set that does not know its instrument."""


def noise_free_twins(source: LensSet) -> LensSet:
    """Return the noise-free twins of a set in the place of its images.

    Args:
        source: A set made by ``gravlens simulate`` with ``noise_free`` in e-/s.

    Raises:
        GravLensError: If the set has no noise-free twins, or another flux unit.
    """
    if not source.has_noise_free:
        raise GravLensError(
            "noise 'split' needs a training set with noise-free images, as "
            "`gravlens simulate` with `noise_free` and `flux_unit` e-/s makes them"
        )
    if source.header.flux_unit != UNIT:
        raise GravLensError(
            f"noise 'split' needs images in {UNIT}, these are in {source.header.flux_unit}; "
            "make them with `gravlens simulate`, `flux_unit` e-/s"
        )
    return source.twins()


def simulation_of(header: SetHeader) -> SimulationConfig | None:
    """Return what a set was simulated from, or None where it was not or does not say so."""
    try:
        return (
            from_json(SimulationConfig, header.config, source="the set") if header.config else None
        )
    except GravLensError:
        # That of a model, say: generated images keep their noise-free twins too.
        return None


def observation_of(source: LensSet) -> ObservationConfig:
    """Return the noise that a simulated set was made with; medians where images differ.

    Raises:
        GravLensError: If the set does not say how it was simulated.
    """
    values = source.parameters
    header = source.header
    simulation = simulation_of(header)
    if simulation is None or "background_rms" not in values:
        raise GravLensError(SIMULATED)
    if header.resize is not None and header.resize not in get_args(Resize):
        raise GravLensError(f"the training set went through an unknown resize, '{header.resize}'")
    times = values.get("exposure_time", np.empty(0))
    times = times[np.isfinite(times)]
    return ObservationConfig(
        num_pixels=simulation.imaging.num_pixels,
        background_rms=float(np.median(values["background_rms"])),
        exposure_time=float(np.median(times)) if len(times) else None,
        resize=cast("Resize | None", header.resize),
    )
