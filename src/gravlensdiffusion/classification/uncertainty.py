"""How far scores of finitely many images can be trusted."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from gravlensdiffusion.classification.scores import Reliability

LEVEL = 0.95
"""Share of cases in which an interval holds the truth."""
NUM_RESAMPLINGS = 1000
"""Bootstrap resamplings."""

Interval = tuple[float, float]


def wilson(hits: NDArray[np.integer], num: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return intervals for shares, shape ``(..., 2)``; NaN where ``num`` is zero.

    Args:
        hits: Number of hits, any shape.
        num: Number of trials, of the same shape.

    References:
        Wilson 1927, J. Am. Stat. Assoc. 22, 209.
    """
    z = float(norm.ppf(0.5 + LEVEL / 2))
    hits, trials = np.asarray(hits, dtype=float), np.asarray(num, dtype=float)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = hits / trials
        centre = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
        half = np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
        half *= z / (1 + z**2 / trials)
    return np.clip(np.stack([centre - half, centre + half], axis=-1), 0, 1)


def auc_interval(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    seed: int,
    num: int = NUM_RESAMPLINGS,
) -> Interval:
    """Return an interval for the mean area under the ROC curves, by bootstrap over the images.

    Each class keeps its number of images.

    Args:
        probabilities: Shape ``(N, K)``.
        labels: Shape ``(N,)``.
        seed: Seed of the resamplings.
        num: Number of resamplings.
    """
    rng = np.random.default_rng([seed, 0xA0C])
    places = [np.flatnonzero(labels == k) for k in range(probabilities.shape[1])]
    ranked = [_Ranked(probabilities[:, k], labels == k) for k in range(probabilities.shape[1])]
    areas = []
    for _ in range(num):
        drawn = np.concatenate([rng.choice(own, len(own)) for own in places])
        weights = np.bincount(drawn, minlength=len(labels)).astype(float)
        areas.append(np.mean([each.area(weights) for each in ranked]))
    low, high = np.quantile(areas, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return float(low), float(high)


class _Ranked:
    """Images in the order of a score, so that areas of many resamplings need one sort."""

    def __init__(self, score: NDArray[np.float64], positive: NDArray[np.bool_]) -> None:
        _, self.group = np.unique(score, return_inverse=True)
        self.positive = positive
        self.num = int(self.group.max()) + 1

    def area(self, weights: NDArray[np.float64]) -> float:
        """Return the area where each image counts by its weight; ties count half."""
        above, below = (
            np.bincount(self.group, weights * rows, minlength=self.num)
            for rows in (self.positive, ~self.positive)
        )
        lower = np.cumsum(below) - below / 2
        return float((above * lower).sum() / (above.sum() * below.sum()))


def chance_error(reliability: Reliability, seed: int, num: int = 200) -> float:
    """Return the calibration error that probabilities without fault would get.

    Args:
        reliability: Bins of like confidence.
        seed: Seed of the draws.
        num: Number of draws.
    """
    rng = np.random.default_rng([seed, 0xCA1])
    hits = rng.binomial(reliability.num, reliability.confidence, (num, len(reliability.num)))
    gaps = np.abs(hits / reliability.num - reliability.confidence)
    return float((gaps * reliability.num).sum(axis=1).mean() / reliability.num.sum())
