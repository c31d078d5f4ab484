"""The one type for a set of images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.sets.records import SetHeader


class LensSet(Protocol):
    """A set of images that is read on demand: a `LensStore`, or what `open_lenses` returns."""

    @property
    def header(self) -> SetHeader:
        """What is common to all images."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """``(C, H, W)``."""

    @property
    def labels(self) -> NDArray[np.int16]:
        """Class of each image, shape ``(N,)``; -1 where it is not known."""

    @property
    def parameters(self) -> dict[str, NDArray[np.float64]]:
        """Values by name, shape ``(N,)`` each; NaN where an image has none."""

    @property
    def subhaloes(self) -> NDArray[np.void]:
        """Table of subhaloes: columns image, x [arcsec], y [arcsec], mass [M_sun]."""

    @property
    def problems(self) -> tuple[str, ...]:
        """What was left out, one line per file or image."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that the images are read from."""

    @property
    def num_skipped(self) -> int:
        """How many files or images were left out."""

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Types of the pixel values as they are stored."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What else a reader of the set should know, one line each."""

    @property
    def has_noise_free(self) -> bool:
        """Whether every image has a noise-free twin."""

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """Return where image ``index`` comes from: file, and position in it."""

    def read(self, indices: Sequence[int] | NDArray[np.integer] | slice) -> NDArray[np.float32]:
        """Return images, shape ``(B, C, H, W)``."""

    def read_noise_free(
        self, indices: Sequence[int] | NDArray[np.integer] | slice
    ) -> NDArray[np.float32]:
        """Return the noise-free twins of images, shape ``(B, C, H, W)``.

        Raises:
            GravLensError: If there are none.
        """

    def close(self) -> None:
        """Close open files; a later read opens them again."""
