"""Parameters of images that are asked for none: new ones, spread as those of the training set."""

import warnings
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata

from gravlensdiffusion.config.bounds import UNLABELLED
from gravlensdiffusion.diffusion.randomness import Stream, generator
from gravlensdiffusion.model.build import Model
from gravlensdiffusion.presets.parameters import DERIVED

NUM_TRIED = 16
"""Draws of which the best is taken where what follows from the parameters is asked for."""

SIGNIFICANCE = 4.0
"""Correlation from which parameters count as dependent [standard deviations of that of independent ones]."""


def draw_missing_parameters(
    model: Model,
    labels: NDArray[np.int16],
    parameters: NDArray[np.float64],
    numbers: range,
    seed: int,
) -> None:
    """Give each image the parameters that it was not asked for, spread as in the training set.

    They are drawn from kernel density estimates of the training images of its class, where there
    are such, given what was asked, on the scale of normal scores: each parameter keeps its own
    distribution, those that depend on each other do so up to the width of the kernel, the others are
    drawn on their own, and no image has those of a training image. What follows from the others is
    left to the model, and so is what the chosen training image lacks; where it is asked for and can be
    computed, the best of several draws is taken. Image k depends on (seed, k) and what it is asked to
    be alone. A model of before takes all parameters of that training image, where none is asked for.

    Args:
        model: The model; one without a table of training images leaves all as it is.
        labels: Class of each image, shape ``(N,)``; -1 for any.
        parameters: What is asked of them, shape ``(N, P)``, NaN for nothing; changed in place.
        numbers: Numbers k of the images.
        seed: Seed.

    References:
        Geenens 2014 (arXiv:1303.4121), the estimate on the scale of normal scores; Scott 1992,
        "Multivariate density estimation", eq. 6.42, its width.
    """
    config = model.config
    if not config.prior_size:
        return
    prior = model.prior.cpu().numpy().astype(np.float64)
    # Rounding to single precision may have led out of a range.
    low, high = ([getattr(each, end) for each in config.parameters] for end in ("low", "high"))
    values = np.clip(prior[:, 1:], low, high)
    is_new = config.prior_draws == "density"
    derived = np.array([is_new and each.name in DERIVED for each in config.parameters])
    derived &= not derived.all()
    is_left_out = np.isnan(parameters)
    concerned = is_left_out[:, ~derived].any(axis=1) if is_new else is_left_out.all(axis=1)
    for label in set(labels[concerned].tolist()):
        own = values[(prior[:, 0] == label) | (label == UNLABELLED)]
        table = _Table(own if len(own) else values, derived)
        for place in np.flatnonzero(concerned & (labels == label)):
            rng = generator(seed, numbers[int(place)], Stream.CONDITION)
            given = parameters[place]
            if not is_new:
                drawn = table.take(rng)
            elif not np.isfinite(given[derived]).any() or not _can_derive(model):
                drawn = table.draw(rng, given)
            else:
                several = np.array([table.draw(rng, given) for _ in range(NUM_TRIED)])
                several = np.where(is_left_out[place], several, given)
                wanted = given[derived][0]
                away = np.abs(np.log(_derive(model, several) / wanted))
                drawn = several[np.nan_to_num(away, nan=np.inf).argmin()]
            drawn[derived] = np.nan
            parameters[place] = np.where(is_left_out[place], drawn, parameters[place])


def _can_derive(model: Model) -> bool:
    """Whether the signal-to-noise ratio of a lens follows from its other parameters."""
    observation = model.config.observation
    return model.expected is not None and observation is not None and not observation.depths


def _derive(model: Model, parameters: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the signal-to-noise ratios of smooth lenses of parameters ``(M, P)``, shape ``(M,)``."""
    assert model.expected is not None
    assert model.config.observation is not None
    given = torch.from_numpy(parameters).to(model.transform.mean.device)
    found = model.expected.signal_to_noise(given, model.config.observation)
    return np.asarray(found.double().cpu())


class _Table:
    """Parameters of training images, shape ``(M, P)``, of which some are derived from the others, ``(P,)``."""

    def __init__(self, table: NDArray[np.float64], derived: NDArray[np.bool_]) -> None:
        self._table, self._derived = table, derived
        columns = np.flatnonzero(~derived)
        groups = [columns[own] for own in _dependent(table[:, columns])]
        self._parts = [(group, _Density(table[:, group])) for group in groups]

    def take(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return the parameters of one of the images."""
        return self._table[int(rng.random() * len(self._table))].copy()

    @cached_property
    def _whole(self) -> "_Density":
        return _Density(self._table)

    def draw(self, rng: np.random.Generator, given: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return new parameters, given some of them, NaN for the others."""
        if np.isfinite(given[self._derived]).any():
            return self._whole.draw(rng, given)
        drawn = np.full(len(given), np.nan)
        for columns, density in self._parts:
            drawn[columns] = density.draw(rng, given[columns])
        return drawn


class _Density:
    """The kernel density estimate of vectors, shape ``(M, P)``."""

    def __init__(self, table: NDArray[np.float64]) -> None:
        self._num = np.isfinite(table).sum(axis=0)
        self._ordered = np.sort(table, axis=0)
        width = len(table) ** (-1 / ((self._num > 0).sum() + 4))
        shrinking = np.hypot(1, width)
        self._middles, self._width = _normal_scores(table) / shrinking, width / shrinking

    def draw(self, rng: np.random.Generator, given: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return new parameters, given some of them, NaN for the others."""
        row = self._row(rng.random(), given)
        scores = self._middles[row] + self._width * rng.standard_normal(len(given))
        rank = np.where(np.isnan(scores), 0, np.ceil(ndtr(scores) * self._num) - 1)
        value = self._ordered[np.clip(rank, 0, None).astype(int), np.arange(len(given))]
        return np.where(np.isnan(scores), np.nan, value)

    def _row(self, u: float, given: NDArray[np.float64]) -> int:
        """Return the image about which parameters are drawn: the likelier, the nearer to what is given."""
        distance = np.zeros(len(self._middles))
        for column in np.flatnonzero(np.isfinite(given) & (self._num > 0)):
            num = self._num[column]
            rank = np.searchsorted(self._ordered[:num, column], given[column])
            score = ndtri((np.clip(rank, 1, num) - 0.5) / num)
            # An image without such a value is none to draw about.
            distance += np.nan_to_num((score - self._middles[:, column]) ** 2, nan=np.inf)
        if not distance.any() or not np.isfinite(distance).any():
            return int(u * len(distance))
        weight = np.exp((distance.min() - distance) / (2 * self._width**2))
        chances = np.cumsum(weight)
        return int(np.searchsorted(chances, u * chances[-1], side="right"))


def _normal_scores(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the normal deviates of the ranks within each column, shape ``(M, P)``."""
    num = np.isfinite(table).sum(axis=0).clip(1)
    return np.asarray(ndtri((rankdata(table, axis=0, nan_policy="omit") - 0.5) / num))


def _dependent(table: NDArray[np.float64]) -> list[NDArray[np.intp]]:
    """Return groups of columns, each independent of the others as far as the table, ``(M, P)``, can tell.

    Columns belong together where one, how far it is from its middle, or whether it is there, is correlated
    with one of these of the other.
    """
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
        away = np.abs(table - np.nanmedian(table, axis=0))
        seen = [np.nan_to_num(_normal_scores(each)) for each in (table, away)]
        found = np.abs(np.corrcoef(np.hstack([*seen, np.isnan(table)]).T))
    num = table.shape[1]
    largest = np.nan_to_num(found).reshape(3, num, 3, num).max(axis=(0, 2))
    count, group = connected_components(largest > SIGNIFICANCE / np.sqrt(len(table)))
    return [np.flatnonzero(group == k) for k in range(count)]
