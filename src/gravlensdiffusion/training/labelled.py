"""Labelled images for a classifier: which train, which judge, and what the network takes from them."""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.config.classifier import ClassifierConfig, ClassifierTraining
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.training.validation import hold_out

MIN_PER_CLASS = 5
"""Original images that each class needs at least."""
SCALE_IMAGES = 1000
"""Images that the scales of the pixels are measured on."""
MIN_SIZE = 8
"""Pixels that an image has at least on each side."""


class Images(Protocol):
    """Images that are read by position: an array, or a file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """``(N, C, S, S)``."""

    def __getitem__(self, where: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return images, shape ``(B, C, S, S)``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledSet:
    """Images with their classes.

    Attributes:
        images: Flux, float32 of shape ``(N, C, S, S)``.
        labels: Class of each image, from 0, shape ``(N,)``; images with -1 are left out.
        class_names: Names of the classes.
        is_generated: Which images a model has made, shape ``(N,)``; they train and never judge.
        groups: Number of the group of copies of each image, shape ``(N,)``; None where all differ.
    """

    images: Images
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    is_generated: NDArray[np.bool_]
    groups: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        if not len(self.labels) == len(self.is_generated) == self.images.shape[0]:
            raise GravLensError("a labelled set needs one label and one flag per image")

    def counts(self) -> dict[str, int]:
        """Return the number of images of each class."""
        found = np.bincount(self.labels[self.labels >= 0], minlength=len(self.class_names))
        return {name: int(num) for name, num in zip(self.class_names, found, strict=True)}


def split(
    data: LabelledSet, share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide a set into positions to train on and positions held out, both increasing.

    The same share of the originals of each class is held out, one image at least. It depends on
    the seed and on the originals alone, so that adding generated images leaves it as it is. Of the
    copies of an image that is held out, one of each class judges and the others are left out.

    Args:
        data: The set.
        share: Share of the originals to hold out.
        seed: Seed.

    Raises:
        GravLensError: If a class has fewer than `MIN_PER_CLASS` different original images, or none is left to
            train on.
    """
    groups = np.arange(len(data.labels)) if data.groups is None else data.groups
    classes = [
        np.flatnonzero((data.labels == label) & ~data.is_generated)
        for label in range(len(data.class_names))
    ]
    for own, name in zip(classes, data.class_names, strict=True):
        num_different = len(np.unique(groups[own]))
        if num_different < MIN_PER_CLASS:
            different = "" if num_different == len(own) else "different "
            raise GravLensError(
                f"class '{name}' has {num_different} {different}original images; a classifier needs "
                f"{MIN_PER_CLASS} of each class, part of which it is judged by"
            )
    rng = np.random.default_rng([seed, 0x5E1D])
    is_held = hold_out((rng.permutation(own) for own in classes), groups, share)
    judges = np.flatnonzero(is_held & (data.labels >= 0) & ~data.is_generated)
    pairs = np.stack([groups[judges], data.labels[judges]])
    held_out = judges[np.sort(np.unique(pairs, axis=1, return_index=True)[1])]
    trained_on = np.flatnonzero((data.labels >= 0) & ~is_held)
    for label in set(range(len(data.class_names))) - set(data.labels[trained_on].tolist()):
        raise GravLensError(
            f"all images of class '{data.class_names[label]}' are copies of held-out images, so that "
            "none is left to train on"
        )
    return trained_on, held_out


def configure(
    data: LabelledSet, recipe: ClassifierTraining, trained_on: NDArray[np.int64]
) -> ClassifierConfig:
    """Return the configuration of a network for a set.

    Args:
        data: The set.
        recipe: How to train.
        trained_on: Positions of the training images.

    Raises:
        GravLensError: If the images are too small or have no light above their noise.
    """
    _, num_channels, height, width = data.images.shape
    if height != width or height < MIN_SIZE:
        raise GravLensError(
            f"a classifier needs square images of {MIN_SIZE} pixels or more, these have "
            f"{height} x {width}"
        )
    places = np.linspace(0, len(trained_on) - 1, min(SCALE_IMAGES, len(trained_on)))
    sky, noise, bright = measure_scales(data.images[trained_on[places.astype(np.int64)]])
    mix = np.bincount(data.labels[trained_on], minlength=len(data.class_names)).astype(float)
    if recipe.balance != "none":
        mix[:] = 1.0
    strides = _strides(height)
    return ClassifierConfig(
        image_size=height,
        num_channels=num_channels,
        class_names=data.class_names,
        class_mix=tuple(float(share) for share in mix / mix.sum()),
        channels=tuple(16 * min(2**k, 6) for k in range(len(strides))),
        strides=strides,
        dropout=recipe.dropout,
        sky=sky,
        noise=noise,
        bright=bright,
    )


def _strides(size: int) -> tuple[int, ...]:
    """Return strides that leave a map of four to seven pixels a side."""
    strides = [1] if size < 48 else [2]
    size = (size - 1) // strides[0] + 1
    while size > 7 or len(strides) < 2:
        strides.append(2)
        size = (size - 1) // 2 + 1
    return tuple(strides)


def measure_scales(
    images: NDArray[np.float32],
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Return sky level, noise rms and brightness above the sky of each channel.

    Args:
        images: Shape ``(N, C, S, S)``.

    Raises:
        GravLensError: If there is nothing to see in the images.
    """
    pixels = images.transpose(1, 0, 2, 3).reshape(images.shape[1], len(images), -1)
    sky = np.median(np.quantile(pixels, 0.3, axis=2), axis=1)
    bright = np.median(np.quantile(pixels, 0.99, axis=2), axis=1) - sky
    steps = np.abs(np.diff(images, axis=-1)).transpose(1, 0, 2, 3).reshape(len(sky), -1)
    # A quarter of the absolute values of a normal variable lie below 0.319 of its deviation.
    noise = np.quantile(steps, 0.25, axis=1) / (0.319 * math.sqrt(2))
    if not (bright > 0).all():
        raise GravLensError("the images have no bright pixels; look with `gravlens inspect`")
    noise = np.maximum(noise, 1e-4 * bright)
    scales = (tuple(float(value) for value in each) for each in (sky, noise, bright))
    sky_, noise_, bright_ = scales
    return sky_, noise_, bright_
