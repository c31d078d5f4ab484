"""Probabilities of classes for a mix of them, and a classifier judged by them: what its report says and shows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.metrics import roc_curve

from gravlensdiffusion.classification.scores import (
    LEVEL,
    NUM_RESAMPLINGS,
    Reliability,
    Scores,
    auc_interval,
    wilson,
)
from gravlensdiffusion.config.classifier import ClassifierConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.lens_set import LensSet

PACKAGES = ("gravlensdiffusion", "torch", "numpy", "scikit-learn")
NUM_MISTAKES = 16
"""Mistakes that a report shows, at most."""


def probabilities(
    config: ClassifierConfig, logits: NDArray[np.float32], mix: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Return calibrated probabilities of logits, both of shape ``(N, K)``.

    Where a mix ``(K,)`` is given, the share of each class among the images, they are carried over to it
    from that of the training set by Bayes' theorem.

    References:
        Guo et al. 2017, On calibration of modern neural networks, arXiv:1706.04599, section 4.2.
    """
    scaled = logits.astype(np.float64) / config.temperature
    if mix is not None:
        scaled = scaled + np.log(mix) - np.log(config.class_mix)
    return np.asarray(softmax(scaled, axis=1))


def read_mix(
    text: str, config: ClassifierConfig, labels: NDArray[np.int64] | None = None
) -> NDArray[np.float64] | None:
    """Return the share of each class, shape ``(K,)``; None for that of the training set.

    Args:
        text: ``training``, ``even``, ``data``, or shares like ``lens=0.01,no_lens=0.99``.
        config: The classifier's configuration.
        labels: Class of each image, where ``data`` is allowed, shape ``(N,)``.

    Raises:
        GravLensError: If the text says no mix of all classes.
    """
    names = config.class_names
    if text == "training":
        return None
    if text == "even":
        return np.full(len(names), 1 / len(names))
    if text == "data" and labels is not None:
        counts = np.bincount(labels[labels >= 0], minlength=len(names))
        return np.maximum(counts, 1) / np.maximum(counts, 1).sum()
    example = ",".join(f"{name}={1 / len(names):.4g}" for name in names)
    data = "" if labels is None else ", data"
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, equals, number = part.rpartition("=")
        try:
            share = float(number)
        except ValueError:
            share = math.nan
        if not equals or math.isnan(share):
            raise GravLensError(
                f"`prior` must be training, even{data} or shares like {example}, got '{text}'"
            )
        if name.strip() not in names:
            raise GravLensError(
                f"`prior` names class '{name.strip()}'; the classifier has {', '.join(names)}"
            )
        if name.strip() in shares:
            raise GravLensError(f"`prior` gives class '{name.strip()}' two shares, got '{text}'")
        shares[name.strip()] = share
    missing = [name for name in names if name not in shares]
    if missing:
        raise GravLensError(f"`prior` says nothing of class '{missing[0]}'")
    mix = np.array([shares[name] for name in names])
    if not (mix > 0).all() or abs(mix.sum() - 1) > 1e-3:
        raise GravLensError(f"`prior` needs positive shares that sum to 1, got '{text}'")
    return np.asarray(mix / mix.sum(), dtype=np.float64)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Mistake:
    """An image ``(C, S, S)`` that was taken for another class, with the probability of that class."""

    image: NDArray[np.float32]
    name: str
    label: int
    called: int
    probability: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """How good a classifier is.

    Attributes:
        title: What was judged on what.
        scores: The numbers.
        auc_interval: Interval of the mean area under the ROC curves.
        recall_intervals: Interval of each class's recall, shape ``(K, 2)``.
        precision_intervals: Interval of each class's precision, shape ``(K, 2)``; NaN where no
            image was called it.
        curves: ROC curve of each class against all others: false and true positive rates.
        reliability: Confidence beside what became of it.
        chance_error: Calibration error that probabilities without fault would get.
        mistakes: The most confident ones.
        num_mistakes: How many there are in all.
        notes: What a reader should know, one sentence each.
        facts: All that the numbers depend on; ready for JSON.
    """

    title: str
    scores: Scores
    auc_interval: tuple[float, float]
    recall_intervals: NDArray[np.float64]
    precision_intervals: NDArray[np.float64]
    curves: tuple[tuple[NDArray[np.float64], NDArray[np.float64]], ...]
    reliability: Reliability
    chance_error: float
    mistakes: tuple[_Mistake, ...]
    num_mistakes: int
    notes: tuple[str, ...] = ()
    facts: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        config: ClassifierConfig,
        images: LensSet,
        where: NDArray[np.int64],
        logits: NDArray[np.float32],
        *,
        title: str,
        name: str,
        digest: str,
        seed: int,
        called: str = "",
        mix: NDArray[np.float64] | None = None,
        notes: Sequence[str] = (),
        training: Mapping[str, Any] | None = None,
    ) -> Self:
        """Judge what a classifier says of images.

        Args:
            config: The classifier's configuration.
            images: A set with the classes of the classifier, at the size that it sees.
            where: Positions of the images that it is judged on, shape ``(N,)``.
            logits: What it says of these before calibration, shape ``(N, K)``.
            title: What was judged on what.
            name: What the set is called.
            digest: Digest of its images and labels.
            seed: Seed of the resamplings.
            called: What the classifier is called; empty where it was trained on this set.
            mix: The mix of classes that the probabilities are for; see `read_mix`.
            notes: What a reader should know.
            training: How it was trained, where it was trained on this set; ready for JSON.
        """
        chances = probabilities(config, logits, mix)
        labels = images.labels[where].astype(np.int64)
        scores = Scores.of(chances, labels, images.header.class_names)
        hits, num_called = np.diag(scores.confusion), scores.confusion.sum(axis=0)
        bins = Reliability.of(chances, labels)
        curves = (roc_curve(labels == k, chances[:, k])[:2] for k in range(len(scores.class_names)))
        return cls(
            title=title,
            scores=scores,
            auc_interval=auc_interval(chances, labels, seed),
            recall_intervals=wilson(hits, scores.num_images),
            precision_intervals=wilson(hits, num_called),
            curves=tuple(curves),
            reliability=bins,
            chance_error=bins.chance_error(seed),
            mistakes=_find_mistakes(images, where, chances),
            num_mistakes=int(scores.num_images.sum() - hits.sum()),
            notes=tuple(notes),
            facts=_facts(config, images, name, digest, seed, called, mix)
            | ({} if training is None else {"training": training}),
        )


def _find_mistakes(
    images: LensSet, where: NDArray[np.int64], probabilities: NDArray[np.float64]
) -> tuple[_Mistake, ...]:
    """Return the images that were taken for another class, the most confident mistakes first."""
    called, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    labels = images.labels[where]
    wrong = np.flatnonzero(called != labels)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:NUM_MISTAKES]
    return tuple(
        _Mistake(
            image=image,
            name=images.name(int(where[k])),
            label=int(labels[k]),
            called=int(called[k]),
            probability=float(confidence[k]),
        )
        for k, image in zip(worst, images.read(where[worst]), strict=True)
    )


def _facts(
    config: ClassifierConfig,
    source: LensSet,
    name: str,
    digest: str,
    seed: int,
    called: str,
    mix: NDArray[np.float64] | None,
) -> dict[str, Any]:
    """Return what is known of a set, of a classifier, and of how one is judged on the other."""
    header = source.header
    return {
        "data": {
            "name": name,
            "images": len(source),
            "digest": digest,
            "pixel_scale_arcsec": header.pixel_scale_arcsec,
            "flux_unit": header.flux_unit,
            "resize": header.resize,
        },
        "classifier": ({"name": called} if called else {})
        | {
            "classes": list(config.class_names),
            "merged": [f"{old} as {new}" for old, new in config.merged],
            "training_data": config.training_data,
            "training_mix": _by_class(config, config.class_mix),
            "image_size": config.image_size,
            "channels": list(config.channels),
            "temperature": config.temperature,
        },
        "judging": {
            "probabilities_for": _by_class(config, config.class_mix if mix is None else mix),
            "intervals": f"{LEVEL:.0%}: AUC by {NUM_RESAMPLINGS:,} resamplings of the images, seed "
            f"{seed}; recall and precision after Wilson (1927)",
            "versions": {name: version(name) for name in PACKAGES},
        },
    }


def _by_class(config: ClassifierConfig, values: Any) -> dict[str, float]:
    named = zip(config.class_names, map(float, values), strict=True)
    return {name: round(value, 6) for name, value in named}
