"""Kernel distances between two sets of features: KID, and a test of equality for few images.

The squared maximum mean discrepancy of two distributions is
``E k(x, x') + E k(y, y') - 2 E k(x, y)``, which is 0 where they are equal. The estimates here leave
out the pairs of an image with itself and are therefore unbiased at any number of images, and
negative about as often as positive where the distributions are equal.

References:
    Gretton et al. 2012, J. Mach. Learn. Res. 13, 723, equation 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import pdist

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.metrics.features import check_pair

Array = NDArray[np.float64]

NORMAL_QUANTILE = 1.959964
"""Half the width of a 95% interval, in standard errors."""

SUBSETS_FOR_VARIANCE = 10
"""Subsets from which the variance of KID is estimated, which costs more than the value."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KernelDistance:
    """A squared maximum mean discrepancy with its uncertainty.

    Attributes:
        value: The unbiased estimate.
        standard_error: Its standard error over new draws of both sets.
        subset_size: Images per side in one subset.
        num_subsets: Number of subsets that the value is the mean of.
    """

    value: float
    standard_error: float
    subset_size: int
    num_subsets: int

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% confidence interval."""
        reach = NORMAL_QUANTILE * self.standard_error
        return self.value - reach, self.value + reach


@dataclass(frozen=True, kw_only=True, slots=True)
class KernelTest:
    """A test of whether two sets come from one distribution.

    Attributes:
        value: The unbiased estimate of the squared discrepancy.
        standard_error: Its standard error over new draws of both sets.
        p_value: Fraction of random splits of the joined sets with at least this value.
        bandwidth: Bandwidth of the Gaussian kernel that has scale 1, in units of the features.
        num_x: Generated images used.
        num_y: Reference images used.
    """

    value: float
    standard_error: float
    p_value: float
    bandwidth: float
    num_x: int
    num_y: int


def cubic_kernel(x: Array, y: Array) -> Array:
    """Return ``(x . y / D + 1)^3`` for every pair, shape ``(N, M)``."""
    linear = x @ y.T / x.shape[1] + 1
    # Much faster than a power of floating point numbers.
    return linear * linear * linear


def gaussian_kernel(
    x: Array, y: Array, bandwidth: float, scales: Sequence[float] = (1.0,)
) -> Array:
    """Return the mean of ``exp(-|x - y|^2 / (2 (scale bandwidth)^2))`` over the scales.

    Args:
        x: Shape ``(N, D)``.
        y: Shape ``(M, D)``.
        bandwidth: Bandwidth at scale 1, in units of the features.
        scales: Bandwidths of the mixture, in units of `bandwidth`.

    Returns:
        Shape ``(N, M)``.
    """
    # Distances do not depend on the origin; near the images they suffer least from cancellation.
    origin = y.mean(axis=0)
    x, y = (x - origin) / bandwidth, (y - origin) / bandwidth
    exponent = x @ y.T - np.sum(x**2, axis=1)[:, None] / 2 - np.sum(y**2, axis=1) / 2
    exponent = np.minimum(exponent, 0)
    kernel = np.zeros_like(exponent)
    for scale in scales:
        kernel += np.exp(exponent / scale**2)
    return kernel / len(scales)


def unbiased_discrepancy(k_xx: Array, k_yy: Array, k_xy: Array) -> float:
    """Return the unbiased squared discrepancy from the kernel of all pairs.

    Args:
        k_xx: Shape ``(N, N)``.
        k_yy: Shape ``(M, M)``.
        k_xy: Shape ``(N, M)``.
    """
    n, m = k_xy.shape
    within_x = (k_xx.sum() - np.trace(k_xx)) / (n * (n - 1))
    within_y = (k_yy.sum() - np.trace(k_yy)) / (m * (m - 1))
    return float(within_x + within_y - 2 * k_xy.mean())


def discrepancy_variance(k_xx: Array, k_yy: Array, k_xy: Array, num_x: int, num_y: int) -> float:
    """Return the variance that the unbiased estimate has at ``num_x`` and ``num_y`` images.

    The first-order part comes from how much the images differ in their mean kernel, the second
    from pairs; where the distributions are equal only the second is left.

    Args:
        k_xx: Kernel of some generated images, shape ``(N, N)``, N at least 2.
        k_yy: Kernel of some reference images, shape ``(M, M)``, M at least 2.
        k_xy: Kernel between them, shape ``(N, M)``.
        num_x: Number of generated images of the estimate in question.
        num_y: Number of reference images.

    References:
        Serfling 1980, Approximation theorems of mathematical statistics, section 5.2.1, lemma A,
        for two samples.
    """
    first_x, pairs_x = _components(k_xx, k_xy)
    first_y, pairs_y = _components(k_yy, k_xy.T)
    centred = k_xy - k_xy.mean(0) - k_xy.mean(1)[:, None] + k_xy.mean()
    pairs_xy = np.sum(centred**2) / ((k_xy.shape[0] - 1) * (k_xy.shape[1] - 1))
    first = 4 * first_x / num_x + 4 * first_y / num_y
    second = 2 * pairs_x / (num_x * (num_x - 1)) + 2 * pairs_y / (num_y * (num_y - 1))
    return float(max(0.0, first) + second + 4 * pairs_xy / (num_x * num_y))


def kid(
    x: ArrayLike,
    y: ArrayLike,
    rng: np.random.Generator,
    *,
    subset_size: int = 1000,
    num_subsets: int = 100,
) -> KernelDistance:
    """Return the kernel inception distance: the squared discrepancy with the cubic kernel.

    The value is the mean over random subsets, each drawn without replacement from either set, as in
    torch-fidelity. A subset has as many images as the smaller set where that is less than
    `subset_size`. Where both sets are one subset, one is computed.

    Args:
        x: Features of the generated images, shape ``(N, D)``.
        y: Features of the reference images, shape ``(M, D)``.
        rng: Source of the random subsets.
        subset_size: Images per side in a subset, at most.
        num_subsets: Number of subsets.

    Raises:
        GravLensError: If the features are not finite, too few, or of different number.

    References:
        Binkowski et al. 2018, arXiv:1801.01401.
    """
    x, y = check_pair(x, y)
    size = min(subset_size, len(x), len(y))
    if size < 2 or num_subsets < 1:
        raise GravLensError(
            f"KID needs subsets of at least 2 images and at least 1 subset, got {subset_size} and "
            f"{num_subsets}"
        )
    if size == len(x) == len(y):
        num_subsets = 1
    values = np.empty(num_subsets)
    variances = np.empty(min(num_subsets, SUBSETS_FOR_VARIANCE))
    for k in range(num_subsets):
        of_x = x[rng.choice(len(x), size, replace=False)]
        of_y = y[rng.choice(len(y), size, replace=False)]
        kernels = cubic_kernel(of_x, of_x), cubic_kernel(of_y, of_y), cubic_kernel(of_x, of_y)
        values[k] = unbiased_discrepancy(*kernels)
        if k < len(variances):
            variances[k] = discrepancy_variance(*kernels, len(x), len(y))
    # Over draws of the subsets alone, their mean is the estimate from all pairs.
    of_drawing = values.var(ddof=1) / num_subsets if num_subsets > 1 else 0.0
    return KernelDistance(
        value=float(values.mean()),
        standard_error=float(np.sqrt(variances.mean() + of_drawing)),
        subset_size=size,
        num_subsets=num_subsets,
    )


def median_bandwidth(reference: Array) -> float:
    """Return the median distance between different images of the reference set.

    Raises:
        GravLensError: If that is 0, so that it is no scale to compare with.
    """
    median = float(np.median(pdist(reference)))
    if median <= 0:
        raise GravLensError("more than half of the reference images have the same features")
    return median


def mmd_test(
    x: ArrayLike,
    y: ArrayLike,
    rng: np.random.Generator,
    *,
    scales: Sequence[float] = (1.0,),
    num_permutations: int = 1000,
    max_images: int = 1000,
) -> KernelTest:
    """Return the squared discrepancy with a Gaussian kernel, and how often chance gives as much.

    The bandwidth is the median distance within the reference set, so that values of different
    generated sets can be compared with each other. All pairs of images enter; of a set with more
    than `max_images`, a random subset.

    Args:
        x: Features of the generated images, shape ``(N, D)``.
        y: Features of the reference images, shape ``(M, D)``.
        rng: Source of the subset and of the permutations.
        scales: Bandwidths of the mixture of kernels, in units of the median distance.
        num_permutations: Random splits of the joined sets; the p-value is at least one over their
            number plus 1.
        max_images: Images per side to use, at most; at least 2.

    Raises:
        GravLensError: If the features are not finite, too few, of different number, or mostly the
            same in the reference set.

    References:
        Gretton et al. 2012, J. Mach. Learn. Res. 13, 723.
    """
    x, y = check_pair(x, y)
    x, y = _at_most(max_images, x, rng), _at_most(max_images, y, rng)
    bandwidth = median_bandwidth(y)
    joined = np.concatenate([x, y])
    kernel = gaussian_kernel(joined, joined, bandwidth, scales)
    n = len(x)
    blocks = kernel[:n, :n], kernel[n:, n:], kernel[:n, n:]
    value = unbiased_discrepancy(*blocks)
    by_chance = _permuted_discrepancies(kernel, n, num_permutations, rng)
    # Rounding may tell equal splits apart.
    reached = int(np.count_nonzero(by_chance >= value - 1e-12))
    return KernelTest(
        value=value,
        standard_error=float(np.sqrt(discrepancy_variance(*blocks, len(x), len(y)))),
        p_value=(1 + reached) / (1 + num_permutations),
        bandwidth=bandwidth,
        num_x=len(x),
        num_y=len(y),
    )


def _components(within: Array, between: Array) -> tuple[float, float]:
    """Return the variances of one set's images and of its pairs, free of each other.

    Args:
        within: Kernel within the set, shape ``(N, N)``.
        between: Kernel to the other set, shape ``(N, M)``.
    """
    n, m = between.shape
    off_diagonal = within - np.diag(np.diag(within))
    means = off_diagonal.sum(axis=1) / (n - 1)
    squares = np.sum(off_diagonal**2, axis=1) / (n - 1)
    centred = off_diagonal - means - means[:, None] + means.mean()
    np.fill_diagonal(centred, 0)
    pairs = np.sum(centred**2) / (n * (n - 1))
    # A mean over finitely many pairs scatters by itself; that is not a difference between images.
    of_means = np.mean(squares - means**2) / max(n - 2, 1) + between.var(axis=1, ddof=1).mean() / m
    return float((means - between.mean(axis=1)).var(ddof=1) - of_means), float(pairs)


def _at_most(num: int, features: Array, rng: np.random.Generator) -> Array:
    if len(features) <= num:
        return features
    return features[np.sort(rng.choice(len(features), num, replace=False))]


def _permuted_discrepancies(
    kernel: Array, n: int, num_permutations: int, rng: np.random.Generator
) -> Array:
    """Return the unbiased discrepancies of random splits of all images into n and the others."""
    total = len(kernel)
    m = total - n
    kernel = kernel - np.diag(np.diag(kernel))
    chosen = np.zeros((num_permutations, total))
    for row in chosen:
        row[rng.permutation(total)[:n]] = 1
    to_all = kernel.sum(axis=0)
    within_x = np.einsum("pi,pi->p", chosen @ kernel, chosen)
    between = chosen @ to_all - within_x
    within_y = to_all.sum() - within_x - 2 * between
    return within_x / (n * (n - 1)) + within_y / (m * (m - 1)) - 2 * between / (n * m)
