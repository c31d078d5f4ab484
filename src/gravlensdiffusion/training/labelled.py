"""Labelled images for a classifier: which train, which judge, and what the network takes from them."""

import math

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.config.classifier import ClassifierConfig, ClassifierTraining
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.lens_set import LensSet, evenly_spread
from gravlensdiffusion.training.validation import hold_out

MIN_PER_CLASS = 5
"""Original images that each class needs at least."""
SCALE_IMAGES = 1000
"""Images that the scales of the pixels are measured on."""
MIN_SIZE = 8
"""Pixels that an image has at least on each side."""


def split(
    data: LensSet, share: float, seed: int, groups: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide a set into positions to train on and positions held out, both increasing.

    The same share of the originals of each class is held out, one image at least. It depends on
    the seed and on the originals alone, so that adding generated images leaves it as it is. Of the
    copies of an image that is held out, one of each class judges and the others are left out.

    Args:
        data: The set; images with label -1 are left out, and generated ones train and never judge.
        share: Share of the originals to hold out.
        seed: Seed.
        groups: Number of the group of copies of each image, shape ``(N,)``; None where all differ.

    Raises:
        GravLensError: If a class has fewer than `MIN_PER_CLASS` different original images, or none is left to
            train on.
    """
    groups = np.arange(len(data)) if groups is None else groups
    labels, names, is_original = data.labels, data.header.class_names, ~data.is_generated
    classes = [np.flatnonzero((labels == label) & is_original) for label in range(len(names))]
    for own, name in zip(classes, names, strict=True):
        num_different = len(np.unique(groups[own]))
        if num_different < MIN_PER_CLASS:
            different = "" if num_different == len(own) else "different "
            raise GravLensError(
                f"class '{name}' has {num_different} {different}original images; a classifier needs "
                f"{MIN_PER_CLASS} of each class, part of which it is judged by"
            )
    rng = np.random.default_rng([seed, 0x5E1D])
    is_held = hold_out((rng.permutation(own) for own in classes), groups, share)
    judges = np.flatnonzero(is_held & (labels >= 0) & is_original)
    pairs = np.stack([groups[judges], labels[judges]])
    held_out = judges[np.sort(np.unique(pairs, axis=1, return_index=True)[1])]
    trained_on = np.flatnonzero((labels >= 0) & ~is_held)
    for name in data.select(trained_on).absent_classes:
        raise GravLensError(
            f"all images of class '{name}' are copies of held-out images, so that none is left to "
            "train on"
        )
    return trained_on, held_out


def configure(
    data: LensSet, recipe: ClassifierTraining, trained_on: NDArray[np.int64]
) -> ClassifierConfig:
    """Return the configuration of a network for a set.

    Raises:
        GravLensError: If the images are too small or have no light above their noise.
    """
    num_channels, height, width = data.image_shape
    if height != width or height < MIN_SIZE:
        raise GravLensError(
            f"a classifier needs square images of {MIN_SIZE} pixels or more, these have "
            f"{height} x {width}"
        )
    places = evenly_spread(len(trained_on), SCALE_IMAGES)
    sky, noise, bright = measure_scales(data.read(trained_on[places]))
    names = data.header.class_names
    mix = np.bincount(data.labels[trained_on], minlength=len(names)).astype(float)
    if recipe.balance != "none":
        mix[:] = 1.0
    strides = _strides(height)
    return ClassifierConfig(
        image_size=height,
        num_channels=num_channels,
        class_names=names,
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
