"""Range and format of numbers give no set away."""

import numpy as np
import pytest
from numpy.typing import NDArray

from gravlensdiffusion.metrics.pixel_test import _equalise


def images(num: int = 40, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).gamma(1.0, 0.1, (num, 1, 12, 12)).astype(np.float32)


def peak_scaled(values: NDArray[np.float32]) -> NDArray[np.float32]:
    lowest, highest = (part((1, 2, 3), keepdims=True) for part in (values.min, values.max))
    return (values - lowest) / (highest - lowest)


def test_exact_extremes_of_one_set_are_given_to_both() -> None:
    real = peak_scaled(images())
    nearly = 0.001 + 0.998 * peak_scaled(images(seed=1))
    for pair in (_equalise(nearly, real), _equalise(real, nearly)):
        for side in pair:
            assert np.all(side.min((1, 2, 3)) == 0)
            assert np.allclose(side.max((1, 2, 3)), 1, atol=1e-7)
    assert np.allclose(_equalise(nearly, real)[0], peak_scaled(nearly), atol=1e-5)


def test_other_ranges_stay_as_they_are() -> None:
    first, second = 50 * images() - 1, 50 * images(seed=1)
    found = _equalise(first, second)
    step = np.median(np.ptp(np.concatenate([first, second]), axis=(1, 2, 3))) / 65535
    for side, before in zip(found, (first, second), strict=True):
        assert np.abs(side - before).max() < 0.51 * step


@pytest.mark.parametrize("scale", [1, 255])
def test_the_format_of_numbers_is_hidden(scale: float) -> None:
    real = peak_scaled(images(200)) * np.float32(scale)
    pictures = np.round(peak_scaled(images(200, seed=1)) * 255)
    for coarse in (
        (pictures / 255 * scale).astype(np.float32),
        (pictures / 255 * scale).astype(np.float64),
        (real * 1).astype(np.float16),
    ):
        pair = _equalise(coarse, real)
        values = [np.unique(side) for side in pair]
        # Nearly all values of each set occur in the other one.
        for one, other in (values, values[::-1]):
            assert np.isin(one, other).mean() > 0.6
        assert pair[0].dtype == pair[1].dtype == np.float32


def test_pictures_of_whole_numbers_beside_fluxes_share_a_grid() -> None:
    whole = np.random.default_rng(2).integers(3, 250, (40, 1, 12, 12)).astype(np.uint8)
    first, second = _equalise(whole, 250 * images())
    assert np.array_equal(first, whole)
    assert np.array_equal(second, np.round(second))


def test_black_images_pass() -> None:
    first, second = _equalise(np.zeros((3, 1, 12, 12)), np.zeros((2, 1, 12, 12)))
    assert not first.any()
    assert not second.any()
