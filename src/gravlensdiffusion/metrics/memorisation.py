"""Memorisation: are generated images closer to the training set than real ones are?

What a distance sees. Between two images of one lens with fresh noise of rms sigma the squared
distance over D pixels is 2 D sigma^2; between two lenses the difference of their light is added. At
high resolution and low signal-to-noise the first term hides the second, all distances become alike,
and a set with too little noise looks closer to everything. Two remedies: `pixel_vectors` shrinks
images by area, which averages noise and keeps light; and features of an encoder that was trained to
ignore noise, which carry more weight than pixels do. The ratio of the distances to the nearest and
to the second nearest training image cancels what is common to all distances.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.neighbors import NearestNeighbors

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.metrics.features import Floats, check_vectors
from gravlensdiffusion.sets.flux import resize

NUM_TESTS = 4
NUM_PAIRS = 8
"""Closest pairs that are told."""
MIN_IMAGES = 20
"""Images of each set without which the rule for copies says nothing."""
SIDE = 32
"""Height and width of images whose pixels are compared, at most [pixel]."""
QUANTILE = 0.01
"""Quantile of the held-out distances below which generated images count as close."""
FALSE_POSITIVE_RATE = 0.01
"""Chance that a set without copies is called memorised."""


class Nearest(NamedTuple):
    """The two training images nearest to each image of a set."""

    distances: NDArray[np.float64]  # to the nearest, shape `(N,)`
    # To the second nearest, shape `(N,)`; infinite if there is one only.
    second_distances: NDArray[np.float64]
    indices: NDArray[np.int64]  # of the nearest, counted over all training blocks, shape `(N,)`

    @property
    def ratios(self) -> NDArray[np.float64]:
        """Distance to the nearest over that to the second nearest, shape ``(N,)``; 0 for copies."""
        far = self.second_distances
        return np.divide(self.distances, far, out=np.zeros_like(far), where=far > 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Memorisation:
    """How near generated images are to the training set, against held-out real ones."""

    median_ratio: float  # median distance of the generated over that of the held-out; 1 is the goal
    close_fraction: float  # fraction of generated images nearer than the quantile of the held-out
    close_fraction_expected: float  # what it is for generated images like the held-out
    tail_p_value: float  # smallest p-value of the tail tests times their number
    memorised: bool  # whether `tail_p_value` is below the false-positive rate
    # Index of a generated image and of its nearest training image, closest first, shape `(P, 2)`.
    closest_pairs: NDArray[np.int64]
    closest_distances: NDArray[np.float64]  # their distances, shape `(P,)`

    @classmethod
    def of(cls, generated: Nearest, held_out: Nearest) -> Self:
        """Judge whether generated images sit suspiciously close to the training set.

        The rule looks at the near tail, where copies lie. If generated and held-out images are draws
        from one distribution, independent of the training set, the number of M generated images below
        the r-th smallest of N held-out distances is beta-binomial (M, r, N + 1 - r), whatever the
        distribution. Tested are r = 1 and the r of `QUANTILE`, each for the distance and for the ratio
        of nearest to second nearest; each may claim a quarter of `FALSE_POSITIVE_RATE`. The median
        ratio sees the whole set closing in, which too little noise or too little variety does as well:
        it is told, and does not enter the rule.

        Args:
            generated: Neighbours of the generated images.
            held_out: Neighbours of the held-out real images, in the same training set.
        """
        near, far = generated.distances, held_out.distances
        rank = max(1, int(QUANTILE * (len(far) + 1)))
        p_values = [
            _tail_p_value(ours, theirs, r)
            for ours, theirs in ((near, far), (generated.ratios, held_out.ratios))
            for r in (1, rank)
        ]
        tail_p_value = min(1.0, NUM_TESTS * min(p_values))
        closest = np.argsort(near, kind="stable")[:NUM_PAIRS]
        return cls(
            median_ratio=float(np.median(near) / max(np.median(far), np.finfo(float).tiny)),
            close_fraction=float(np.mean(near < np.sort(far)[rank - 1])),
            close_fraction_expected=rank / (len(far) + 1),
            tail_p_value=tail_p_value,
            memorised=tail_p_value < FALSE_POSITIVE_RATE,
            closest_pairs=np.stack([closest, generated.indices[closest]], axis=1),
            closest_distances=near[closest],
        )


def pixel_vectors(images: Floats) -> NDArray[np.float32]:
    """Return images ``(N, C, H, W)`` as vectors ``(N, C * h * w)``, shrunk by area to 32 pixels a side."""
    if max(images.shape[-2:]) > SIDE:
        images = resize(images, SIDE, "area")
    return np.ascontiguousarray(images.reshape(len(images), -1), dtype=np.float32)


def find_nearest(
    generated: Floats, held_out: Floats, training_blocks: Iterable[Floats]
) -> tuple[Nearest, Nearest]:
    """Find the training images nearest to two sets, in one pass over the training set.

    Candidates are found with matrix products; the distances returned are then computed from the
    differences, so that those of near copies are exact.

    Args:
        generated: Vectors, shape ``(M, D)``.
        held_out: Vectors of real images that are not in the training set, shape ``(N, D)``.
        training_blocks: The training set as arrays of shape ``(B, D)``; one is held at a time.

    Raises:
        GravLensError: If shapes do not agree, a value is not finite, or there is no training
            image.
    """
    check_vectors(generated, held_out)
    queries = np.concatenate([generated, held_out]).astype(np.float32)
    distances = np.full((len(queries), 2), np.inf)
    indices = np.full((len(queries), 2), -1, dtype=np.int64)
    count = 0
    for vectors in training_blocks:
        check_vectors(generated, vectors)
        block = np.asarray(vectors, dtype=np.float32)
        search = NearestNeighbors(n_neighbors=min(2, len(block)), algorithm="brute").fit(block)
        nearest = search.kneighbors(queries, return_distance=False)
        found = np.linalg.norm(queries[:, None] - block[nearest], axis=2)
        both = np.concatenate([distances, found], axis=1)
        places = np.concatenate([indices, nearest + count], axis=1)
        best = np.argsort(both, axis=1, kind="stable")[:, :2]
        distances = np.take_along_axis(both, best, 1)
        indices = np.take_along_axis(places, best, 1)
        count += len(block)
    if count == 0:
        raise GravLensError("the training set to compare with is empty")
    near, far = (
        Nearest(distances[half, 0], distances[half, 1], indices[half, 0])
        for half in (slice(len(generated)), slice(len(generated), None))
    )
    return near, far


def _tail_p_value(ours: NDArray[np.float64], theirs: NDArray[np.float64], rank: int) -> float:
    """Return the chance of at least so many of ours below the rank-th smallest of theirs."""
    count = int(np.sum(ours < np.sort(theirs)[rank - 1]))
    law = stats.betabinom(len(ours), rank, len(theirs) + 1 - rank)
    return float(law.sf(count - 1))
