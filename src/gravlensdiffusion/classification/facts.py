"""What the numbers of a classifier's report depend on."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.classification.uncertainty import LEVEL, NUM_RESAMPLINGS
from gravlensdiffusion.config.classifier import ClassifierConfig
from gravlensdiffusion.sets.lens_set import LensSet

PACKAGES = ("gravlensdiffusion", "torch", "numpy", "scikit-learn")


def data_facts(name: str, source: LensSet, digest: str) -> dict[str, Any]:
    """Return what is known of a set.

    Args:
        name: What it is called.
        source: The set, at the size that the classifier sees.
        digest: Digest of its images and labels.
    """
    header = source.header
    return {
        "name": name,
        "images": len(source),
        "digest": digest,
        "pixel_scale_arcsec": header.pixel_scale_arcsec,
        "flux_unit": header.flux_unit,
        "resize": header.resize,
    }


def classifier_facts(config: ClassifierConfig) -> dict[str, Any]:
    """Return what a classifier is."""
    return {
        "classes": list(config.class_names),
        "merged": [f"{old} as {new}" for old, new in config.merged],
        "training_data": config.training_data,
        "training_mix": by_class(config, config.class_mix),
        "image_size": config.image_size,
        "channels": list(config.channels),
        "temperature": config.temperature,
    }


def judging_facts(
    config: ClassifierConfig, mix: NDArray[np.float64] | None, seed: int
) -> dict[str, Any]:
    """Return how a classifier was judged.

    Args:
        config: Its configuration.
        mix: The mix of classes that the probabilities are for, shape ``(K,)``; None for that of
            the training set.
        seed: Seed of the resamplings.
    """
    return {
        "probabilities_for": by_class(config, config.class_mix if mix is None else mix),
        "intervals": f"{LEVEL:.0%}: AUC by {NUM_RESAMPLINGS:,} resamplings of the images, seed {seed}; "
        "recall and precision after Wilson (1927)",
        "versions": {name: version(name) for name in PACKAGES},
    }


def by_class(config: ClassifierConfig, values: Any) -> dict[str, float]:
    """Return numbers by the name of their class."""
    named: Mapping[str, float] = dict(zip(config.class_names, map(float, values), strict=True))
    return {name: round(value, 6) for name, value in named.items()}
