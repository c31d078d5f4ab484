"""What is measured of an image is its own, whatever it is measured beside."""

import numpy as np
import pytest

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.evaluation.measure import Encoder, Team, measure_images
from tests.evaluation.sets import opened, pixels, records


def test_measurements_do_not_depend_on_how_images_are_grouped(tmp_path):
    source, encoder = opened(tmp_path / "set.h5", records(40)), Encoder(28)
    whole = Team([source], encoder).measure(source)
    images = pixels(records(40))
    parts = measure_images(images[:7], source, encoder)
    parts = parts.joined(measure_images(images[7:], source, encoder))
    np.testing.assert_allclose(parts.features, whole.features, atol=1e-4)
    for name, values in whole.physics.items():
        np.testing.assert_allclose(parts.physics[name], values, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("size", "name"),
    [(28, "encoder28"), (63, "encoder28"), (100, "encoder64"), (200, "encoder150")],
)
def test_the_largest_encoder_that_fits_is_taken(size, name):
    encoder = Encoder(size)
    assert encoder.name == name
    features, targets, logits = encoder(np.zeros((2, size, size), np.float32))
    assert features.shape == (2, 32)
    assert targets.shape == (2, 7)
    assert logits.shape == (2, 3)


def test_images_too_small_for_any_encoder_are_refused():
    with pytest.raises(GravLensError, match="the smallest lens encoder takes 28"):
        Encoder(20)
