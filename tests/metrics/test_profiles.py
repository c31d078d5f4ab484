"""Radial profile and power spectrum."""

import numpy as np
import pytest

from gravlensdiffusion.metrics.physics import power_spectrum, radial_profile
from tests.metrics.lenses import RMS, gaussian, grid, observe, ring


@pytest.mark.parametrize("size", [28, 29, 64])
def test_profile_of_a_ring_peaks_at_its_radius(size):
    radius = 0.25 * size
    profile = radial_profile(ring(size, radius, 2)[None] + 7, 0.1)
    assert profile.values.shape == (1, size // 2)
    expected = np.exp(-0.5 * ((profile.centres / 0.1 - radius) / 2) ** 2)
    assert np.allclose(profile.values, expected, atol=0.04)
    assert np.allclose(
        radial_profile(ring(size, radius, 2)[None], None).centres * 0.1, profile.centres
    )


@pytest.mark.parametrize("size", [28, 29, 64])
def test_white_noise_has_its_variance_at_all_frequencies(size):
    spectrum = power_spectrum(observe(np.zeros((size, size)), 1000), None)
    assert spectrum.values.shape == (1000, size // 2)
    assert np.allclose(spectrum.values.mean(0), RMS**2, rtol=0.05)
    assert abs(spectrum.values[:, 3:].mean() / RMS**2 - 1) < 0.01
    assert 0.47 < spectrum.centres[-1] < 0.51


def test_power_of_a_gaussian():
    spectrum = power_spectrum(gaussian(64, 1.5)[None], 0.5)
    # The transform of exp(-r^2 / 2 s^2) is 2 pi s^2 exp(-2 pi^2 s^2 k^2).
    frequencies = spectrum.centres * 0.5
    expected = (2 * np.pi * 2.25) ** 2 * np.exp(-((3 * np.pi * frequencies) ** 2)) / 64**2
    assert np.allclose(spectrum.values[0, :10], expected[:10], rtol=0.02)


def test_a_wave_has_its_power_at_its_frequency():
    waves = [np.cos(2 * np.pi * 20 * (along - 0.5) / 64) for along in grid(64)]
    values = power_spectrum(np.stack(waves), None).values
    assert np.array_equal(values.argmax(1), [19, 19])
    assert np.allclose(values[:, 19], values.sum(1), rtol=1e-3)
    # Two of the frequencies in the ring have 64^2 / 4 each, whichever axis the wave runs along.
    in_ring = np.rint(np.hypot(*grid(65))) == 20
    assert np.allclose(values[:, 19], 2 * 64**2 / 4 / in_ring.sum(), rtol=1e-3)


def test_one_image_does_not_see_the_others():
    images = observe(ring(64, 15, 3), 300)
    images[7] = np.nan
    for function in (radial_profile, power_spectrum):
        together = function(images, 0.1).values
        assert np.isnan(together[7]).all()
        alone = function(images[250:251], 0.1).values
        assert np.allclose(alone, together[250:251], rtol=1e-5, atol=1e-7)
