"""The Fréchet distance between two sets of features, and its value for infinitely many images."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.metrics.features import check_features, check_pair


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureStatistics:
    """The Gaussian that stands for a set of features.

    Attributes:
        mean: Mean, shape ``(D,)``.
        covariance: Covariance with divisor ``num - 1``, shape ``(D, D)``.
        num: Number of images.
    """

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    num: int

    @property
    def rank(self) -> int:
        """The largest rank that the covariance of so many images can have."""
        return min(len(self.mean), self.num - 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Extrapolation:
    """The Fréchet distance as a straight line in 1/N.

    Attributes:
        value: The distance that infinitely many images would have.
        standard_error: Its standard error, which counts that the images are a finite sample.
        slope: Bias of the distance between the whole sets, ``distances[0] - value`` on the line.
        distances: Mean distance with the sets cut into 1, 2, ... parts.
        smallest: Images of the smaller set in one of the smallest parts.
        num_features: Number of features D.
    """

    value: float
    standard_error: float
    slope: float
    distances: tuple[float, ...]
    smallest: int
    num_features: int

    @property
    def is_reliable(self) -> bool:
        """Whether each part has more images than features; else the bias need not go as 1/N."""
        return self.smallest > self.num_features


def feature_statistics(features: ArrayLike) -> FeatureStatistics:
    """Return mean and covariance of features of shape ``(N, D)``, in double precision."""
    array = check_features(features)
    mean = array.mean(axis=0)
    centred = array - mean
    covariance = centred.T @ centred / (len(array) - 1)
    return FeatureStatistics(mean=mean, covariance=covariance, num=len(array))


def distance_of_statistics(first: FeatureStatistics, second: FeatureStatistics) -> float:
    """Return the squared Fréchet (2-Wasserstein) distance between two Gaussians.

    ``|mean_1 - mean_2|^2 + tr C_1 + tr C_2 - 2 tr (C_1^1/2 C_2 C_1^1/2)^1/2``, where the last trace
    is the sum of the square roots of the eigenvalues, clipped at 0. A covariance of N images has at
    most N - 1 eigenvalues that are not 0; only so many are used, so that rounding errors of the
    others, whose square roots are large, do not add up.

    Raises:
        GravLensError: If the statistics have different numbers of features.

    References:
        Dowson and Landau 1982, J. Multivariate Anal. 12, 450.
        Heusel et al. 2017, arXiv:1706.08500, equation 6.
    """
    if first.mean.shape != second.mean.shape:
        raise GravLensError(
            f"statistics differ in the number of features: {len(first.mean)} and {len(second.mean)}"
        )
    low, high = sorted((first, second), key=lambda one: one.rank)
    eigenvalues, vectors = np.linalg.eigh(low.covariance)
    root = vectors[:, -low.rank :] * np.sqrt(eigenvalues[-low.rank :].clip(min=0))
    product = root.T @ high.covariance @ root
    squares = np.linalg.eigvalsh((product + product.T) / 2)
    trace = np.trace(first.covariance) + np.trace(second.covariance)
    shift = first.mean - second.mean
    # Rounding may take the distance between equal sets a little below 0.
    return max(0.0, float(shift @ shift + trace - 2 * np.sqrt(squares.clip(min=0)).sum()))


def distance_by_nuclear_norm(x: ArrayLike, y: ArrayLike) -> float:
    """Return the squared Fréchet distance without forming a covariance.

    With the centred features ``X`` and ``Y``, the last trace of `distance_of_statistics` is the sum
    of the singular values of ``X Y^T / sqrt((N - 1) (M - 1))``: no eigenvalue is squared or rooted,
    and the cost falls with the number of images. From the distance by scipy's ``sqrtm`` of the
    product of the covariances it differs by less than 1e-8 of its value at full rank, and by 1e-7
    to 1e-6 at rank 99 of 2048, where ``sqrtm`` of a singular matrix is in error.

    Args:
        x: Shape ``(N, D)``.
        y: Shape ``(M, D)``.

    Raises:
        GravLensError: If the features are not finite, too few, or of different number.
    """
    x, y = check_pair(x, y)
    shift = x.mean(axis=0) - y.mean(axis=0)
    x_root = (x - x.mean(axis=0)) / np.sqrt(len(x) - 1)
    y_root = (y - y.mean(axis=0)) / np.sqrt(len(y) - 1)
    trace = np.sum(x_root**2) + np.sum(y_root**2)
    nuclear_norm = np.linalg.svd(x_root @ y_root.T, compute_uv=False).sum()
    return max(0.0, float(shift @ shift + trace - 2 * nuclear_norm))


def frechet_distance(x: ArrayLike, y: ArrayLike) -> float:
    """Return the squared Fréchet distance between two sets, by the cheaper exact way.

    Args:
        x: Shape ``(N, D)``.
        y: Shape ``(M, D)``.

    Raises:
        GravLensError: If the features are not finite, too few, or of different number.
    """
    x, y = check_pair(x, y)
    if min(len(x), len(y)) <= x.shape[1]:
        return distance_by_nuclear_norm(x, y)
    return distance_of_statistics(feature_statistics(x), feature_statistics(y))


def extrapolate(
    x: ArrayLike, y: ArrayLike, rng: np.random.Generator, *, max_parts: int = 5
) -> Extrapolation:
    """Return the Fréchet distance extrapolated to infinitely many images.

    The distance between finite sets is too large, by nearly a constant over N. Both sets are cut at
    random into k = 1, ..., `max_parts` disjoint parts, the distances between the parts are
    averaged, and a straight line in k is followed to k = 0. Since every average uses each image
    once, all share the sampling error of the whole sets; it is estimated from the scatter of the
    parts, which is k times larger, and is therefore the standard error of the intercept (somewhat
    too large where the two distributions are equal).

    Unlike the reference, which cuts the generated set alone, this corrects for the finite size of
    both sets.

    Args:
        x: Shape ``(N, D)``.
        y: Shape ``(M, D)``.
        rng: Source of the random cuts.
        max_parts: Largest number of parts, at least 2.

    Raises:
        GravLensError: If a part would have fewer than two images, or the features are not finite.

    References:
        Chong and Forsyth 2020, arXiv:1911.07023.
    """
    x, y = check_pair(x, y)
    smallest = min(len(x), len(y)) // max_parts if max_parts >= 2 else 0
    if smallest < 2:
        raise GravLensError(
            f"cannot extrapolate from {len(x)} and {len(y)} images in up to {max_parts} parts: "
            "at least 2 parts of at least 2 images are needed"
        )
    counts = np.arange(1, max_parts + 1)
    distances = [_distances_of_parts(x, y, int(count), rng) for count in counts]
    means = np.array([values.mean() for values in distances])
    slope, value = np.polyfit(counts, means, 1)
    # The scatter of k parts estimates k times the variance of the whole, with k - 1 degrees of
    # freedom.
    squares = sum(np.sum((values - values.mean()) ** 2) / len(values) for values in distances)
    return Extrapolation(
        value=float(value),
        standard_error=float(np.sqrt(squares / np.sum(counts - 1))),
        slope=float(slope),
        distances=tuple(means.tolist()),
        smallest=smallest,
        num_features=x.shape[1],
    )


def _distances_of_parts(
    x: NDArray[np.float64], y: NDArray[np.float64], num: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the distances between ``num`` pairs of disjoint random parts of two sets."""
    x_parts = np.array_split(rng.permutation(len(x)), num)
    y_parts = np.array_split(rng.permutation(len(y)), num)
    pairs = zip(x_parts, y_parts, strict=True)
    return np.array([frechet_distance(x[of_x], y[of_y]) for of_x, of_y in pairs])
