"""``gravlens export``: a model in the form of another library."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gravlensdiffusion.errors import GravLensError


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Write a model as another library has it.

    Attributes:
        model: A run or a checkpoint.
        out: Folder to write; what is in it is kept.
        to: diffusers: a pipeline, which DiffusionPipeline.from_pretrained opens and draws the same
            images from. The network must be one of diffusers, as preset unet2d trains it.
    """

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
    to: Literal["diffusers"]


def run(options: Options) -> None:
    """Write it.

    Raises:
        GravLensError: If there is no such model, the other library has no such network, or something
            is in the way.
    """
    from gravlensdiffusion.interop.pipeline import pipeline_files
    from gravlensdiffusion.interop.unet2d import UNet2D
    from gravlensdiffusion.model.checkpoint import load_model, write_folder

    model = load_model(options.model)
    if not isinstance(model.network, UNet2D):
        raise GravLensError(
            f"{options.model}: has a network of kind '{model.config.network.kind}'; {options.to} has "
            "those of kind 'unet2d', which `preset` unet2d trains"
        )
    write_folder(options.out, pipeline_files(model.config, model.network))
    print(f"wrote {options.model} to {options.out} as a pipeline of {options.to}")
