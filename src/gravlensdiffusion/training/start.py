"""Starting from a trained model: its weights, carried over to a network that may differ from its own."""

from collections.abc import Mapping, Sequence
from operator import attrgetter
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gravlensdiffusion.config.model import ParameterConfig
from gravlensdiffusion.config.network import UNetConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.model.build import Model
from gravlensdiffusion.model.checkpoint import load_model, load_weights
from gravlensdiffusion.sets.flux import weights

LABELS = "network.label_embedding.weight"
PARAMETERS = "network.parameter_embedding."
FEATURES = PARAMETERS + "1.weight"
REFINE = "network.refine."
ADDITIONS = ("network.lens_stem.", REFINE)
HEAD = "network.head."
ENDS = ("stem", "lens_stem", "norm", "head", "refine")
"""What lies before the first level and after the last."""
LEVELS = "network.noise_embedding.0."
BIAS = "network.noise_embedding.2.bias"


def start_from(model: Model, init: str | Path, *, keeps_prior: bool = False) -> None:
    """Copy the network's weights from another model; the transform stays that of the new data.

    Where both scale alike and have one size, the mean image is that of the other, too.

    Classes are matched by name. A class that the other model has not seen starts as "any class".
    Parameters are matched by name, unit and scale. One that the other model has not seen starts
    without effect. Where ranges differ, a value starts with what the other model learned of the
    same place in its own range. Where the patches of the two networks differ in size, the first
    convolution sees each patch reduced to the other size, and the last one's patches are enlarged:
    the levels between see lenses at the scale that they know. A refinement may become wider, and a
    network deeper: with further levels of finer resolution before those of the other, it starts with
    these, and draws nothing at first. Parameters that are not asked for are drawn as by the other
    model, if the fresh one ``keeps_prior``.

    Raises:
        GravLensError: If there is no such model, its network has another shape, or its parameters
            are to be kept and are others.
    """
    other = load_model(init)
    here, there = model.config.network, other.config.network
    if here.kind != there.kind:
        raise GravLensError(
            f"{init}: cannot start from a network of another kind ({there.kind} there, {here.kind} "
            "here)"
        )
    own = model.state_dict()
    state = {k: v.clone() for k, v in other.state_dict().items() if k.startswith("network.")}
    if LABELS in state or LABELS in own:
        _carry_classes(state, model.config.class_names, other.config.class_names)
    _carry_parameters(state, own, model.config.parameters, other.config.parameters)
    patches = getattr(here, "patch", 1), getattr(there, "patch", 1)
    if isinstance(here, UNetConfig) and isinstance(there, UNetConfig) and _is_deeper(here, there):
        _carry_levels(state, own, here, there)
        _carry_noise_levels(state, model.network, other.network, here.noise_features)
    elif patches[0] != patches[1]:
        _carry_patches(state, *patches)
    if isinstance(here, UNetConfig):
        _carry_additions(state, own)
    kept = {k: v for k, v in own.items() if not k.startswith("network.")}
    mean = other.state_dict()["transform.mean"]
    if (
        model.config.transform == other.config.transform
        and mean.shape == own["transform.mean"].shape
    ):
        kept["transform.mean"] = mean
    if keeps_prior:
        if model.config.parameters != other.config.parameters:
            raise GravLensError(f"{init}: knows other parameters than the recipe keeps")
        kept["prior"] = other.state_dict()["prior"]
    load_weights(model, {**kept, **state}, source=Path(init))


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
    identity = attrgetter("name", "unit", "scale")
    columns = dict(zip(map(identity, known), state[FEATURES].chunk(len(known), 1), strict=True))
    unseen = torch.zeros_like(state[FEATURES].chunk(len(known), 1)[0])
    wanted = [columns.get(identity(each), unseen) for each in parameters]
    state[FEATURES] = torch.cat(wanted, dim=1)


def _carry_patches(state: dict[str, Tensor], here: int, there: int) -> None:
    """Rewrite the first and the last convolution for patches of another size."""
    reduce = torch.from_numpy(weights(here, there, "area")).float()
    enlarge = torch.from_numpy(weights(there, here, "area")).float()
    old = (-1, there, there)
    for name in ("network.stem.weight", "network.lens_stem.weight"):
        if name in state:
            width, _, height, length = state[name].shape
            stem = state[name].reshape(width, *old, height, length)
            stem = torch.einsum("ocpqyx,pr,qs->ocrsyx", stem, reduce, reduce)
            state[name] = stem.flatten(1, 3)
    for name, shape in ((HEAD + "weight", "cpqiyx"), (HEAD + "bias", "cpq")):
        head = state[name].reshape(*old, *state[name].shape[1:])
        new = shape.replace("p", "r").replace("q", "s")
        state[name] = torch.einsum(f"{shape},rp,sq->{new}", head, enlarge, enlarge).flatten(0, 2)


def _is_deeper(here: UNetConfig, there: UNetConfig) -> bool:
    """Whether a network has the levels of another, and further ones before them."""
    more = len(here.channels) - len(there.channels)
    shifted = tuple(level + more for level in there.attention_levels)
    same = here.channels[more:] == there.channels and here.attention_levels == shifted
    return more > 0 and same and here.num_blocks == there.num_blocks


def _carry_levels(
    state: dict[str, Tensor], own: Mapping[str, Tensor], here: UNetConfig, there: UNetConfig
) -> None:
    """Make the levels of a network the inner ones of a deeper one, whose outer ones are its own."""
    more, num = len(here.channels) - len(there.channels), here.num_blocks
    # The way up begins with the innermost level, whose places stay.
    moved = {"down": more * num, "downsample": more, "up": 0, "upsample": 0}
    outer = {
        *(f"down.{k}" for k in range(more * num)),
        *(f"downsample.{k}" for k in range(more + 1)),
        *(
            f"up.{k}"
            for k in range(len(there.channels) * (num + 1), len(here.channels) * (num + 1))
        ),
        *(f"upsample.{k}" for k in range(len(there.channels), len(here.channels))),
    }
    inner = {name: state.pop(name) for name in [*state] if name.split(".")[1] in moved}
    for name, tensor in inner.items():
        head, part, place, rest = name.split(".", 3)
        state[f"{head}.{part}.{int(place) + moved[part]}.{rest}"] = tensor
    for name in [name for name in (*own, *state) if name.startswith("network.")]:
        words = name.split(".")
        if words[1] in ENDS or ".".join(words[1:3]) in outer:
            state.pop(name, None)
            if name in own:
                state[name] = own[name].clone()


def _carry_noise_levels(
    state: dict[str, Tensor], here: nn.Module, there: nn.Module, kind: str
) -> None:
    """Rewrite what is made of a noise level for sines of other frequencies, by ridge regression."""
    noise = torch.linspace(-1.5, 1.5, 601)  # a quarter of a log noise level
    if kind == "index":
        noise = torch.arange(1000.0)
    sines, others = (network.get_submodule("noise_features")(noise) for network in (here, there))
    sines = torch.cat([sines, torch.ones(len(noise), 1)], dim=1)
    aim = others @ state[LEVELS + "weight"].T
    ridge = torch.eye(sines.shape[1])  # keeps the weights small
    found = torch.linalg.solve(sines.T @ sines + ridge, sines.T @ aim)
    state[LEVELS + "weight"] = found[:-1].T.contiguous()
    state[LEVELS + "bias"] = state[LEVELS + "bias"] + found[-1]


def _carry_additions(state: dict[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Leave out the lens equation and the refinement where the model has none.

    A wider refinement starts as the other's, its further features without effect. Where the other
    has none, or one of another shape, the model's own start without effect.
    """
    _widen_refinement(state, own)
    for name in [name for name in state if name.startswith(ADDITIONS) and name not in own]:
        del state[name]
    for name, fresh in own.items():
        if name.startswith(ADDITIONS) and (name not in state or state[name].shape != fresh.shape):
            state[name] = fresh.clone()
    for name in (HEAD + "weight", HEAD + "bias"):
        # The image comes first, the features that the refinement takes after it.
        known, fresh = state[name][: len(own[name])], own[name]
        if known.shape[1:] == fresh.shape[1:]:
            state[name] = torch.cat([known, fresh[len(known) :]])


def _widen_refinement(state: dict[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Place the features of a refinement among those of a wider one, which they do not listen to."""
    middle, last = REFINE + "conv_middle.weight", REFINE + "conv_out.weight"
    if not {middle, last} <= own.keys() & state.keys():
        return
    (num, known), wide = state[last].shape[:2], own[middle].shape[0]
    num_extra = state[REFINE + "conv_in.weight"].shape[1] - num - known
    num_inputs = num + wide + num_extra
    if wide <= known or own[REFINE + "conv_in.weight"].shape[:2] != (wide, num_inputs):
        return
    first = [*range(known)]
    inputs = [*range(num + known), *range(num + wide, num_inputs)]
    embedding = [*range(own[REFINE + "modulation.weight"].shape[1])]
    scale_shift = [*first, *range(wide, wide + known)]
    places = {
        "conv_in": (first, inputs),
        "modulation": (scale_shift, embedding),
        "conv_middle": (first, first),
        "conv_out": ([*range(num)], first),
    }
    for name, (rows, columns) in places.items():
        weight, bias = own[f"{REFINE}{name}.weight"].clone(), own[f"{REFINE}{name}.bias"].clone()
        weight[rows] = 0
        weight[np.ix_(rows, columns)] = state[f"{REFINE}{name}.weight"]
        bias[rows] = state[f"{REFINE}{name}.bias"]
        state[f"{REFINE}{name}.weight"], state[f"{REFINE}{name}.bias"] = weight, bias
