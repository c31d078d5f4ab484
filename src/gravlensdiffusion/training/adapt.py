"""Starting from a trained model: the recipe that adapts it to a small set, and its weights."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from gravlensdiffusion.config.bounds import UNLABELLED
from gravlensdiffusion.config.model import (
    ModelConfig,
    ObservationConfig,
    ParameterConfig,
    TransformConfig,
)
from gravlensdiffusion.config.training import TrainingConfig
from gravlensdiffusion.errors import GravLensError, listed
from gravlensdiffusion.metrics.sky import MIN_SIZE, measure_sky
from gravlensdiffusion.model.build import Model
from gravlensdiffusion.model.checkpoint import load_model, load_weights
from gravlensdiffusion.presets.simulation import learned_preset, simulation_preset
from gravlensdiffusion.presets.training import MIN_IMAGES, adaptation
from gravlensdiffusion.sets.copies import group, sign
from gravlensdiffusion.sets.flux import weights
from gravlensdiffusion.sets.lens_set import LensSet, evenly_spread
from gravlensdiffusion.simulation.observe import observe
from gravlensdiffusion.simulation.symmetry import symmetries
from gravlensdiffusion.training.augment import check_names
from gravlensdiffusion.training.data import noise_free_twins, observation_of

Noise = Literal["learned", "split", "carried", "removed"]
Augment = Literal["none", "half_turn", "flips", "d4"]

LABELS = "network.label_embedding.weight"
PARAMETERS = "network.parameter_embedding."
FEATURES = PARAMETERS + "1.weight"
STEM = "network.stem.weight"
LENS_STEM = "network.lens_stem.weight"
ADDITIONS = ("network.lens_stem.", "network.refine.")
HEAD = "network.head."
BIAS = "network.noise_embedding.2.bias"
MEAN = "transform.mean"
PRIOR = "prior"
SAME_SCALE = 0.01
"""Share by which pixel scales may differ that count as one."""
MAX_MEASURED = 256
"""Images whose sky is measured."""
SAME_SKY = 3.0
"""Factor by which the sky noise of images may differ from that of the instrument they are taken for."""


class Adaptation(NamedTuple):
    """The recipe by which a model is adapted, what the set made different, and how large it is.

    Attributes:
        config: The recipe.
        notes: What the user should know, one line each.
        num_different: Images of the set that are no copies of others.
    """

    config: TrainingConfig
    notes: tuple[str, ...]
    num_different: int


def adapt(init: str | Path, source: LensSet, size: int | None = None) -> Adaptation:
    """Return the recipe that adapts a model to a set.

    Network, schedule, size, kind of transform and classes follow the model. Scaling is measured on
    the set. Physical parameters are learned where the set has them. A model of noise-free images
    stays one where the set has noise-free twins or was taken by the model's instrument; elsewhere
    its noise is carried past the network. Of images of its instrument the model keeps scaling,
    classes and parameters, which are hidden where the set lacks them.

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
    parameters = tuple(each.name for each in known.parameters)
    noise, transform, notes = _noise(known, source, size, init)
    copies = group([sign(source.blocks())], [source.name(k) for k in range(len(source))])
    augment = _symmetry(known) if noise == "removed" else "none"
    if noise != "removed":
        parameters = tuple(name for name in parameters if _varies(source, name))
    config = adaptation(known, parameters, noise, copies.num_different, augment)
    if transform is not None:
        config = replace(config, model=replace(config.model, transform=transform))
    names = source.header.class_names if config.conditional else ()
    about_copies = (copies.note,) if copies.note else ()
    if noise == "removed":
        notes = [*notes, *_kept(known, source, init)]
    else:
        notes = [*_lost(known, names, parameters, init), *notes]
    notes = [*about_copies, *notes]
    return Adaptation(config, tuple(notes), copies.num_different)


def check_number(config: TrainingConfig, num_different: int) -> None:
    """Refuse to hold out images of a set that is too small to adapt a model to.

    Raises:
        GravLensError: If the recipe holds some out of fewer different images than that takes.
    """
    if config.early_stopping.held_out and num_different < MIN_IMAGES:
        raise GravLensError(
            f"{num_different} different images are too few to adapt a model and hold some out, "
            f"which takes {MIN_IMAGES}; without `held_out` all of them are trained on"
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
    if source.image_shape[1] != size:
        reason = f"the set has {source.image_shape[1]} pixels a side, not {size}, which `crop` would make it"
        return found, None, [_noisy(init, reason)]
    if not source.has_noise_free and found == "carried" and size >= MIN_SIZE:
        rms = float(np.median(measure_sky(_some(source)).rms))
        own = _sky_rms(known.observation, known.image_size)
        if _is_of(known, source) and 1 / SAME_SKY < rms / own < SAME_SKY:
            return "removed", known.transform, [_taken_for(init, rms, own, known.flux_unit)]
    try:
        noise_free_twins(source)
        observation = observation_of(source)
    except GravLensError as error:
        return found, None, [_noisy(init, str(error))]
    # The transform is in units of the sky noise, which another instrument has more or less of.
    ratio = _sky_rms(observation, size) / _sky_rms(known.observation, known.image_size)
    scale, offset = ratio * known.transform.scale, ratio * known.transform.offset
    return "split", replace(known.transform, scale=scale, offset=offset, gain=0.0), []


def _symmetry(known: ModelConfig) -> Augment:
    """Return the largest group of turns that the simulation of a model holds."""
    name = learned_preset(known.training_data)
    for kind in reversed(symmetries(simulation_preset(name)) if name else ()):
        with suppress(GravLensError):
            check_names(kind, (each.name for each in known.parameters))
            return cast("Augment", kind)
    return "none"


def _is_of(known: ModelConfig, source: LensSet) -> bool:
    """Return whether images are in the unit and the pixels of a model, as far as they say."""
    unit, scale = source.header.flux_unit, source.header.pixel_scale_arcsec
    wanted = known.pixel_scale_arcsec
    same_scale = scale is None or wanted is None or abs(scale / wanted - 1) < SAME_SCALE
    return unit in ("unknown", known.flux_unit) and same_scale


def _some(source: LensSet) -> NDArray[np.float32]:
    """Return evenly spread images of the first channel, shape ``(N, H, W)``."""
    return source.read(evenly_spread(len(source), MAX_MEASURED))[:, 0]


def _taken_for(init: str | Path, rms: float, own: float, unit: str) -> str:
    return (
        f"the images are taken for those of {init}'s instrument: their sky rms is {rms:.3g}, its own "
        f"{own:.3g} {unit}; lenses are learned without noise above it, and drawn with the instrument's"
    )


def _noisy(init: str | Path, reason: str) -> str:
    return f"noise is learned with the images, unlike in {init}: {reason}"


def _sky_rms(observation: ObservationConfig, size: int) -> float:
    """Return the standard deviation of an empty image of an observation [e- / s]."""
    rng = np.random.default_rng(0)
    empty = np.zeros((1, size, size))
    return float(np.std([observe(empty, observation, rng) for _ in range(8)]))


def start_from(model: Model, init: str | Path, *, keeps_prior: bool = False) -> None:
    """Copy the network's weights from another model; the transform stays that of the new data.

    Where both scale alike, the mean image is that of the other, too.

    Classes are matched by name. A class that the other model has not seen starts as "any class".
    Parameters are matched by name, unit and scale. One that the other model has not seen starts
    without effect. Where ranges differ, a value starts with what the other model learned of the
    same place in its own range. Where the patches of the two networks differ in size, the first
    convolution sees each patch reduced to the other size, and the last one's patches are enlarged:
    the levels between see lenses at the scale that they know.

    Args:
        model: The fresh model, changed in place.
        init: The other model; see `checkpoint.load_model`.
        keeps_prior: Whether parameters that are not asked for are drawn as the other model does.

    Raises:
        GravLensError: If there is no such model, its network has another shape, or its parameters
            are to be kept and are others.
    """
    other = load_model(init)
    _check_networks(model.config, other.config, init)
    own = model.state_dict()
    state = {k: v.clone() for k, v in other.state_dict().items() if k.startswith("network.")}
    if LABELS in state or LABELS in own:
        _carry_classes(state, model.config.class_names, other.config.class_names)
    _carry_parameters(state, own, model.config.parameters, other.config.parameters)
    here, there = (getattr(each.config.network, "patch", 1) for each in (model, other))
    if here != there:
        _carry_patches(state, here, there)
    _carry_additions(state, own)
    kept = {k: v for k, v in own.items() if not k.startswith("network.")}
    if model.config.transform == other.config.transform:
        kept[MEAN] = other.state_dict()[MEAN]
    if keeps_prior:
        if model.config.parameters != other.config.parameters:
            raise GravLensError(f"{init}: knows other parameters than the recipe keeps")
        kept[PRIOR] = other.state_dict()[PRIOR]
    load_weights(model, {**kept, **state}, source=Path(init))


def _check_networks(own: ModelConfig, other: ModelConfig, init: str | Path) -> None:
    """Refuse networks whose difference the names of tensors would hardly tell."""
    if own.network.kind != other.network.kind:
        raise GravLensError(
            f"{init}: cannot start from a network of another kind ({other.network.kind} there, "
            f"{own.network.kind} here)"
        )


def _carry_classes(
    state: dict[str, Tensor], classes: tuple[str, ...], known: tuple[str, ...]
) -> None:
    """Rewrite the rows of the label embedding, the first of which stands for any class."""
    rows = state.pop(LABELS, None)
    if rows is None:
        if BIAS in state:
            state[LABELS] = torch.zeros(len(classes) + 1, len(state[BIAS]))
        return
    if not classes:
        # Without classes nothing is added to the embedding of the noise level: fold it in.
        state[BIAS] += rows[0]
        return
    wanted = [0] + [known.index(name) + 1 if name in known else 0 for name in classes]
    state[LABELS] = rows[wanted]


def _carry_parameters(
    state: dict[str, Tensor],
    own: Mapping[str, Tensor],
    parameters: Sequence[ParameterConfig],
    known: Sequence[ParameterConfig],
) -> None:
    """Rewrite the parameter embedding, in which a parameter that is left out has zero features."""
    if not known:
        fresh = {name: t.clone() for name, t in own.items() if name.startswith(PARAMETERS)}
        for name in ("3.weight", "3.bias") if fresh else ():
            fresh[PARAMETERS + name].zero_()
        state.update(fresh)
        return
    if not parameters:
        # What is added where all of them are left out becomes part of every embedding.
        names = ("1.weight", "1.bias", "3.weight", "3.bias")
        _, bias, weight, last_bias = (state.pop(PARAMETERS + name) for name in names)
        state[BIAS] += weight @ F.silu(bias) + last_bias
        return
    columns = dict(zip(map(_identity, known), state[FEATURES].chunk(len(known), 1), strict=True))
    unseen = torch.zeros_like(next(iter(columns.values())))
    wanted = [columns.get(_identity(each), unseen) for each in parameters]
    state[FEATURES] = torch.cat(wanted, dim=1)


def _carry_patches(state: dict[str, Tensor], here: int, there: int) -> None:
    """Rewrite the first and the last convolution for patches of another size."""
    reduce = torch.from_numpy(weights(here, there, "area")).float()
    enlarge = torch.from_numpy(weights(there, here, "area")).float()
    old = (-1, there, there)
    for name in (STEM, LENS_STEM):
        if name in state:
            width, _, height, length = state[name].shape
            stem = state[name].reshape(width, *old, height, length)
            stem = torch.einsum("ocpqyx,pr,qs->ocrsyx", stem, reduce, reduce)
            state[name] = stem.flatten(1, 3)
    for name, shape in ((HEAD + "weight", "cpqiyx"), (HEAD + "bias", "cpq")):
        head = state[name].reshape(*old, *state[name].shape[1:])
        new = shape.replace("p", "r").replace("q", "s")
        state[name] = torch.einsum(f"{shape},rp,sq->{new}", head, enlarge, enlarge).flatten(0, 2)


def _carry_additions(state: dict[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Leave out the lens equation and the refinement where the model has none.

    Where the other has none, or one of another shape, the model's own start without effect.
    """
    for name in [name for name in state if name.startswith(ADDITIONS) and name not in own]:
        del state[name]
    for name, fresh in own.items():
        if name.startswith(ADDITIONS) and (name not in state or state[name].shape != fresh.shape):
            state[name] = fresh.clone()
    for name in (HEAD + "weight", HEAD + "bias"):
        # The image comes first, the features that the refinement takes after it.
        known = state[name][: len(own[name])]
        state[name] = torch.cat([known, own[name][len(known) :]])


def _identity(parameter: ParameterConfig) -> tuple[str, str, str]:
    return parameter.name, parameter.unit, parameter.scale
