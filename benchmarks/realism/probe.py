"""Telling simulated images from a few dozen real ones: classifiers that few images can train."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.metrics.two_sample import Auc, standard_error

Floats = NDArray[np.floating]

MIN_IMAGES = 4
"""Images of a side without which nothing is learned."""
PENALTY = 100.0
"""Strength of the penalty on the weights of the linear classifier, whose inputs have a scatter of 1."""


def probe(
    generated: Floats,
    real: Floats,
    seed: int,
    *,
    with_trees: bool = False,
    num_folds: int = 7,
    num_repeats: int = 1,
) -> Auc:
    """Return the area under the ROC curve of a cross-validated linear classifier.

    Both sides weigh the same, however many images they have. All views of an image are on one side
    of a split; its score is their mean.

    Args:
        generated: Features of V views of each image, shape ``(M, V, F)``; NaN where there is none.
        real: Shape ``(N, W, F)``; the numbers of views may differ.
        seed: Seed of the folds.
        with_trees: Whether boosted trees, which see cuts and shapes of distributions, have half
            of the vote.
        num_folds: Parts that are held out in turn; fewer where there are fewer images.
        num_repeats: How often that is repeated, with other folds.

    Raises:
        GravLensError: If shapes do not agree, or a side has fewer than four images.
    """
    if generated.ndim != 3 or real.ndim != 3 or generated.shape[2] != real.shape[2]:
        raise GravLensError(
            f"expected features of shape (N, V, F), got {generated.shape} and {real.shape}"
        )
    if min(len(generated), len(real)) < MIN_IMAGES:
        raise GravLensError(
            f"a probe needs at least {MIN_IMAGES} generated and real images, "
            f"got {len(generated)} and {len(real)}"
        )
    areas = [
        _fold_area(sides, held_out, with_trees=with_trees)
        for repeat in range(num_repeats)
        for sides, held_out in _splits(generated, real, num_folds, [seed, repeat])
    ]
    value = float(np.mean(areas))
    error = standard_error(value, len(generated), len(real))
    return Auc(value=value, standard_error=error)


def _splits(
    generated: Floats, real: Floats, num_folds: int, seed: list[int]
) -> Iterator[tuple[tuple[Floats, Floats], tuple[Floats, Floats]]]:
    """Yield the trained and the held-out images of both sides, fold by fold."""
    num = min(num_folds, len(generated), len(real))
    rng = np.random.default_rng(seed)
    parts = [rng.permutation(len(side)) % num for side in (generated, real)]
    for fold in range(num):
        yield (
            (generated[parts[0] != fold], real[parts[1] != fold]),
            (generated[parts[0] == fold], real[parts[1] == fold]),
        )


def _fold_area(
    sides: tuple[Floats, Floats], held_out: tuple[Floats, Floats], *, with_trees: bool
) -> float:
    """Train on some images and return the area among the others."""
    num_features = sides[0].shape[-1]
    x = np.concatenate([side.reshape(-1, num_features) for side in sides])
    kept = np.array([len(np.unique(column[np.isfinite(column)])) > 1 for column in x.T])
    y = np.repeat([1, 0], [side.shape[0] * side.shape[1] for side in sides])
    models = [
        make_pipeline(
            SimpleImputer(strategy="median"),
            StandardScaler(),
            LogisticRegression(C=1 / PENALTY, class_weight="balanced", max_iter=300),
        )
    ]
    if with_trees:
        models.append(
            HistGradientBoostingClassifier(
                max_iter=40,
                max_leaf_nodes=8,
                min_samples_leaf=5,
                class_weight="balanced",
                early_stopping=False,
                random_state=0,
            )
        )
    scores: list[NDArray[np.float64]] = [np.zeros(len(side)) for side in held_out]
    for model in models:
        model.fit(x[:, kept], y)
        found = [
            model.decision_function(side.reshape(-1, num_features)[:, kept])
            .reshape(len(side), -1)
            .mean(1)
            for side in held_out
        ]
        scale = np.std(np.concatenate(found)) or 1.0
        scores = [total + one / scale for total, one in zip(scores, found, strict=True)]
    return Auc.of(scores[0], scores[1]).value
