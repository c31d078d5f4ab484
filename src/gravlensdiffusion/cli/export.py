"""``gravlens export``: a model in the form of another library, a set as one file an image."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gravlensdiffusion.cli.options import FileOptions
from gravlensdiffusion.errors import GravLensError


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Write a model as another library has it, or a set as one file an image.

    Attributes:
        source: A run or a checkpoint; or a set, simulated or of yours.
        out: Folder to write; what is in it is kept.
        to: diffusers: a pipeline, which DiffusionPipeline.from_pretrained opens and draws the same
            images from; the network must be one of diffusers, as preset unet2d trains it. fits, npy
            and png: one such file for each image of a set, in a folder of that name.
        overwrite: Replace images of a set that are there, in all formats.
    """

    source: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN|SET")]
    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
    to: Literal["diffusers", "fits", "npy", "png"]
    overwrite: bool = False
    files: FileOptions = FileOptions()

    def run(self) -> None:
        """Write it."""
        if self.to != "diffusers":
            from gravlensdiffusion.formats.writers import (
                check_apart_from_set,
                whole_set,
                write_images,
            )

            lenses, formats = self.files.open(Path(self.source)), (self.to,)
            check_apart_from_set(self.out, lenses.files)
            with whole_set(self.out, formats, overwrite=self.overwrite) as partial:
                write_images(partial, lenses.records(), lenses.header, formats, num=len(lenses))
            print(f"wrote {len(lenses):,} images of {self.source} to {self.out}: {self.to}")
            return
        if self.overwrite:
            raise GravLensError("`overwrite` is for the images of sets; a model needs a new folder")
        self.files.refuse("a model")
        from gravlensdiffusion.interop.pipeline import pipeline_files
        from gravlensdiffusion.interop.unet2d import UNet2D
        from gravlensdiffusion.model.checkpoint import load_model, write_folder

        model = load_model(self.source)
        if not isinstance(model.network, UNet2D):
            raise GravLensError(
                f"{self.source}: has a network of kind '{model.config.network.kind}'; {self.to} has "
                "those of kind 'unet2d', which `gravlens train --preset unet2d` makes"
            )
        write_folder(self.out, pipeline_files(model.config, model.network))
        print(f"wrote {self.source} to {self.out} as a pipeline of {self.to}")
