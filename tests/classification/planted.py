"""A problem whose best possible classifier is known: faint light beside a galaxy, or none."""

from functools import cache

import numpy as np
from scipy.stats import norm

from gravlensdiffusion.config.classifier import ClassifierTraining
from gravlensdiffusion.sets.records import SetHeader
from gravlensdiffusion.training.classifier import TrainedClassifier, train_classifier
from tests.sources import ArraySource

SIZE = 12
NOISE = 0.05
DISTANCE = 2.4
"""Distance of the means of the two classes along their difference, in deviations of the noise."""
BEST_AUC = float(norm.cdf(DISTANCE / np.sqrt(2)))
"""What the likelihood ratio gets, 0.955."""
NAMES = ("empty", "blob")
HEADER = SetHeader(class_names=NAMES, pixel_scale_arcsec=0.1, flux_unit="e-/s")
RECIPE = ClassifierTraining(total_images=12_800, check_images=1_280, seed=3)


def planted(num: int, seed: int) -> ArraySource:
    """Return as many images of each class."""
    random = np.random.default_rng(seed)
    labels = np.arange(num) % 2
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    galaxy = np.exp(-0.5 * (x**2 + y**2) / 1.5**2)
    blob = np.exp(-0.5 * ((x - 3) ** 2 + (y + 2) ** 2) / 1.2**2)
    blob *= DISTANCE * NOISE / np.linalg.norm(blob)
    images = galaxy + labels[:, None, None] * blob + NOISE * random.normal(size=(num, SIZE, SIZE))
    return ArraySource(images[:, None].astype(np.float32), labels.astype(np.int16), HEADER)


@cache
def trained() -> TrainedClassifier:
    """Return a classifier of the planted problem."""
    return train_classifier(planted(3000, 0), RECIPE, device="cpu")
