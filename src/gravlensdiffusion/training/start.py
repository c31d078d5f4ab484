"""Starting a run from the weights of another model."""

from pathlib import Path

import torch
from torch import Tensor

from gravlensdiffusion.build import Model
from gravlensdiffusion.checkpoint import load_model, load_weights

LABELS = "network.label_embedding.weight"
BIAS = "network.noise_embedding.2.bias"


def start_from(model: Model, init: str | Path) -> None:
    """Copy the network's weights from another model; the transform stays that of the new data.

    Classes are matched by name. A class that the other model has not seen starts as "any class".

    Args:
        model: The fresh model, changed in place.
        init: The other model; see `checkpoint.load_model`.

    Raises:
        GravLensError: If there is no such model or its network has another shape.
    """
    other = load_model(init)
    own = model.state_dict()
    state = {k: v.clone() for k, v in other.state_dict().items() if k.startswith("network.")}
    if LABELS in state or LABELS in own:
        _carry_classes(state, model.config.class_names, other.config.class_names)
    kept = {k: v for k, v in own.items() if not k.startswith("network.")}
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
