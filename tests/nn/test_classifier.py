from dataclasses import replace

import pytest
import torch

from gravlensdiffusion.config.classifier import ClassifierConfig
from gravlensdiffusion.nn.classifier import ClassifierNetwork

CONFIG = ClassifierConfig(
    image_size=28,
    num_channels=2,
    class_names=("no_sub", "cdm", "axion"),
    class_mix=(0.2, 0.3, 0.5),
    channels=(8, 16, 16),
    strides=(1, 2, 2),
    sky=(0.01, 0.02),
    noise=(0.003, 0.01),
    bright=(0.5, 0.8),
)


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    return ClassifierNetwork(CONFIG).eval()


@pytest.fixture
def images():
    return torch.rand(20, 2, 28, 28, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_an_image_has_the_same_logits_in_any_batch(classifier, images):
    whole = classifier(images)
    assert whole.shape == (20, 3)
    parts = torch.cat([classifier(part) for part in images.split(7)])
    torch.testing.assert_close(whole, parts, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_units_of_flux_do_not_matter(classifier, images):
    factor = 250.0
    scales = {
        name: tuple(factor * value for value in getattr(CONFIG, name))
        for name in ("sky", "noise", "bright")
    }
    other = ClassifierNetwork(replace(CONFIG, **scales)).eval()
    other.load_state_dict(classifier.state_dict())
    torch.testing.assert_close(other(factor * images), classifier(images), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_faint_light_and_place_reach_the_logits(classifier, images):
    noise = 0.002 * torch.randn(images.shape, generator=torch.Generator().manual_seed(2))
    assert (classifier(images + noise) - classifier(images)).abs().max() > 1e-5
    dot = torch.zeros(2, 2, 28, 28)
    dot[0, :, 6, 6] = dot[1, :, 20, 20] = 1
    first, second = classifier(dot)
    assert (first - second).abs().max() > 1e-4


def test_dropout_hides_features_in_training_alone(classifier, images):
    assert torch.equal(classifier(images), classifier(images))
    classifier.train()
    torch.manual_seed(0)
    assert not torch.equal(classifier(images), classifier(images))


@pytest.mark.parametrize("size", [8, 13])
def test_any_size_and_stride_fit_together(size):
    config = replace(CONFIG, image_size=size)
    assert ClassifierNetwork(config)(torch.rand(2, 2, size, size)).shape == (2, 3)
