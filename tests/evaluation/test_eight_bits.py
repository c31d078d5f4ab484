"""8-bit PNG files, against files themselves."""

import io

import numpy as np
import pytest
from PIL import Image

from gravlensdiffusion.evaluation.inception import quantise_truncating


def test_truncation_of_known_values():
    values = np.array([0, 0.9 / 255, 1 / 255, 1.4 / 255, 1.6 / 255, 254.99 / 255, 1, -0.2, 1.7])
    cut = quantise_truncating(values) * 255
    assert np.allclose(cut, [0, 0, 1, 1, 1, 254, 255, 0, 255], atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_images_of_8_bits_are_not_changed(dtype):
    levels = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    once = quantise_truncating(levels.astype(dtype) / 255)
    assert once.dtype == np.float32
    assert np.array_equal(once, levels.astype(np.float32) / np.float32(255))
    assert np.array_equal(quantise_truncating(once), once)


def test_a_png_file_gives_the_same_back():
    image = np.random.default_rng(0).random((28, 28), dtype=np.float32)
    file = io.BytesIO()
    # What torchvision's ToPILImage does to a tensor of floating point numbers.
    Image.fromarray((image * 255).astype(np.uint8)).save(file, format="PNG")
    read = np.asarray(Image.open(file), dtype=np.float32) / 255
    assert np.array_equal(quantise_truncating(image), read)


def test_truncation_darkens_by_half_a_level():
    image = np.random.default_rng(1).random((100, 100))
    assert (quantise_truncating(image) - image).mean() == pytest.approx(-0.5 / 255, rel=0.05)
