"""Adapting a trained model to a small set: the recipe that follows both."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from gravlensdiffusion.config.model import ModelConfig, ObservationConfig, TransformConfig
from gravlensdiffusion.config.training import TrainingConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.model.checkpoint import load_model
from gravlensdiffusion.presets.training import MIN_IMAGES, adaptation
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.simulation.observe import observe
from gravlensdiffusion.training.data import noise_free_twins, observation_of

Noise = Literal["learned", "split", "carried"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Adaptation:
    """How a model is adapted.

    Attributes:
        config: The recipe.
        notes: What the set made different from the model, one line each.
    """

    config: TrainingConfig
    notes: tuple[str, ...]


def adapt(init: str | Path, source: LensSet, size: int | None = None) -> Adaptation:
    """Return the recipe that adapts a model to a set.

    Network, schedule, size, kind of transform and classes follow the model. Scaling is measured on
    the set. Physical parameters are learned where the set has them. A model of noise-free images
    stays one where the set has noise-free twins; elsewhere its noise is carried past the network.

    Args:
        init: The model; see `checkpoint.load_model`.
        source: The images.
        size: Size to train at [pixel]; None for that of the model.

    Raises:
        GravLensError: If there is no such model, or the images are too small or of other channels.
    """
    known = load_model(init).config
    size = size or known.image_size
    _check_shape(known, source, size, init)
    parameters = tuple(each.name for each in known.parameters if _varies(source, each.name))
    noise, transform, notes = _noise(known, source, size, init)
    config = adaptation(known, parameters, noise)
    if transform is not None:
        config = replace(config, model=replace(config.model, transform=transform))
    names = source.header.class_names if config.conditional else ()
    notes = [*_lost(known, names, parameters, init), *notes]
    return Adaptation(config=config, notes=tuple(notes))


def check_number(config: TrainingConfig, num_images: int) -> None:
    """Refuse to hold out images of a set that is too small to adapt a model to.

    Raises:
        GravLensError: If it is.
    """
    if config.early_stopping.held_out and num_images < MIN_IMAGES:
        raise GravLensError(
            f"{num_images} different images are too few to adapt a model and hold some out, which takes "
            f"{MIN_IMAGES}; `held_out` 0 trains on all of them, for as long as `epochs` says"
        )


def _check_shape(known: ModelConfig, source: LensSet, size: int, init: str | Path) -> None:
    channels, height, width = source.image_shape
    if channels != known.num_channels:
        raise GravLensError(f"the images have {channels} channels, {init} has {known.num_channels}")
    side, patch = min(height, width), getattr(known.network, "patch", 1)
    if side < size:
        raise GravLensError(
            f"the images have {side} pixels a side, fewer than the {size} to train at; start from "
            f"a model of smaller images than {init}, or give `size` {side - side % patch}"
        )


def _lost(
    known: ModelConfig, classes: Sequence[str], parameters: Sequence[str], init: str | Path
) -> list[str]:
    """Say what the model can be asked for and the adapted one cannot."""
    notes = []
    for what, here, there in (
        ("classes", classes, known.class_names),
        ("parameters", parameters, tuple(each.name for each in known.parameters)),
    ):
        lost = [name for name in there if name not in here]
        if lost:
            notes.append(f"{what} of {init} that your images lack are lost: {', '.join(lost)}")
    return notes


def _varies(source: LensSet, name: str) -> bool:
    values = source.parameters.get(name, np.empty(0))
    values = values[np.isfinite(values)]
    return len(values) > 0 and bool(values.min() < values.max())


def _noise(
    known: ModelConfig, source: LensSet, size: int, init: str | Path
) -> tuple[Noise, TransformConfig | None, list[str]]:
    """Return what is done about noise, the transform if it is known, and what to say of it."""
    if known.observation is None:
        return ("carried" if known.denoiser.noise else "learned"), None, []
    found: Noise = "learned" if known.denoiser.skip else "carried"
    if source.image_shape[1] != size:
        reason = f"the set has {source.image_shape[1]} pixels a side, not {size}"
        return found, None, [_noisy(init, reason)]
    try:
        noise_free_twins(source)
        observation = observation_of(source)
    except GravLensError as error:
        return found, None, [_noisy(init, str(error))]
    # The transform is in units of the sky noise, which another instrument has more or less of.
    ratio = _sky_rms(observation, size) / _sky_rms(known.observation, known.image_size)
    scale, offset = ratio * known.transform.scale, ratio * known.transform.offset
    return "split", replace(known.transform, scale=scale, offset=offset, gain=0.0), []


def _noisy(init: str | Path, reason: str) -> str:
    return f"noise is learned with the images, unlike in {init}: {reason}"


def _sky_rms(observation: ObservationConfig, size: int) -> float:
    """Return the standard deviation of an empty image of an observation [e- / s]."""
    rng = np.random.default_rng(0)
    empty = np.zeros((1, size, size))
    return float(np.std([observe(empty, observation, rng) for _ in range(8)]))
