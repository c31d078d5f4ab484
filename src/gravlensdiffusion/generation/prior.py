"""Parameters of images that are asked for none: new ones, spread as those of the training set."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata

from gravlensdiffusion.config.model import ModelConfig
from gravlensdiffusion.diffusion.randomness import Stream, generator
from gravlensdiffusion.presets.parameters import DERIVED


def draw_missing_parameters(
    config: ModelConfig,
    prior: NDArray[np.float64],
    labels: NDArray[np.int16],
    parameters: NDArray[np.float64],
    numbers: range,
    seed: int,
) -> None:
    """Give each image without any parameters some that are spread as in the training set.

    They are drawn from the kernel density estimate of the training images of its class, where there
    are such, on the scale of normal scores: each parameter keeps its own distribution, all keep
    their dependence up to the width of the kernel, and no image has those of a training image. What
    follows from the others is left to the model, and so is what the chosen training image lacks.
    Image k depends on (seed, k) and its class alone. A model of before takes all parameters of that
    training image.

    Args:
        config: The model.
        prior: Class and parameters of some training images, shape ``(prior_size, 1 + P)``.
        labels: Classes of the images, shape ``(N,)``.
        parameters: Their parameters, shape ``(N, P)``; changed in place.
        numbers: Their numbers k.
        seed: Seed.

    References:
        Geenens 2014 (arXiv:1303.4121), the estimate on the scale of normal scores; Scott 1992,
        "Multivariate density estimation", eq. 6.42, its width.
    """
    missing = np.flatnonzero(np.isnan(parameters).all(axis=1))
    # Rounding to single precision may have led out of a range.
    low, high = ([getattr(each, end) for each in config.parameters] for end in ("low", "high"))
    values = np.clip(prior[:, 1:], low, high)
    derived = np.array([each.name in DERIVED for each in config.parameters])
    is_new = config.prior_draws == "density"
    if is_new and not derived.all():
        values[:, derived] = np.nan
    for label in set(labels[missing].tolist()):
        own = values[prior[:, 0] == label]
        table = own if len(own) else values
        scores = normal_scores(table)
        width = len(table) ** (-1 / (np.isfinite(table).any(axis=0).sum() + 4))
        ordered = np.sort(table, axis=0)
        num = np.isfinite(table).sum(axis=0)
        columns = np.arange(table.shape[1])
        for place in missing[labels[missing] == label]:
            rng = generator(seed, numbers[int(place)], Stream.CONDITION)
            row = int(rng.random() * len(table))
            if not is_new:
                parameters[place] = table[row]
                continue
            drawn = (scores[row] + width * rng.standard_normal(len(columns))) / np.hypot(1, width)
            rank = np.where(np.isnan(drawn), 0, np.ceil(ndtr(drawn) * num) - 1)
            value = ordered[np.clip(rank, 0, None).astype(int), columns]
            parameters[place] = np.where(np.isnan(drawn), np.nan, value)


def normal_scores(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the normal deviates of the ranks within each column; NaN stays NaN.

    Args:
        table: Shape ``(N, P)``.

    Returns:
        Shape ``(N, P)``.
    """
    ranks = rankdata(table, axis=0, nan_policy="omit")
    return ndtri((ranks - 0.5) / np.isfinite(table).sum(axis=0).clip(1))
