"""The sky in the corners."""

import numpy as np
import pytest
from scipy.ndimage import convolve1d

from gravlensdiffusion.metrics.sky import measure_sky
from tests.metrics.lenses import RMS, SKY, grid, observe, ring


@pytest.mark.parametrize(("size", "num"), [(28, 4000), (29, 4000), (64, 1500), (150, 400)])
def test_pure_noise_is_measured_without_bias(size, num):
    sky = measure_sky(observe(np.zeros((size, size)), num))
    for values, expected in [
        (sky.level, SKY),
        (sky.rms, RMS),
        (sky.whiteness, 0),
        (sky.rotated_difference, 2 * RMS / np.sqrt(np.pi)),
    ]:
        assert abs(values.mean() - expected) < 4 * values.std() / np.sqrt(num)
    assert abs(sky.rms.mean() / RMS - 1) < 0.005


@pytest.mark.parametrize("size", [28, 64])
def test_two_per_cent_more_noise_is_seen_in_two_thousand_lenses(size):
    lens = ring(size, 0.2 * size, 0.06 * size)
    before, after = (
        measure_sky(observe(lens, 2000, seed, rms)).rms for seed, rms in [(0, RMS), (1, 1.02 * RMS)]
    )
    error = np.hypot(before.std(), after.std()) / np.sqrt(2000)
    assert after.mean() - before.mean() > 5 * error
    assert abs(before.mean() / RMS - 1) < 0.01


def test_wings_of_a_lens_are_no_noise():
    x, y = grid(64)
    wings = 0.05 * np.exp(-np.hypot(x, y) / 10) + 1e-4 * x
    left = wings[np.hypot(x, y) > 1.1 * 32].std()
    assert left > 0.9 * RMS
    assert abs(measure_sky(observe(wings, 500)).rms.mean() / RMS - 1) < 0.01


def test_a_neighbour_in_the_corner_is_no_noise():
    x, y = grid(64)
    neighbour = 0.5 * np.exp(-0.5 * ((x - 27) ** 2 + (y - 25) ** 2) / 2**2)
    sky = measure_sky(observe(neighbour, 500))
    assert abs(sky.rms.mean() / RMS - 1) < 0.01
    assert abs(sky.level.mean() - SKY) < 0.05 * RMS


def test_smoothed_noise_is_not_white():
    noise = observe(np.zeros((152, 152)), 200)
    for axis in (1, 2):
        noise = convolve1d(noise, [0.25, 0.5, 0.25], axis=axis)
    sky = measure_sky(noise[:, 1:-1, 1:-1])
    # The kernel's autocorrelation one pixel along one axis.
    assert abs(sky.whiteness.mean() - 2 / 3) < 0.02
    assert abs(sky.rms.mean() / (RMS * 3 / 8) - 1) < 0.03


def test_eight_bit_images_gain_the_variance_of_rounding():
    images = np.rint(observe(np.zeros((28, 28)), 3000) * 255) / 255
    expected = np.sqrt(RMS**2 + (1 / 255) ** 2 / 12)
    assert abs(measure_sky(images).rms.mean() / expected - 1) < 0.02


def test_without_noise_there_is_no_correlation_either():
    sky = measure_sky(np.full((1, 28, 28), 1e6 + 0.3, dtype=np.float32))
    assert sky.rms == 0
    assert np.isnan(sky.whiteness)
    assert sky.level == np.float32(1e6 + 0.3)
