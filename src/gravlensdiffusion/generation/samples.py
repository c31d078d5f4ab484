"""What a model hands out: images with what they were asked to be, and their way there."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.files import whole_file
from gravlensdiffusion.formats.writers import whole_set, write_images
from gravlensdiffusion.generation.noise import Clipping
from gravlensdiffusion.reports.mosaics import grid_picture
from gravlensdiffusion.sets.images import Indices, as_indices
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.sets.naming import SHARD_SUFFIXES
from gravlensdiffusion.sets.records import LensRecord, SetHeader
from gravlensdiffusion.store.writer import write_store


@dataclass(kw_only=True, eq=False, repr=False)
class LensSamples(LensSet):
    """Generated images, a set like any other.

    Attributes:
        images: Float32 of shape ``(N, C, H, W)``, in ``header.flux_unit``.
        labels: Class that was asked for, int16 of shape ``(N,)``; -1 where it was left out.
        parameters: Physical parameters that were asked for or drawn, and the noise that was added, by name,
            shape ``(N,)`` each; NaN where a value was left out.
        noise_free: The images without noise, ``(N, C, H, W)``; None for a model that has learned
            its noise, or where they were not asked for.
        header: Classes, pixel scale, flux unit, seed.
        clipping: Pixels that the network left below zero flux, and that were set to 0 before the
            noise; none for a model that has learned its noise.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int16]
    parameters: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    noise_free: NDArray[np.float32] | None = None
    header: SetHeader
    clipping: Clipping = field(default_factory=Clipping)

    def __post_init__(self) -> None:
        _, channels, height, width = self.images.shape
        self.image_shape = (channels, height, width)
        self.has_noise_free = self.noise_free is not None

    def read(self, indices: Indices) -> NDArray[np.float32]:
        """Return images, shape ``(B, C, H, W)``."""
        return self.images[as_indices(indices, len(self))]

    def read_noise_free(self, indices: Indices) -> NDArray[np.float32]:
        """Return the noise-free twins of images, shape ``(B, C, H, W)``."""
        if self.noise_free is None:
            return super().read_noise_free(indices)
        return self.noise_free[as_indices(indices, len(self))]

    def to_torch(self) -> Tensor:
        """Return the images as a tensor, shape ``(N, C, H, W)``."""
        return torch.from_numpy(self.images)

    def plot(
        self,
        num: int = 16,
        stretch: Literal["linear", "sqrt", "asinh"] = "asinh",
        min_side: int = 112,
    ) -> Image:
        """Return the first images side by side, their classes above them, row 0 at the bottom.

        Args:
            num: Number of images, at most.
            stretch: From flux to grey; all images share one scale.
            min_side: Images smaller than this are enlarged by a whole factor [pixels].
        """
        if num < 1:
            raise GravLensError(f"`num` must be at least 1, got {num}")
        return grid_picture(
            self.images[:num],
            stretch=stretch,
            titles=self.header.titles(self.labels[:num]),
            min_side=min_side,
        )

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        formats: Sequence[str] | None = None,
        overwrite: bool = False,
    ) -> Path:
        """Write the images to one file; all but a picture can be read again by `open_set`.

        Args:
            path: Its suffix says what is written: ``.h5`` all that is known; ``.npz`` images, labels
                and names of classes; ``.npy`` the images; ``.png`` a picture as of `plot`, of
                smaller tiles.
            formats: With them the path is a folder, and each image a file of its own, as
                `gravlens sample` with `format` writes them: ``fits``, ``npy``, ``png``, ``h5``.
            overwrite: Whether an existing file may be replaced.

        Returns:
            The path.

        Raises:
            GravLensError: If the file exists, cannot be written or has another suffix.
        """
        path = Path(path)
        if formats is not None:
            with whole_set(path, formats, overwrite=overwrite) as partial:
                write_images(partial, self.records(), self.header, formats)
            return path
        if path.suffix in SHARD_SUFFIXES:
            return write_store(path, self, overwrite=overwrite)
        names = self.header.class_names
        classes: dict[str, Any] = {"class_names": np.array(names, np.str_)} if names else {}
        writers: dict[str, Callable[[BinaryIO], object]] = {
            ".npy": lambda file: np.save(file, self.images),
            ".npz": lambda file: np.savez(file, images=self.images, labels=self.labels, **classes),
            ".png": lambda file: self.plot(len(self), min_side=56).save(file, "PNG"),
        }
        if path.suffix not in writers:
            allowed = " ".join((*SHARD_SUFFIXES, *writers))
            raise GravLensError(f"{path}: the file's name must end in one of {allowed}")
        with whole_file(path, overwrite=overwrite) as temporary, temporary.open("wb") as file:
            writers[path.suffix](file)
        return path

    def records(self, *, with_unknown: bool = True) -> Iterator[LensRecord]:
        """Yield the images with what is known of each; what was left out is there as NaN."""
        return super().records(with_unknown=with_unknown)


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """One moment of sampling.

    Attributes:
        step: Steps done.
        alpha_t: Factor on the clean image within ``x_t``: near 0 for noise, 1 at the end.
        x_t: Noisy images in model space, ``(B, C, H, W)``.
        x_hat: Estimate of the clean images in model space, ``(B, C, H, W)``.
    """

    step: int
    alpha_t: float
    x_t: Tensor
    x_hat: Tensor
