"""How good a classifier's probabilities are: ROC, confusion, recall, calibration."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, roc_auc_score, roc_curve

from gravlensdiffusion.errors import GravLensError

NUM_BINS = 15
"""Bins of the calibration error, each with equally many images."""


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


def score(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], class_names: Sequence[str]
) -> Scores:
    """Score probabilities.

    Args:
        probabilities: Shape ``(N, K)``, each row summing to one.
        labels: Class of each image, shape ``(N,)``.
        class_names: Names of the K classes.

    Raises:
        GravLensError: If there are no images of some class.
    """
    num = np.bincount(labels, minlength=len(class_names))
    for name, count in zip(class_names, num, strict=True):
        if not count:
            raise GravLensError(f"there is no image of class '{name}' to score by")
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
    return Scores(
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
        calibration_error=calibration_error(probabilities, labels),
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
    """Confidence beside what became of it, in bins of like confidence.

    Attributes:
        confidence: Mean probability of the most probable class, shape ``(B,)``.
        hits: Images whose most probable class is theirs, shape ``(B,)``.
        num: Images, shape ``(B,)``.
    """

    confidence: NDArray[np.float64]
    hits: NDArray[np.int64]
    num: NDArray[np.int64]


def reliability(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], num_bins: int = NUM_BINS
) -> Reliability:
    """Return confidence and hits of the most probable class, in bins of equally many images.

    Args:
        probabilities: Shape ``(N, K)``.
        labels: Shape ``(N,)``.
        num_bins: Bins, at most.
    """
    confidence, hit = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    order = np.array_split(np.argsort(confidence, kind="stable"), num_bins)
    bins = [bin_ for bin_ in order if len(bin_)]
    return Reliability(
        confidence=np.array([confidence[bin_].mean() for bin_ in bins]),
        hits=np.array([np.count_nonzero(hit[bin_]) for bin_ in bins]),
        num=np.array([len(bin_) for bin_ in bins]),
    )


def calibration_error(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], num_bins: int = NUM_BINS
) -> float:
    """Return the expected calibration error of the most probable class.

    Args:
        probabilities: Shape ``(N, K)``.
        labels: Shape ``(N,)``.
        num_bins: Bins, with equally many images each.

    References:
        Guo et al. 2017, arXiv:1706.04599, equation 3, with bins of equal numbers.
    """
    bins = reliability(probabilities, labels, num_bins)
    gaps = np.abs(bins.hits / bins.num - bins.confidence)
    return float((gaps * bins.num).sum() / len(labels))


def roc(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], label: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return false and true positive rates of a class against all others, and the thresholds."""
    false, true, thresholds = roc_curve(labels == label, probabilities[:, label])
    return false, true, thresholds
