"""Shapes whose answers are known in closed form."""

import numpy as np
import pytest

from gravlensdiffusion.metrics.morphology import asymmetry, ellipticity, gini, m20, moments, segment
from tests.metrics.lenses import RMS, gaussian, grid, observe, ring

EVERYWHERE = np.ones((1, 64, 64), dtype=bool)
NO_NOISE = np.zeros(1)


@pytest.mark.parametrize("phi", [0, 0.4, np.pi / 2, 2.5])
def test_moments_of_an_elliptical_gaussian(phi):
    flux = gaussian(64, 5, q=0.6, phi=phi, x=1.3, y=-2.7)[None]
    light = moments(flux, EVERYWHERE)
    e1, e2 = ellipticity(light)
    assert np.allclose([light.x[0], light.y[0]], [1.3, -2.7], atol=1e-4)
    assert np.allclose(light.xx + light.yy, 25 * (1 + 0.36), rtol=1e-4)
    assert np.allclose(
        [e1[0], e2[0]], 0.25 * np.array([np.cos(2 * phi), np.sin(2 * phi)]), atol=1e-4
    )


def test_a_segment_cut_along_the_isophotes_keeps_the_ellipticity():
    flux = gaussian(64, 6, q=0.7, phi=0.3)[None]
    e1, e2 = ellipticity(moments(flux, segment(flux, NO_NOISE)))
    assert abs(np.hypot(e1, e2)[0] / (0.3 / 1.7) - 1) < 0.02


def test_segment_is_where_the_light_is_significant():
    flux = gaussian(64, 6)[None]
    for rms, level in [(0.02, 0.06), (0.001, 0.01)]:
        area = segment(flux, np.array([rms])).sum()
        assert abs(area / (2 * np.pi * 36 * np.log(1 / level)) - 1) < 0.05


def test_gini_in_closed_form():
    x, y = grid(64)
    disc = (np.hypot(x, y) < 20)[None]
    ramp = np.arange(1.0, 65).repeat(64).reshape(1, 64, 64)
    point = ((x == 0.5) & (y == 0.5))[None].astype(float)
    assert np.allclose(gini(disc.astype(float), disc), 0)
    assert np.allclose(gini(ramp[:, :, :1], np.ones((1, 64, 1), bool)), 1 / 3)
    assert np.allclose(gini(-ramp[:, :, :1], np.ones((1, 64, 1), bool)), 1 / 3)
    assert np.allclose(gini(point, disc), 1)


def test_m20_of_a_gaussian_and_of_a_disc():
    # Within u = r^2 / (2 sigma^2) lie 1 - exp(-u) of the flux, 1 - (1 + u) exp(-u) of the moment.
    expected = np.log10(1 - 0.8 * (1 - np.log(0.8)))
    x, y = grid(201)
    flux = np.exp(-0.5 * ((x - 3) ** 2 + y**2) / 20**2)[None]
    assert abs(m20(flux, np.ones(flux.shape, dtype=bool))[0] - expected) < 0.01
    disc = (np.hypot(x, y) < 20)[None]
    assert m20(disc.astype(float), disc)[0] == 0


def test_m20_of_a_bright_pixel_far_from_the_rest():
    flux = np.zeros((1, 64, 64))
    flux[0, 20, 12:20] = 1
    flux[0, 20, 30] = 2.5
    mean = (2.5 * 30 + 124) / 10.5
    bright, faint = 2.5 * (30 - mean) ** 2, np.square(np.arange(12, 20) - mean).sum()
    expected = np.log10(bright / (bright + faint))
    assert np.allclose(m20(flux, flux > 0), expected)


def test_asymmetry_of_a_ring_and_of_a_point():
    symmetric = ring(64, 15, 3) * (1 + 0.5 * np.cos(2 * np.arctan2(*grid(64))))
    x, y = grid(64)
    point = ((x == 5.5) & (y == 3.5)).astype(float)
    assert np.allclose(asymmetry(np.stack([symmetric, point]), np.zeros(2)), [0, 2], atol=1e-12)


def test_noise_of_the_sky_is_no_asymmetry():
    noise = observe(np.zeros((64, 64)), 500) - 0.011
    corrected = asymmetry(noise, np.full(500, 2 * RMS / np.sqrt(np.pi)))
    assert abs(corrected.mean()) < 0.01
    assert asymmetry(noise, np.zeros(500)).mean() > 1


def test_what_has_no_light_has_no_shape():
    nothing = np.zeros((1, 64, 64))
    empty = ~EVERYWHERE
    for value in [
        gini(nothing, empty),
        m20(nothing, empty),
        asymmetry(nothing, NO_NOISE),
        *moments(nothing, empty),
        *ellipticity(moments(nothing, empty)),
    ]:
        assert np.isnan(value)
