"""The recipe that adapts a trained model to a small set."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple, cast, get_args

import numpy as np

from gravlensdiffusion.config.bounds import UNLABELLED, Augmentation, Resize
from gravlensdiffusion.config.instrument import ObservationConfig
from gravlensdiffusion.config.model import (
    ModelConfig,
    ScheduleConfig,
    TransformConfig,
)
from gravlensdiffusion.config.network import UNetConfig
from gravlensdiffusion.config.sampling import SamplingConfig
from gravlensdiffusion.config.simulation import symmetries
from gravlensdiffusion.config.training import (
    EarlyStopping,
    EMAConfig,
    OptimiserConfig,
    TrainingConfig,
)
from gravlensdiffusion.errors import GravLensError, listed
from gravlensdiffusion.metrics.sky import MIN_SIZE, measure_sky
from gravlensdiffusion.model.checkpoint import load_model
from gravlensdiffusion.presets.simulation import learned_preset, simulation_preset
from gravlensdiffusion.sets.copies import group, sign
from gravlensdiffusion.sets.flux import is_same_scale
from gravlensdiffusion.sets.images import evenly_spread
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.simulation.observe import observe
from gravlensdiffusion.training.augment import check_names
from gravlensdiffusion.training.counters import FROM_A_MODEL
from gravlensdiffusion.training.data import noise_free_twins, observation_of

Noise = Literal["learned", "split", "carried", "removed"]

MIN_IMAGES = 200
"""Fewest images of which some can be held out when a model is adapted."""
NOISE_PER_PIXEL = 6.0
"""Noise-to-signal ratio, over the side of an image in pixels, at which not even its flux is known."""
FEW_PASSES = 90
"""How often a model that is adapted sees each of fewer images; docs/real-data.md says why no oftener."""

MODEL_FACTS = (
    *("observation", "pixel_scale_arcsec", "flux_unit"),
    *("class_names", "parameters", "prior_size", "prior_draws"),
)
"""What a model states of the images that it draws, and what it can be asked for."""
MAX_MEASURED = 256
"""Images whose sky is measured."""
SAME_SKY = 3.0
"""Factor by which the sky noise of images may differ from that of the instrument they are taken for."""


class _Adaptation(NamedTuple):
    """The recipe by which a model is adapted, lines for the user, and how many images are no copies."""

    config: TrainingConfig
    notes: tuple[str, ...]
    num_different: int

    def check(self, config: TrainingConfig) -> None:
        """Refuse to hold out images of a set that is too small to adapt a model to, by a changed recipe."""
        if config.early_stopping.held_out and self.num_different < MIN_IMAGES:
            raise GravLensError(
                f"{self.num_different} different images are too few to adapt a model and hold some "
                f"out, which takes {MIN_IMAGES}; without `held_out` all of them are trained on"
            )


def adapt(init: str | Path, source: LensSet, size: int | None = None) -> _Adaptation:
    """Return the recipe that adapts a model to a set.

    Network, schedule, size, kind of transform and classes follow the model. Scaling is measured on
    the set. Physical parameters are learned where the set has them. A model of noise-free images
    stays one where the set has noise-free twins or was taken by the model's instrument; elsewhere
    its noise is carried past the network. Of images of its instrument the model keeps scaling,
    classes and parameters, which are hidden where the set lacks them. Without a size [pixel] that of
    the model stays.

    Raises:
        GravLensError: If there is no such model, or the images are too small or of other channels.
    """
    known = load_model(init).config
    size = size or known.image_size
    _check_shape(known, source, size, init)
    noise, transform, notes = _noise(known, source, size, init)
    copies = group([sign(source.blocks())], [source.name(k) for k in range(len(source))])
    asked = tuple(each.name for each in known.parameters)
    if noise == "removed":
        parameters, augment = asked, _symmetry(known)
        notes += _kept(known, source, init)
    else:
        parameters, augment = tuple(name for name in asked if _varies(source, name)), "none"
    config = _recipe(known, parameters, noise, copies.num_different, augment)
    if transform is not None:
        config = replace(config, model=replace(config.model, transform=transform))
    if noise != "removed":
        names = source.header.class_names if config.conditional else ()
        notes = [
            *_lost("classes", known.class_names, names, init),
            *_lost("parameters", asked, parameters, init),
            *notes,
        ]
    about_copies = (copies.note,) if copies.note else ()
    return _Adaptation(config, (*about_copies, *notes), copies.num_different)


def _recipe(
    model: ModelConfig,
    parameters: tuple[str, ...],
    noise: Noise,
    num_images: int,
    augment: Augmentation,
) -> TrainingConfig:
    """Return a recipe that follows a model, of which it learns some of the physical parameters.

    Fewer than `MIN_IMAGES` images are all trained on.
    """
    is_few = num_images < MIN_IMAGES
    # A model whose scaling stays knows lenses from the start, and has less to learn than to lose.
    is_gentle = is_few and noise == "removed"
    least = 0 if is_gentle else FROM_A_MODEL
    resize = cast("Resize", model.resize) if model.resize in get_args(Resize) else None
    # Of images of its instrument the model keeps what it states, and can be asked for.
    kept = MODEL_FACTS if noise == "removed" else ()
    transform = model.transform
    if transform.bounds is None:
        kind, centre = transform.kind, transform.centre
        transform = TransformConfig(kind=kind, centre=centre, fit=kind == "asinh")
    return TrainingConfig(
        preset="adapt",
        model=ModelConfig(
            image_size=model.image_size,
            num_channels=model.num_channels,
            transform=transform,
            schedule=_schedule(model, noise),
            # What noise the images have, and what is done about it, is measured on them.
            denoiser=replace(model.denoiser, noise=0.0, keeps_noise=True),
            network=model.network,
            sampling=_sampling(model, noise),
            **{name: getattr(model, name) for name in kept},
        ),
        size=model.image_size,
        resize=resize,
        batch_size=16 if is_gentle else 32,
        total_images=max(FEW_PASSES * num_images, least) if is_few else 60_000,
        conditional=isinstance(model.network, UNetConfig),
        parameters=parameters,
        noise=noise,
        augment=augment,
        optimiser=OptimiserConfig(
            learning_rate=3e-4 if is_gentle else 1e-3, warmup_images=160 if is_gentle else 1_000
        ),
        ema=EMAConfig(halflife_images=2_000, ramp=0.2),
        early_stopping=EarlyStopping(
            held_out=0.0 if is_few else 0.1, every_images=2_000, patience=5
        ),
        checkpoint_images=10_000,
        sample_images=10_000,
    )


def _schedule(model: ModelConfig, noise: str) -> ScheduleConfig:
    """Return noise levels up to which nothing is known, where the smooth lens is known no more."""
    network, schedule = model.network, model.schedule
    equation = network.lens_equation if isinstance(network, UNetConfig) else None
    if noise == "removed" or equation is None or equation.smooth is None:
        return schedule
    return replace(schedule, sigma_max=max(schedule.sigma_max, NOISE_PER_PIXEL * model.image_size))


def _sampling(model: ModelConfig, noise: str) -> SamplingConfig:
    """Return how the adapted model draws: as its model, with more steps where noise is new."""
    is_new = noise == "carried" and model.observation is not None
    if is_new or model.sampling.few_steps:
        return SamplingConfig(sampler="dpmpp", num_steps=20, draft_steps=12, best_steps=40)
    return model.sampling


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
    source.resized(None)  # refuses images that are not square


def _lost(what: str, there: Sequence[str], here: Sequence[str], init: str | Path) -> list[str]:
    """Say what the model can be asked for and the adapted one cannot."""
    lost = [name for name in there if name not in here]
    return [f"{what} of {init} that your images lack are lost: {', '.join(lost)}"] if lost else []


def _kept(known: ModelConfig, source: LensSet, init: str | Path) -> list[str]:
    """Say what stays of what the model can be asked for, and what the set does not say."""
    if not (known.class_names or known.parameters):
        return []
    notes = [f"classes and parameters of {init} stay; those that an image does not tell are hidden"]
    num = int((source.labels == UNLABELLED).sum())
    if num and known.class_names:
        notes.append(
            f"{num} images without a class are learned as any of {listed(known.class_names)}; a table "
            "`file,label` names theirs"
        )
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
    noisy = f"noise is learned with the images, unlike in {init}: "
    if source.image_shape[1] != size:
        side = source.image_shape[1]
        note = f"{noisy}the set has {side} pixels a side, not {size}, which `crop` would make it"
        return found, None, [note]
    own = _sky_rms(known.observation, known.image_size)
    is_own_size = MIN_SIZE <= size == known.image_size
    if not source.has_noise_free and found == "carried" and is_own_size:
        some = source.read(evenly_spread(len(source), MAX_MEASURED))[:, 0]
        rms = float(np.median(measure_sky(some).rms))
        if _is_of(known, source) and 1 / SAME_SKY < rms / own < SAME_SKY:
            note = (
                f"the images are taken for those of {init}'s instrument: their sky rms is {rms:.3g}, "
                f"its own {own:.3g} {known.flux_unit}; lenses are learned without noise above it, and "
                "drawn with the instrument's"
            )
            return "removed", known.transform, [note]
    try:
        noise_free_twins(source)
        observation = observation_of(source)
    except GravLensError as error:
        return found, None, [f"{noisy}{error}"]
    # The transform is in units of the sky noise, which another instrument has more or less of.
    ratio = _sky_rms(observation, size) / own
    scale, offset = ratio * known.transform.scale, ratio * known.transform.offset
    return "split", replace(known.transform, scale=scale, offset=offset, gain=0.0), []


def _symmetry(known: ModelConfig) -> Augmentation:
    """Return the largest group of turns that the simulation of a model holds."""
    name = learned_preset(known.training_data)
    for kind in reversed(symmetries(simulation_preset(name)) if name else ()):
        with suppress(GravLensError):
            check_names(kind, (each.name for each in known.parameters))
            return cast("Augmentation", kind)
    return "none"


def _is_of(known: ModelConfig, source: LensSet) -> bool:
    """Return whether images are in the unit and the pixels of a model, as far as they say."""
    unit, scale = source.header.flux_unit, source.header.pixel_scale_arcsec
    wanted = known.pixel_scale_arcsec
    same_scale = scale is None or wanted is None or is_same_scale(scale, wanted)
    return unit in ("unknown", known.flux_unit) and same_scale


def _sky_rms(observation: ObservationConfig, size: int) -> float:
    """Return the standard deviation of an empty image of an observation [e- / s]."""
    rng = np.random.default_rng(0)
    empty = np.zeros((1, size, size))
    return float(np.std([observe(empty, observation, rng) for _ in range(8)]))
