"""The largest configuration beside a small file of weights."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gravlensdiffusion.codec import to_json
from gravlensdiffusion.config.bounds import MAX_CHANNELS, MAX_LEVELS, MAX_SIDE
from gravlensdiffusion.config.classifier import EncoderConfig
from gravlensdiffusion.config.model import ModelConfig
from gravlensdiffusion.config.network import ReferenceUNetConfig, UNet2DConfig, UNetConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.model.checkpoint import load_classifier, load_encoder, load_model
from tests.classification.networks import CONFIG

STAGES: dict[str, Any] = {
    "image_size": MAX_SIDE,
    "channels": (8192,) * MAX_LEVELS,
    "strides": (1,) * MAX_LEVELS,
}
ENCODER = EncoderConfig(
    name="large",
    num_features=64,
    targets=("theta_E",),
    target_means=(1.0,),
    target_stds=(1.0,),
    class_names=("a", "b"),
    **STAGES,
)
UNET = UNetConfig(channels=(MAX_CHANNELS,) * MAX_LEVELS, embedding_dim=MAX_CHANNELS)
UNET2D = UNet2DConfig(block_out_channels=(MAX_CHANNELS,) * 4, time_embedding_dim=MAX_CHANNELS)
LARGEST: dict[str, tuple[Callable[[Path], object], object]] = {
    "classifier": (load_classifier, replace(CONFIG, **STAGES)),
    "encoder": (load_encoder, ENCODER),
    "unet": (load_model, ModelConfig(image_size=MAX_SIDE, network=UNET)),
    "reference": (load_model, ModelConfig(image_size=MAX_SIDE, network=ReferenceUNetConfig())),
    "unet2d": (load_model, ModelConfig(image_size=MAX_SIDE, network=UNET2D)),
}


class Sparing(TorchDispatchMode):
    """Lets no tensor be made that takes more than a thousand bytes of memory."""

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        made = function(*args, **(kwargs or {}))
        for each in tree_leaves(made):
            if isinstance(each, torch.Tensor) and not each.is_meta:
                assert each.untyped_storage().nbytes() <= 1000, function
        return made


@pytest.mark.parametrize("kind", LARGEST)
def test_it_is_refused_before_anything_is_built(kind: str, tmp_path: Path) -> None:
    load, config = LARGEST[kind]
    (tmp_path / "config.json").write_text(to_json(config))
    weights = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(1)}, weights)
    assert weights.stat().st_size <= 100
    told = r"model\.safetensors: .*(is missing|not part of|too few)"
    with pytest.raises(GravLensError, match=told), Sparing():
        load(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"image_size": MAX_SIDE + 1},
        {"channels": (8193,) * MAX_LEVELS},
        {"strides": (0,) * MAX_LEVELS},
        {"channels": (8,) * (MAX_LEVELS + 1), "strides": (1,) * (MAX_LEVELS + 1)},
    ],
)
@pytest.mark.parametrize(
    "config", [replace(CONFIG, **STAGES), ENCODER], ids=["classifier", "encoder"]
)
def test_a_network_beyond_all_measure_has_no_configuration(config: Any, changes: Any) -> None:
    with pytest.raises(GravLensError, match=r"must lie between|as many strides as channels"):
        replace(config, **changes)
