"""Planted defects have the strength that they are asked for."""

import numpy as np
import pytest

from gravlensdiffusion.metrics.defects import plant
from gravlensdiffusion.metrics.detail import measure_detail
from gravlensdiffusion.metrics.morphology import moments
from gravlensdiffusion.metrics.physics import measure
from tests.metrics.lenses import gaussian, grid, observe, ring, simulated

IMAGES = observe(ring(64, 14, 4, x=2), 200)
BEFORE = measure(IMAGES, None)


def planted(images, defect, strength, seed=3):
    return plant(images, defect, strength, np.random.default_rng(seed))


def change(images, name):
    return measure(images, None)[name].mean() / BEFORE[name].mean() - 1


@pytest.mark.parametrize("factor", [0.9, 1.02, 1.2])
def test_scaled_flux_leaves_the_sky(factor):
    scaled = planted(IMAGES, "flux", factor - 1)
    assert scaled.dtype == np.float32
    assert abs(change(scaled, "total_flux") - (factor - 1)) < 0.01 * abs(factor - 1)
    assert abs(change(scaled, "sky_rms")) < 0.005
    assert abs(change(scaled, "sky_level")) < 1e-3


def test_scaled_flux_of_simulated_lenses():
    images, _, _ = simulated("deeplense", 28, 60, seed=3)
    ratio = (
        measure(planted(images, "flux", 0.02), None)["total_flux"]
        / measure(images, None)["total_flux"]
    )
    assert abs(ratio.mean() - 1.02) < 0.0005


@pytest.mark.parametrize("factor", [1.0, 1.1, 2.0])
def test_noise_has_the_rms_asked_for(factor):
    noisy = planted(IMAGES, "noise", factor - 1)
    assert noisy.dtype == np.float32
    assert abs(change(noisy, "sky_rms") - (factor - 1)) < 0.01
    assert abs(change(noisy, "total_flux")) < 0.005


def test_added_noise_is_white_and_comes_from_the_generator():
    noisy = planted(IMAGES, "noise", 0.5)
    assert abs(measure(noisy, None)["sky_whiteness"].mean()) < 0.01
    assert np.array_equal(noisy, planted(IMAGES, "noise", 0.5))


def test_blur_adds_its_variance():
    star = gaussian(64, 3)[None]
    everywhere = np.ones(star.shape, dtype=bool)
    light = moments(planted(star, "blur", 2.0), everywhere)
    assert np.allclose([light.xx, light.yy], 3**2 + 2**2, rtol=1e-3)
    half = moments(planted(star, "shift", 0.5), everywhere)
    assert np.allclose([half.xx, half.yy, half.x], [[9.25], [9], [0.5]], atol=1e-3)


def test_rotation_goes_from_x_to_y():
    x, y = grid(64)
    assert np.array_equal(planted(x[None], "turned", 1)[0], y)
    half = (planted(IMAGES, "turned", 0.5) != IMAGES).any((1, 2))
    assert half.sum() == len(IMAGES) / 2


def test_patches_differ_by_the_step_asked_for():
    patches = planted(np.ones((1, 12, 12), np.float32), "patches", 0.1)[0]
    assert patches.dtype == np.float32
    assert patches[3, 3] == patches[4, 4] == 1
    assert patches[3, 4] == patches[4, 3] == np.float32(1.1)


def test_arcs_are_pitted_in_the_share_asked_for():
    flat = np.ones((8, 20, 20), np.float32)
    pitted = planted(flat, "pitted", 0.5)
    assert sorted(measure_detail(pitted)["pits"]) == [0] * 4 + [1] * 4
    assert ((pitted == flat).sum((1, 2)) >= 399).all()


def test_the_faintest_pixels_are_clipped():
    clipped = planted(IMAGES[:4], "clipped", 0.1)
    assert measure_detail(clipped)["negative_flux"] == pytest.approx(0.1, abs=0.001)
    assert (clipped[clipped > 0] >= np.quantile(IMAGES[0], 0.05)).all()
