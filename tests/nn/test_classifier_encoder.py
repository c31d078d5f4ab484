from dataclasses import replace

import pytest
import torch

from gravlensdiffusion.config.classifier import EncoderConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.nn.classifier import LensEncoder

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
    targets, logits = encoder.estimate(features)
    assert features.shape == (200, 6)
    assert targets.shape == (200, 2)
    assert logits.shape == (200, 3)


@torch.no_grad()
def test_targets_come_in_their_own_units(encoder, images):
    features = encoder(images)
    plain = LensEncoder(replace(CONFIG, target_means=(0.0, 0.0), target_stds=(1.0, 1.0))).eval()
    plain.load_state_dict(encoder.state_dict())
    expected = plain.estimate(features)[0] * torch.tensor([0.2, 0.4]) + torch.tensor([1.3, 0.0])
    torch.testing.assert_close(encoder.estimate(features)[0], expected)


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
