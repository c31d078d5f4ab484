"""Kernel distances between two sets of features: KID, and a test of equality for few images.

The squared maximum mean discrepancy of two distributions is
``E k(x, x') + E k(y, y') - 2 E k(x, y)``, which is 0 where they are equal. The estimates here leave
out the pairs of an image with itself and are therefore unbiased at any number of images, and
negative about as often as positive where the distributions are equal.

References:
    Gretton et al. 2012, J. Mach. Learn. Res. 13, 723, equation 3.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import pdist

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.metrics.features import check_vectors

Array = NDArray[np.float64]

NORMAL_QUANTILE = 1.959964
"""Half the width of a 95% interval, in standard errors."""

SUBSETS_FOR_VARIANCE = 10
"""Subsets from which the variance of KID is estimated, which costs more than the value."""


class _KernelDistance(NamedTuple):
    """A squared maximum mean discrepancy with its uncertainty."""

    value: float  # the unbiased estimate
    standard_error: float  # over new draws of both sets
    num_x: int  # generated images used at a time
    num_y: int  # reference images used at a time
    p_value: float = float("nan")  # share of random splits of the joined sets with at least `value`

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% confidence interval."""
        reach = NORMAL_QUANTILE * self.standard_error
        return self.value - reach, self.value + reach


def _cubic_kernel(x: Array, y: Array) -> Array:
    """Return ``(x . y / D + 1)^3`` for every pair, shape ``(N, M)``."""
    linear = x @ y.T / x.shape[1] + 1
    # Much faster than a power of floating point numbers.
    return linear * linear * linear


def _gaussian_kernel(x: Array, bandwidth: float) -> Array:
    """Return ``exp(-|x_i - x_j|^2 / (2 bandwidth^2))`` for every pair, shape ``(N, N)``."""
    # Distances do not depend on the origin; near the images they suffer least from cancellation.
    x = (x - x.mean(axis=0)) / bandwidth
    half = np.sum(x**2, axis=1) / 2
    return np.asarray(np.exp(np.minimum(x @ x.T - half[:, None] - half, 0)))


def _discrepancy(k_xx: Array, k_yy: Array, k_xy: Array) -> float:
    """Return the unbiased squared discrepancy from the kernel of all pairs."""
    n, m = k_xy.shape
    within_x = (k_xx.sum() - np.trace(k_xx)) / (n * (n - 1))
    within_y = (k_yy.sum() - np.trace(k_yy)) / (m * (m - 1))
    return float(within_x + within_y - 2 * k_xy.mean())


def _variance(k_xx: Array, k_yy: Array, k_xy: Array, num_x: int, num_y: int) -> float:
    """Return the variance that the unbiased estimate has at ``num_x`` and ``num_y`` images.

    The first-order part comes from how much the images differ in their mean kernel, the second
    from pairs; where the distributions are equal only the second is left.

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
) -> _KernelDistance:
    """Return the kernel inception distance: the squared discrepancy with the cubic kernel.

    The value is the mean over random subsets, each drawn without replacement from either set, as in
    torch-fidelity. A subset has as many images as the smaller set where that is less than
    `subset_size`. Where both sets are one subset, one is computed.

    Args:
        x: Features of the generated images, shape ``(N, D)``.
        y: Features of the reference images, shape ``(M, D)``.
        rng: Source of the random subsets.
        subset_size: Images per side in a subset, at most; two at least.
        num_subsets: Number of subsets.

    Raises:
        GravLensError: If the features are not finite, too few, or of different number.

    References:
        Binkowski et al. 2018, arXiv:1801.01401.
    """
    x, y = check_vectors(x, y, least=2)
    size = min(subset_size, len(x), len(y))
    if size == len(x) == len(y):
        num_subsets = 1
    values = np.empty(num_subsets)
    variances = np.empty(min(num_subsets, SUBSETS_FOR_VARIANCE))
    for k in range(num_subsets):
        of_x = x[rng.choice(len(x), size, replace=False)]
        of_y = y[rng.choice(len(y), size, replace=False)]
        kernels = _cubic_kernel(of_x, of_x), _cubic_kernel(of_y, of_y), _cubic_kernel(of_x, of_y)
        values[k] = _discrepancy(*kernels)
        if k < len(variances):
            variances[k] = _variance(*kernels, len(x), len(y))
    # Over draws of the subsets alone, their mean is the estimate from all pairs.
    of_drawing = values.var(ddof=1) / num_subsets if num_subsets > 1 else 0.0
    standard_error = float(np.sqrt(variances.mean() + of_drawing))
    return _KernelDistance(float(values.mean()), standard_error, size, size)


def mmd_test(
    x: ArrayLike,
    y: ArrayLike,
    rng: np.random.Generator,
    *,
    num_permutations: int = 1000,
    max_images: int = 1000,
) -> _KernelDistance:
    """Return the squared discrepancy with a Gaussian kernel, and how often chance gives as much.

    The bandwidth is the median distance within the reference set, so that values of different
    generated sets can be compared with each other. All pairs of images enter; of a set with more
    than `max_images`, a random subset.

    Args:
        x: Features of the generated images, shape ``(N, D)``.
        y: Features of the reference images, shape ``(M, D)``.
        rng: Source of the subset and of the permutations.
        num_permutations: Random splits of the joined sets; the p-value is at least one over their
            number plus 1.
        max_images: Images per side to use, at most; at least 2.

    Raises:
        GravLensError: If the features are not finite, too few, of different number, or mostly the
            same in the reference set.

    References:
        Gretton et al. 2012, J. Mach. Learn. Res. 13, 723.
    """
    x, y = check_vectors(x, y, least=2)
    x, y = _at_most(max_images, x, rng), _at_most(max_images, y, rng)
    bandwidth = float(np.median(pdist(y)))
    if bandwidth <= 0:
        raise GravLensError("more than half of the reference images have the same features")
    kernel = _gaussian_kernel(np.concatenate([x, y]), bandwidth)
    n = len(x)
    blocks = kernel[:n, :n], kernel[n:, n:], kernel[:n, n:]
    value = _discrepancy(*blocks)
    by_chance = _permuted(kernel, n, num_permutations, rng)
    # Rounding may tell equal splits apart.
    reached = int(np.count_nonzero(by_chance >= value - 1e-12))
    standard_error = float(np.sqrt(_variance(*blocks, n, len(y))))
    return _KernelDistance(value, standard_error, n, len(y), (1 + reached) / (1 + num_permutations))


def _components(within: Array, between: Array) -> tuple[float, float]:
    """Return the variances of one set's images and of its pairs, free of each other."""
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


def _permuted(kernel: Array, n: int, num_permutations: int, rng: np.random.Generator) -> Array:
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
