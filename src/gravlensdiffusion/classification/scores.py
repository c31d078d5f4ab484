"""How good a classifier's probabilities are, and how far that can be trusted."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Self

import numpy as np
from astropy.stats import binom_conf_interval
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, roc_auc_score

NUM_BINS = 15
"""Bins of the calibration error, each with equally many images."""
LEVEL = 0.95
"""Share of cases in which an interval holds the truth."""
NUM_RESAMPLINGS = 1000
"""Bootstrap resamplings."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """What a classifier does on images whose class is known.

    Attributes:
        class_names: Names of the classes.
        num_images: Number of images of each class, shape ``(K,)``.
        auc: Mean over the classes of the area under the ROC curve of each against all others.
        class_auc: That area for each class, shape ``(K,)``.
        pair_auc: Area for each pair of classes alone, by their positions.
        accuracy: Share of images whose most probable class is theirs.
        recall: That share within each class, shape ``(K,)``.
        precision: Share of each class's images among those called it, shape ``(K,)``; NaN where
            none is.
        confusion: Images of each class (rows) by what they are called (columns), ``(K, K)``.
        log_loss: Mean negative log-likelihood [nat].
        brier: Mean square distance of the probabilities from the truth, summed over the classes.
        calibration_error: Mean distance of confidence from accuracy over bins of like confidence.
    """

    class_names: tuple[str, ...]
    num_images: NDArray[np.int64]
    auc: float
    class_auc: NDArray[np.float64]
    pair_auc: dict[tuple[int, int], float]
    accuracy: float
    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    confusion: NDArray[np.int64]
    log_loss: float
    brier: float
    calibration_error: float

    @classmethod
    def of(
        cls,
        probabilities: NDArray[np.float64],
        labels: NDArray[np.int64],
        class_names: Sequence[str],
    ) -> Self:
        """Score probabilities ``(N, K)`` of images of classes ``(N,)``, some of each class."""
        num = np.bincount(labels, minlength=len(class_names))
        class_auc = np.array(
            [roc_auc_score(labels == k, probabilities[:, k]) for k in range(len(class_names))]
        )
        called = probabilities.argmax(axis=1)
        confusion = confusion_matrix(labels, called, labels=range(len(class_names)))
        hits = np.diag(confusion)
        with np.errstate(invalid="ignore"):
            precision = hits / confusion.sum(axis=0)
        truth = np.eye(len(class_names))[labels]
        own = probabilities[np.arange(len(labels)), labels]
        return cls(
            class_names=tuple(class_names),
            num_images=num,
            auc=float(class_auc.mean()),
            class_auc=class_auc,
            pair_auc=dict(_pairs(probabilities, labels)),
            accuracy=float(hits.sum() / len(labels)),
            recall=hits / num,
            precision=precision,
            confusion=confusion,
            log_loss=float(-np.log(np.maximum(own, 1e-300)).mean()),
            brier=float(((probabilities - truth) ** 2).sum(axis=1).mean()),
            calibration_error=Reliability.of(probabilities, labels).error,
        )


def _pairs(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64]
) -> Iterator[tuple[tuple[int, int], float]]:
    """Yield the area of each pair of classes, by the odds of the second against the first."""
    logs = np.log(np.maximum(probabilities, 1e-300))
    for a, b in combinations(range(probabilities.shape[1]), 2):
        rows = (labels == a) | (labels == b)
        odds = logs[rows, b] - logs[rows, a]
        yield (a, b), float(roc_auc_score(labels[rows] == b, odds))


@dataclass(frozen=True, kw_only=True, slots=True)
class Reliability:
    """Confidence beside what became of it, in bins of like confidence."""

    confidence: NDArray[np.float64]  # mean probability of the most probable class, shape `(B,)`
    hits: NDArray[np.int64]  # images whose most probable class is theirs, shape `(B,)`
    num: NDArray[np.int64]  # images, shape `(B,)`

    @classmethod
    def of(
        cls, probabilities: NDArray[np.float64], labels: NDArray[np.int64], num_bins: int = NUM_BINS
    ) -> Self:
        """Return those of probabilities ``(N, K)`` and classes ``(N,)``, in bins of equally many images."""
        confidence, hit = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
        order = np.array_split(np.argsort(confidence, kind="stable"), num_bins)
        bins = [bin_ for bin_ in order if len(bin_)]
        return cls(
            confidence=np.array([confidence[bin_].mean() for bin_ in bins]),
            hits=np.array([np.count_nonzero(hit[bin_]) for bin_ in bins]),
            num=np.array([len(bin_) for bin_ in bins]),
        )

    @property
    def error(self) -> float:
        """The expected calibration error: mean distance of confidence from accuracy.

        References:
            Guo et al. 2017, arXiv:1706.04599, equation 3, with bins of equal numbers.
        """
        gaps = np.abs(self.hits / self.num - self.confidence)
        return float((gaps * self.num).sum() / self.num.sum())

    def chance_error(self, seed: int) -> float:
        """Return the error that probabilities without fault would get, over 200 draws."""
        rng = np.random.default_rng([seed, 0xCA1])
        drawn = rng.binomial(self.num, self.confidence, (200, len(self.num)))
        return float(np.mean([replace(self, hits=hits).error for hits in drawn]))


def wilson(hits: NDArray[np.integer], num: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return Wilson's intervals for shares of hits, shape ``(..., 2)``; NaN where ``num`` is zero."""
    trials = np.maximum(num, 1)
    intervals = binom_conf_interval(np.minimum(hits, trials), trials, LEVEL, interval="wilson")
    return np.moveaxis(np.where(np.asarray(num) > 0, intervals, np.nan), 0, -1)


def auc_interval(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    seed: int,
    num: int = NUM_RESAMPLINGS,
) -> tuple[float, float]:
    """Return an interval for the mean area under the ROC curves, by bootstrap over the images.

    Each class keeps its number of images. Probabilities have shape ``(N, K)``, labels ``(N,)``; ``num`` is the
    number of resamplings.
    """
    rng = np.random.default_rng([seed, 0xA0C])
    places = [np.flatnonzero(labels == k) for k in range(probabilities.shape[1])]
    # One sort of the images serves all resamplings.
    groups = [np.unique(column, return_inverse=True)[1] for column in probabilities.T]
    areas = []
    for _ in range(num):
        drawn = np.concatenate([rng.choice(own, len(own)) for own in places])
        weights = np.bincount(drawn, minlength=len(labels)).astype(float)
        areas.append(np.mean([_area(each, labels == k, weights) for k, each in enumerate(groups)]))
    low, high = np.quantile(areas, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return float(low), float(high)


def _area(
    group: NDArray[np.integer], positive: NDArray[np.bool_], weights: NDArray[np.float64]
) -> float:
    """Return the area of images in groups of like score, where each counts by its weight."""
    above, below = (np.bincount(group, weights * rows) for rows in (positive, ~positive))
    lower = np.cumsum(below) - below / 2
    return float((above * lower).sum() / (above.sum() * below.sum()))
