"""Folders of pipelines of diffusers: what they say of a model, where its weights are, and writing one.

Only JSON and safetensors are read, and no class is looked up by a name in a file.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gravlensdiffusion.codec import from_json, read_json
from gravlensdiffusion.config.model import (
    DenoiserConfig,
    ModelConfig,
    ScheduleConfig,
)
from gravlensdiffusion.config.network import OF_THE_MODEL, SchedulerConfig, UNet2DConfig
from gravlensdiffusion.config.sampling import SamplingConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.presets.training import UNIT_TO_SIGNED
from gravlensdiffusion.sets.flux import FULL_SCALE

if TYPE_CHECKING:
    from torch import Tensor

    from gravlensdiffusion.interop.unet2d import UNet2D

INDEX = "model_index.json"
UNET_CONFIG = "config.json"
SCHEDULER_CONFIG = "scheduler_config.json"
UNET_WEIGHTS = "diffusion_pytorch_model.safetensors"
PIPELINES = ("DDPMPipeline", "DDIMPipeline")
PREFIX = "network.unet."
"""How the names of a network's weights begin in a model of ours."""
RENAMED = {
    ".query.": ".to_q.",
    ".key.": ".to_k.",
    ".value.": ".to_v.",
    ".proj_attn.": ".to_out.0.",
}
"""Names of weights that diffusers has given up, and what they are called now."""

PREDICTIONS = {"epsilon": "epsilon", "sample": "x0", "v_prediction": "v"}
"""Our predictions by their names in diffusers."""
SCHEDULES = {"linear": "ddpm", "scaled_linear": "scaled_linear", "squaredcos_cap_v2": "cosine"}
"""Our schedules by the names of their betas in diffusers."""
NUM_STEPS = {"DDPMScheduler": 1000, "DDIMScheduler": 50, "DPMSolverMultistepScheduler": 20}
"""Numbers of steps where none is asked for; the pipelines have them for the first two."""


def is_pipeline(folder: Path) -> bool:
    """Whether a folder holds a pipeline of diffusers."""
    return (folder / INDEX).is_file()


def read_pipeline(folder: Path) -> ModelConfig:
    """Return the model that a pipeline stands for.

    Args:
        folder: What ``save_pretrained`` of a pipeline has written: a ``UNet2DModel`` without
            classes, and a scheduler of DDPM, DDIM or DPM-Solver.

    Raises:
        GravLensError: If it cannot be read, or is another pipeline.
    """
    index = read_json(dict[str, Any], folder / INDEX)
    name, unet = index.get("_class_name"), index.get("unet")
    if name not in PIPELINES or unet != ["diffusers", "UNet2DModel"]:
        network = unet[-1] if isinstance(unet, list) and unet else "no network"
        raise GravLensError(
            f"{folder}: is a {name!s:.50} with {network!s:.50}; {' and '.join(PIPELINES)} with "
            "UNet2DModel are opened"
        )
    scheduler = index.get("scheduler")
    kind = scheduler[-1] if isinstance(scheduler, list) and scheduler else None
    if name == "DDIMPipeline":
        kind = "DDIMScheduler"  # it makes one of whatever there is
    if kind not in NUM_STEPS:
        raise GravLensError(
            f"{folder}: has scheduler {kind!s:.50}; known are {', '.join(NUM_STEPS)}"
        )
    path = _part(folder, "scheduler") / SCHEDULER_CONFIG
    return _model(folder, kind, read_json(dict[str, Any], path), path)


def _model(folder: Path, kind: str, settings: dict[str, Any], source: Path) -> ModelConfig:
    """Return the model of a network and the settings of its scheduler."""
    scheduler = {
        name: value
        for name, value in settings.items()
        if not (name.startswith("_") or name in OF_THE_MODEL or value is None)
        if not (isinstance(value, float) and math.isinf(value))
    }
    schedule = {
        "kind": _known(settings, "beta_schedule", "linear", SCHEDULES, source),
        "num_steps": settings.get("num_train_timesteps", 1000),
        "beta_min": settings.get("beta_start", 1e-4),
        "beta_max": settings.get("beta_end", 0.02),
    }
    prediction = {"prediction": _known(settings, "prediction_type", "epsilon", PREDICTIONS, source)}
    how = from_json(
        SchedulerConfig, json.dumps({"kind": kind, "settings": scheduler}), source=str(source)
    )
    path = _part(folder, "unet") / UNET_CONFIG
    unet = read_json(dict[str, Any], path)
    channels, size = unet.get("in_channels", 3), unet.get("sample_size")
    if unet.get("out_channels", 3) != channels:
        raise GravLensError(f"{path}: out_channels must be as many as in_channels")
    if unet.get("class_embed_type") is not None or unet.get("num_class_embeds") is not None:
        raise GravLensError(f"{path}: a network that knows classes is not supported")
    if isinstance(size, list) and len(size) == 2 and size[0] == size[1]:
        size = size[0]
    own = {each.name for each in fields(UNet2DConfig)} - {"kind", "scheduler"}
    network = {name: value for name, value in unet.items() if name in own}
    shape = {"image_size": size, "num_channels": channels}
    try:
        return replace(
            from_json(ModelConfig, json.dumps(shape), source=str(path)),
            flux_unit=FULL_SCALE,
            transform=UNIT_TO_SIGNED,
            schedule=from_json(ScheduleConfig, json.dumps(schedule), source=str(source)),
            denoiser=from_json(DenoiserConfig, json.dumps(prediction), source=str(source)),
            network=replace(
                from_json(UNet2DConfig, json.dumps(network), source=str(path)), scheduler=how
            ),
            sampling=SamplingConfig(sampler="scheduler", num_steps=NUM_STEPS[kind]),
        )
    except GravLensError as error:
        text = str(error)
        raise GravLensError(text if str(folder) in text else f"{folder}: {text}") from None


def _part(folder: Path, name: str) -> Path:
    """Return where a part of a pipeline lies: a folder of its name, or the pipeline's own."""
    return folder / name if (folder / name).is_dir() else folder


def weights_of(folder: Path) -> Path:
    """Return the file of the network's weights.

    Raises:
        GravLensError: If there are none but such that could run code.
    """
    weights = _part(folder, "unet") / UNET_WEIGHTS
    pickles = sorted([*weights.parent.glob("*.bin"), *weights.parent.glob("*.pt*")])
    if pickles and not weights.exists():
        raise GravLensError(
            f"{pickles[0]}: a pickle, which may run code; save the pipeline with "
            "safe_serialization=True"
        )
    return weights


def own_name(name: str) -> str:
    """Return what a weight of a pipeline's network is called in a model of ours."""
    for old, new in RENAMED.items():
        name = name.replace(old, new)
    return PREFIX + name


def pipeline_files(
    config: ModelConfig, network: "UNet2D"
) -> "dict[str, bytes | Mapping[str, Tensor]]":
    """Return the files of a pipeline that ``DiffusionPipeline.from_pretrained`` opens, by name.

    Args:
        config: The model.
        network: Its network.

    Raises:
        GravLensError: If its images do not lie in [0, 1] as those of pipelines do.
    """
    from gravlensdiffusion.interop.unet2d import build_scheduler

    if not config.transform.is_signed:
        raise GravLensError(
            "a pipeline of diffusers makes images in [0, 1], and this model has another transform; "
            "preset 'unet2d' trains one that can be exported"
        )
    scheduler = build_scheduler(config)
    kind = type(scheduler).__name__
    index = {
        "_class_name": "DDIMPipeline" if kind == "DDIMScheduler" else "DDPMPipeline",
        "_diffusers_version": version("diffusers"),
        "scheduler": ["diffusers", kind],
        "unet": ["diffusers", "UNet2DModel"],
    }
    unet: Any = network.unet
    return {
        INDEX: json.dumps(index, indent=2).encode(),
        f"scheduler/{SCHEDULER_CONFIG}": scheduler.to_json_string().encode(),
        f"unet/{UNET_CONFIG}": unet.to_json_string().encode(),
        f"unet/{UNET_WEIGHTS}": unet.state_dict(),
    }


def _known(
    settings: Mapping[str, Any], name: str, default: str, known: Mapping[str, str], source: Path
) -> str:
    """Return our word for a setting."""
    value = settings.get(name, default)
    if not isinstance(value, str) or value not in known:
        raise GravLensError(f"{source}: {name} is {value!s:.50}; known are {', '.join(known)}")
    return known[value]
