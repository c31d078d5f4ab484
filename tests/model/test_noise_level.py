"""The estimate of the noise of images from the images alone."""

import numpy as np
import pytest
import torch

from gravlensdiffusion.config.model import TransformConfig
from gravlensdiffusion.model.transform import Transform, noise_level
from tests.sources import rings

PLAIN = Transform(TransformConfig(kind="linear", gain=2.0), torch.zeros(1, 1, 1))


@pytest.mark.parametrize("rms", [0.0, 0.003, 0.1])
def test_white_noise_is_found_beside_lenses_and_gradients(rms: float) -> None:
    lenses = rings(200, size=28).images
    lenses = lenses + np.linspace(0, 1, 28, dtype=np.float32)
    noise = np.random.default_rng(1).normal(0, rms, lenses.shape)
    # The sky of the lenses themselves has an rms of 0.003.
    expected = 2 * np.hypot(rms, 0.003)
    images = (lenses + noise).astype(np.float32)
    found = noise_level([images[:90], images[90:]], PLAIN)
    assert found == pytest.approx(expected, rel=0.35 if rms < 0.1 else 0.05)
    assert found == pytest.approx(noise_level([images], PLAIN))


def test_images_without_noise_have_none() -> None:
    y, x = np.mgrid[:16, :16]
    assert noise_level([np.float32([[x + 2 * y], [3 * x - y]])], PLAIN) == 0
