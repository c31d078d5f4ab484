from dataclasses import replace

import pytest
import torch

from gravlensdiffusion.config.classifier import EncoderConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.nn.encoder import LensEncoder

CONFIG = EncoderConfig(
    name="test",
    image_size=28,
    channels=(8, 8, 16),
    strides=(2, 2, 2),
    num_features=6,
    targets=("theta_E", "source_x"),
    target_means=(1.3, 0.0),
    target_stds=(0.2, 0.4),
    class_names=("no_sub", "cdm", "axion"),
)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return LensEncoder(CONFIG).eval()


@pytest.fixture
def images():
    return torch.rand(200, 1, 28, 28, generator=torch.Generator().manual_seed(1))


def test_features_and_estimates_have_their_shapes(encoder, images):
    features = encoder(images)
    found = encoder.estimate(features)
    assert features.shape == (200, 6)
    assert found.targets.shape == (200, 2)
    assert found.class_logits.shape == (200, 3)


def test_targets_come_in_their_own_units(encoder, images):
    features = encoder(images)
    standardised, _ = encoder.standardised(features)
    expected = standardised * torch.tensor([0.2, 0.4]) + torch.tensor([1.3, 0.0])
    torch.testing.assert_close(encoder.estimate(features).targets, expected)


@torch.no_grad()
def test_whitened_features_have_unit_covariance_and_say_the_same(encoder, images):
    before = encoder.estimate(encoder(images))
    encoder.whiten(encoder(images))
    after = encoder(images)
    torch.testing.assert_close(after.mean(0), torch.zeros(6), atol=1e-3, rtol=0)
    torch.testing.assert_close(torch.cov(after.T), torch.eye(6), atol=1e-3, rtol=0)
    found = encoder.estimate(after)
    torch.testing.assert_close(found.targets, before.targets, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.class_logits, before.class_logits, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_an_image_has_the_same_features_in_any_batch(encoder, images):
    whole = encoder(images)
    parts = torch.cat([encoder(part) for part in images.split(7)])
    torch.testing.assert_close(whole, parts, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_faint_noise_reaches_the_features(encoder, images):
    noise = 0.002 * torch.randn(images.shape, generator=torch.Generator().manual_seed(2))
    assert (encoder(images + noise) - encoder(images)).abs().max() > 1e-5


@pytest.mark.parametrize(
    "changes",
    [
        {"num_features": 65},
        {"strides": (2, 2)},
        {"target_stds": (0.2, 0.0)},
        {"target_means": (1.3,)},
    ],
)
def test_impossible_encoders_are_refused(changes):
    with pytest.raises(GravLensError):
        replace(CONFIG, **changes)
