"""Classifiers with random weights, for tests that ask nothing of what they say."""

import torch

from gravlensdiffusion.config.classifier import ClassifierConfig
from gravlensdiffusion.nn.classifier import ClassifierNetwork
from tests.classification.planted import NAMES, SIZE

CONFIG = ClassifierConfig(
    image_size=SIZE,
    class_names=NAMES,
    class_mix=(0.8, 0.2),
    channels=(8, 8),
    strides=(1, 2),
    sky=(0.01,),
    noise=(0.05,),
    bright=(0.9,),
    temperature=1.5,
    pixel_scale_arcsec=0.1,
    flux_unit="e-/s",
    resize="area",
    original_size=2 * SIZE,
)


def untrained(config: ClassifierConfig = CONFIG) -> ClassifierNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ClassifierNetwork(config).eval()
