"""Images that a classifier is about to tell apart, whether they are what it was trained on, and what it says of them."""

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.classification.judgement import read_mix
from gravlensdiffusion.config.classifier import ClassifierConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.nn.classifier import ClassifierNetwork
from gravlensdiffusion.parallel import find_device
from gravlensdiffusion.sets.copies import Signatures, are_known, sign
from gravlensdiffusion.sets.flux import UNKNOWN, is_same_scale
from gravlensdiffusion.sets.images import evenly_spread
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.sets.training_set import digest_of
from gravlensdiffusion.training.classifier import predict_logits

DIFFERENT = 0.05
"""Difference of a class's share beyond which the mix is said to be another."""
NOT_LOOKED_FOR = (
    "copies of the classifier's training images were not looked for: it does not keep what they are "
    "known by"
)
TRAINED_ON_IT = (
    "these are the images that the classifier was trained on: the numbers say nothing of others"
)
NUM_LOOKED_AT = 64
"""Images whose brightness is looked at where the flux unit is not known."""
FACTOR = 30
"""Factor of brightness beyond which images of no known unit are told to be suspicious."""


@dataclass(kw_only=True, slots=True)
class Candidates:
    """Images that a classifier is about to tell apart."""

    config: ClassifierConfig  # the classifier's configuration
    images: LensSet  # the images, as the classifier takes them
    # Class of each image by the classifier's own numbers, shape `(N,)`; -1 where it is not known.
    labels: NDArray[np.int64]
    label_names: tuple[str, ...]  # name of each image's class; empty where it has none
    unknown: tuple[str, ...]  # classes of the set that the classifier does not know
    # What cannot be known of the set beside what the classifier was trained on.
    doubts: tuple[str, ...]
    # Which images are copies of those of the training set, shape `(N,)`; None where that was not
    # looked for.
    is_known: NDArray[np.bool_] | None = None
    # What the classifier says of them before calibration, shape `(N, K)`; None until it was asked.
    logits: NDArray[np.float32] | None = None
    digest: str = ""  # digest of images and labels as they were seen then

    @classmethod
    def of(
        cls, config: ClassifierConfig, source: LensSet, merged: Mapping[str, str] | None = None
    ) -> Self:
        """Return a set as a classifier takes it.

        ``merged`` names the class that a class of the set is counted as, beside what was merged in training.

        Raises:
            GravLensError: If the set does not go with the classifier, or lacks a class to merge.
        """
        source.relabelled(merged or {})  # a class that is none is refused
        counted_as = dict(config.merged) | dict(merged or {})
        own = source.header.class_names
        meant = source.relabelled({old: new for old, new in counted_as.items() if old in own})
        counts, known = meant.class_counts, config.class_names
        names = (*counts, "")  # the last is that of -1
        sized = _for_classifier(config, source)
        return cls(
            config=config,
            images=sized,
            labels=meant.with_classes(known).labels.astype(np.int64),
            label_names=tuple(names[k] for k in meant.labels.tolist()),
            unknown=tuple(name for name, num in counts.items() if num and name not in known),
            doubts=tuple(_doubts(config, sized)),
        )

    def ask(
        self,
        network: ClassifierNetwork,
        *,
        device: str = "auto",
        progress: Callable[[int], None] = lambda _: None,
    ) -> NDArray[np.float32]:
        """Return what the classifier says of them before calibration, shape ``(N, K)``; once is enough.

        Args:
            network: The classifier; it is left on the device.
            device: ``cpu``, ``cuda`` or ``auto``.
            progress: Called with the number of images done, after each block.

        Raises:
            GravLensError: If the weights are damaged.
        """
        if self.logits is not None:
            return self.logits
        network.to(find_device(device))
        parts: list[NDArray[np.float32]] = []

        def take(images: NDArray[np.float32]) -> None:
            parts.append(predict_logits(network, images))
            progress(sum(map(len, parts)))

        self.digest = digest_of(self.images, take)
        logits = np.concatenate(parts)
        if not np.isfinite(logits).all():
            is_damaged = not all(weight.isfinite().all() for weight in network.parameters())
            why = "its weights are damaged" if is_damaged else "the images are too bright for it"
            raise GravLensError(f"the classifier gives no finite number; {why}")
        self.logits = logits
        return logits

    def write_table(self, path: Path, chances: NDArray[np.float64]) -> None:
        """Write probabilities ``(N, K)`` as CSV: index, name, label, p of each class, the class called.

        A label is empty where it is not known.
        """
        text = StringIO(newline="")
        table = csv.writer(text, lineterminator="\n")
        names = self.config.class_names
        table.writerow(["index", "name", "label", *(f"p_{name}" for name in names), "called"])
        for k, (label, row) in enumerate(zip(self.label_names, chances, strict=True)):
            numbers = (f"{p:.6g}" for p in row)
            table.writerow([k, self.images.name(k), label, *numbers, names[row.argmax()]])
        # A name of a file need not be text; its odd bytes are written as escapes.
        path.write_text(text.getvalue(), encoding="utf-8", errors="backslashreplace", newline="")

    def mix(self, prior: str, *, allow_data: bool = False) -> NDArray[np.float64] | None:
        """Return the mix of classes that a prior stands for; see `judgement.read_mix`."""
        labels = self.labels[self.judges()] if allow_data else None
        return read_mix(prior, self.config, labels)

    def judges(self) -> NDArray[np.bool_]:
        """Return which images are originals of known class and no training images, shape ``(N,)``."""
        own = (self.labels >= 0) & ~self.images.is_generated
        return own if self.is_known is None else own & ~self.is_known

    def look_for_copies(self, thumbnails: NDArray[np.float32]) -> None:
        """Look which are copies of images that the classifier was trained on or chosen by.

        Raises:
            GravLensError: If all that could judge are.
        """
        known = Signatures.of_thumbnails(thumbnails)
        self.is_known = are_known(sign(self.images.blocks()), known)
        if self.is_known.any() and not self.judges().any():
            raise GravLensError(
                "all images are copies of those in the classifier's training set: a score on them "
                "says nothing of others"
            )

    def check_judgeable(self) -> None:
        """Refuse a set that a classifier cannot be judged on."""
        names = self.config.class_names
        if self.unknown:
            raise GravLensError(
                f"the classifier does not know class '{self.unknown[0]}', only {', '.join(names)}; "
                f"`map` {self.unknown[0]}={names[0]} counts it as one of them"
            )
        num = np.bincount(self.labels[self.judges()], minlength=len(names))
        if not num.any():
            raise GravLensError(
                "the images have no classes to judge by; `gravlens classify predict` needs none"
            )
        for name, count in zip(names, num, strict=True):
            if not count:
                raise GravLensError(f"there is no image of class '{name}' to judge by")

    def notes(self, mix: NDArray[np.float64] | None, trained_on: object) -> list[str]:
        """Return what should be known of a score on these images, one sentence each.

        Args:
            mix: The mix of classes that the probabilities are for; see `read_mix`.
            trained_on: Digest of the training set, where it is known.
        """
        notes = list(self.doubts)
        if self.logits is not None and self.digest == trained_on:
            notes.insert(0, TRAINED_ON_IT)
        if self.is_known is None:
            notes.append(NOT_LOOKED_FOR)
        is_labelled, is_made = self.labels >= 0, self.images.is_generated
        is_copy = is_labelled & ~is_made & ~self.judges()
        for what, which in (
            ("images of no known class", ~is_labelled),
            ("copies of images of the classifier's training set", is_copy),
            ("generated images, which do not judge", is_labelled & is_made),
        ):
            if which.any():
                notes.append(f"{what}, left out: {which.sum():,}")
        config = self.config
        assumed = np.array(config.class_mix) if mix is None else mix
        own = self.mix("data", allow_data=True)
        if own is not None and np.abs(own - assumed).max() > DIFFERENT:
            shares = ", ".join(
                f"{name} {a:.0%} (here {b:.0%})"
                for name, a, b in zip(config.class_names, assumed, own, strict=True)
            )
            notes.append(
                f"the probabilities are for another mix of classes: {shares}; what an image is called "
                "and the calibration depend on it, the ROC curve of two classes does not; the prior "
                "chooses it"
            )
        return notes


def _for_classifier(config: ClassifierConfig, source: LensSet) -> LensSet:
    """Return a set as a classifier takes it: larger images of the same field are resized."""
    channels, height, width = source.image_shape
    if channels != config.num_channels:
        raise GravLensError(
            f"the images have {channels} channels, the classifier was trained on "
            f"{config.num_channels}"
        )
    units = (source.header.flux_unit, config.flux_unit)
    if UNKNOWN not in units and units[0] != units[1]:
        raise GravLensError(
            f"the images are in flux unit {units[0]}, the classifier was trained on {units[1]}; "
            "give images in that unit, or train a classifier on this one"
        )
    size = config.image_size
    if min(height, width) < size:
        raise GravLensError(
            f"the images have {height} x {width} pixels, the classifier was trained on {size}"
        )
    sized = source.resized(size, config.resize, flux_unit=config.flux_unit)
    _check_field(config, source, sized)
    return sized


def _check_field(config: ClassifierConfig, source: LensSet, sized: LensSet) -> None:
    scale, trained = sized.header.pixel_scale_arcsec, config.pixel_scale_arcsec
    num, size = source.image_shape[1], sized.image_shape[1]
    if scale is not None and trained is not None:
        if is_same_scale(scale, trained):
            return
        if sized is source:
            raise GravLensError(
                f"the pixels of the images have {scale:.4g} arcsec, those that the classifier was "
                f"trained on {trained:.4g}"
            )
        raise GravLensError(
            f"the images show {scale * size:.4g} arcsec on {num} pixels, those that the classifier "
            f"was trained on {trained * size:.4g} arcsec on {size}: not the same field"
        )
    if sized is not source and num != config.original_size:
        sizes = f"{size}" if config.original_size is None else f"{size} or {config.original_size}"
        raise GravLensError(
            f"the images have {num} pixels a side and the classifier takes {sizes}; without a pixel "
            "scale on both sides it is not known whether they show the same field"
        )


def _doubts(config: ClassifierConfig, sized: LensSet) -> Iterator[str]:
    """Yield what cannot be known of a set beside what a classifier was trained on."""
    unit = sized.header.flux_unit
    if UNKNOWN in (unit, config.flux_unit):
        if unit != config.flux_unit:
            yield (
                f"the flux unit of the images is {unit}, that of the training images "
                f"{config.flux_unit}; they are taken for the same"
            )
        places = evenly_spread(len(sized), NUM_LOOKED_AT)
        pixels = sized.read(places).reshape(len(places), len(config.bright), -1)
        faint, bright = np.quantile(pixels, (0.3, 0.99), axis=2)
        ratio = float(np.median(np.median(bright - faint, axis=0) / config.bright))
        if not 1 / FACTOR < ratio < FACTOR:
            yield (
                f"the images are {ratio:.3g} times as bright as the training images, so the "
                "probabilities mean little"
            )
    scales = (sized.header.pixel_scale_arcsec, config.pixel_scale_arcsec)
    if None in scales and scales != (None, None):
        whose = "images" if scales[0] is None else "training images"
        yield f"the pixel scale of the {whose} is not known; it is taken for the same"
