"""A classifier judged on a set that it was not trained on."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.classification.classes import classes_known_to, read_mix
from gravlensdiffusion.classification.compatibility import doubts, for_classifier
from gravlensdiffusion.classification.fitting import THUMBNAILS, TRAINING
from gravlensdiffusion.classification.judgement import (
    Judged,
    Judgement,
    classifier_facts,
    data_facts,
    judge,
    judging_facts,
)
from gravlensdiffusion.classification.predictions import Predictions, predict, probabilities
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.model.checkpoint import load_classifier
from gravlensdiffusion.nn.classifier import ClassifierNetwork
from gravlensdiffusion.sets.copies import (
    Signatures,
    are_known,
    read_thumbnails,
    sign,
)
from gravlensdiffusion.sets.lens_set import LensSet

DIFFERENT = 0.05
"""Difference of a class's share beyond which the mix is said to be another."""
TRAINED_ON_IT = (
    "these are the images that the classifier was trained on: the numbers say nothing of others"
)
NOT_LOOKED_FOR = (
    "copies of the classifier's training images were not looked for: it does not keep what they are "
    "known by"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sorting:
    """A classifier, and a set that it is about to sort.

    Attributes:
        network: The classifier.
        trained_on: Digest of its training set, or None where it is not recorded.
        source: The images, as the classifier takes them.
        labels: Class of each image by the classifier's own numbers, shape ``(N,)``; -1 where it
            is not known.
        label_names: Name of each image's class; empty where it has none.
        unknown: Classes of the set that the classifier does not know.
        doubts: What cannot be known of the set beside what the classifier was trained on.
        is_known: Which images are copies of those of the training set, shape ``(N,)``; None where
            that was not looked at.
    """

    network: ClassifierNetwork
    trained_on: str | None
    source: LensSet
    labels: NDArray[np.int64]
    label_names: tuple[str, ...]
    unknown: tuple[str, ...]
    doubts: tuple[str, ...]
    is_known: NDArray[np.bool_] | None = None

    def predict(
        self, device: str = "auto", progress: Callable[[int], None] = lambda _: None
    ) -> Predictions:
        """Classify all images; see `predictions.predict`."""
        return predict(self.network, self.source, device=device, progress=progress)

    def probabilities(self, found: Predictions, prior: str) -> NDArray[np.float64]:
        """Return calibrated probabilities for a mix of classes, shape ``(N, K)``.

        Raises:
            GravLensError: If the prior is none.
        """
        return probabilities(self.network.config, found.logits, self.mix(prior))

    def mix(self, prior: str, *, allow_data: bool = False) -> NDArray[np.float64] | None:
        """Return the mix of classes that a prior stands for; see `mixes.read_mix`.

        Raises:
            GravLensError: If it is none.
        """
        labels = self.labels[self.judged()] if allow_data else None
        return read_mix(prior, self.network.config, labels)

    def judged(self) -> NDArray[np.int64]:
        """Return the positions of the originals of known class that are no training images."""
        judges = self.judges()
        return np.flatnonzero(judges if self.is_known is None else judges & ~self.is_known)

    def judges(self) -> NDArray[np.bool_]:
        """Return which images are originals of known class, shape ``(N,)``."""
        return (self.labels >= 0) & ~self.source.is_generated


def prepare_sorting(
    model: Path, source: LensSet, merged: Mapping[str, str] | None = None
) -> Sorting:
    """Read a classifier and fit a set to it.

    Args:
        model: Folder of the classifier.
        source: The images.
        merged: The class that a class of the set is counted as, beside what was merged in training.

    Raises:
        GravLensError: If the classifier cannot be read, or the images do not go with it.
    """
    network = load_classifier(model)
    config = network.config
    own = source.header.class_names
    missing = [name for name in merged or {} if name not in own]
    if missing:
        there = ", ".join(own) or "none"
        raise GravLensError(f"no class '{missing[0]}' to merge; there are: {there}")
    sized = for_classifier(config, source)
    counted_as = dict(config.merged) | dict(merged or {})
    labels, unknown = classes_known_to(config.class_names, counted_as.items(), source)
    names = np.array([*own, ""], dtype=object)[np.asarray(source.labels, dtype=np.int64)]
    known = np.array([*config.class_names, ""], dtype=object)[labels]
    return Sorting(
        network=network,
        trained_on=_fingerprint(model / TRAINING),
        source=sized,
        labels=labels,
        label_names=tuple(known[k] or names[k] for k in range(len(labels))),
        unknown=unknown,
        doubts=tuple(doubts(config, sized)),
    )


def leave_known(sorting: Sorting, model: Path) -> Sorting:
    """Leave copies of the images that a classifier was trained on or chosen by out of its judgement.

    Args:
        sorting: The classifier and the set.
        model: Folder of the classifier.

    Raises:
        GravLensError: If no other image is left to judge by.
    """
    thumbnails = read_thumbnails(model / THUMBNAILS)
    if thumbnails is None:
        return replace(sorting, doubts=(*sorting.doubts, NOT_LOOKED_FOR))
    known = Signatures.of_thumbnails(thumbnails)
    is_known = are_known(sign(sorting.source.blocks()), known)
    judges = sorting.judges()
    num = int((is_known & judges).sum())
    if num and num == judges.sum():
        raise GravLensError(
            "all images are copies of those in the classifier's training set: a score on them says "
            "nothing of others"
        )
    return replace(sorting, is_known=is_known) if num else sorting


def check_judgeable(sorting: Sorting) -> None:
    """Refuse a set that a classifier cannot be judged on, before anything is computed.

    Raises:
        GravLensError: If it has classes that the classifier does not know, or none of some class.
    """
    names = sorting.network.config.class_names
    if sorting.unknown:
        raise GravLensError(
            f"the classifier does not know class '{sorting.unknown[0]}', only {', '.join(names)}; "
            f"`merge` {names[0]}={sorting.unknown[0]} counts it as one of them"
        )
    num = np.bincount(sorting.labels[sorting.judged()], minlength=len(names))
    if not num.any():
        raise GravLensError(
            "the images have no classes to judge by; `gravlens classify predict` needs none"
        )
    for name, count in zip(names, num, strict=True):
        if not count:
            raise GravLensError(f"there is no image of class '{name}' to judge by")


def judge_set(
    sorting: Sorting,
    found: Predictions,
    *,
    prior: str,
    model_name: str,
    data_name: str,
    seed: int,
) -> Judgement:
    """Judge a classifier on a set.

    Args:
        sorting: The classifier and the set.
        found: What the classifier says of the images.
        prior: ``training``, ``even``, ``data``, or shares of the classes.
        model_name: What to call the classifier.
        data_name: What to call the set.
        seed: Seed of the resamplings.

    Raises:
        GravLensError: If the set cannot be judged on.
    """
    check_judgeable(sorting)
    config, where = sorting.network.config, sorting.judged()
    mix = sorting.mix(prior, allow_data=True)
    labels = sorting.labels[where]
    return judge(
        Judged(
            images=sorting.source,
            name=sorting.source.name,
            where=where,
            labels=labels,
            class_names=config.class_names,
        ),
        probabilities(config, found.logits[where], mix),
        title=f"{model_name} on {data_name}",
        seed=seed,
        notes=tuple(_notes(sorting, found, mix)),
        facts={
            "data": data_facts(data_name, sorting.source, found.digest),
            "classifier": {"name": model_name, **classifier_facts(config)},
            "judging": judging_facts(config, mix, seed),
        },
    )


def _notes(sorting: Sorting, found: Predictions, mix: NDArray[np.float64] | None) -> list[str]:
    notes = list(sorting.doubts)
    if found.digest == sorting.trained_on:
        notes.insert(0, TRAINED_ON_IT)
    num_unknown = int(np.count_nonzero(sorting.labels < 0))
    if num_unknown:
        notes.append(f"images of no known class, left out: {num_unknown:,}")
    if sorting.is_known is not None:
        num = int((sorting.is_known & sorting.judges()).sum())
        notes.append(f"copies of images of the classifier's training set, left out: {num:,}")
    num_made = len(sorting.labels) - num_unknown - int(sorting.judges().sum())
    if num_made:
        notes.append(f"generated images, which do not judge, left out: {num_made:,}")
    config = sorting.network.config
    assumed = np.array(config.class_mix) if mix is None else mix
    own = sorting.mix("data", allow_data=True)
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


def _fingerprint(path: Path) -> str | None:
    """Return the digest of a training set from the record of its classifier."""
    try:
        found = json.loads(path.read_bytes())["data_fingerprint"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None
