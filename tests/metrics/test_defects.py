"""Planted defects have the strength that they are asked for."""

import numpy as np
import pytest

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.metrics.defects import (
    add_noise,
    blur,
    clip_faintest,
    patch,
    pit_arcs,
    rotate,
    scale_flux,
    shift,
)
from gravlensdiffusion.metrics.detail import count_points, negative_share
from gravlensdiffusion.metrics.morphology import moments
from gravlensdiffusion.metrics.physics import measure
from tests.metrics.lenses import gaussian, grid, observe, ring, simulated

IMAGES = observe(ring(64, 14, 4, x=2), 200)
BEFORE = measure(IMAGES, None)


def change(images, name):
    return measure(images, None)[name].mean() / BEFORE[name].mean() - 1


@pytest.mark.parametrize("factor", [0.9, 1.02, 1.2])
def test_scaled_flux_leaves_the_sky(factor):
    scaled = scale_flux(IMAGES, factor)
    assert scaled.dtype == np.float32
    assert abs(change(scaled, "total_flux") - (factor - 1)) < 0.01 * abs(factor - 1)
    assert abs(change(scaled, "sky_rms")) < 0.005
    assert abs(change(scaled, "sky_level")) < 1e-3


def test_scaled_flux_of_simulated_lenses():
    images, _, _ = simulated("deeplense", 28, 60, seed=3)
    ratio = (
        measure(scale_flux(images, 1.02), None)["total_flux"] / measure(images, None)["total_flux"]
    )
    assert abs(ratio.mean() - 1.02) < 0.0005


@pytest.mark.parametrize("factor", [0.0, 0.5, 0.9, 1.0, 1.1, 2.0])
def test_noise_has_the_rms_asked_for(factor):
    noisy = add_noise(IMAGES, factor, np.random.default_rng(3))
    assert noisy.dtype == np.float32
    assert abs(change(noisy, "sky_rms") - (factor - 1)) < 0.01
    assert abs(change(noisy, "total_flux")) < 0.005


def test_added_noise_is_white_and_comes_from_the_generator():
    noisy = add_noise(IMAGES, 1.5, np.random.default_rng(3))
    assert abs(measure(noisy, None)["sky_whiteness"].mean()) < 0.01
    assert np.array_equal(noisy, add_noise(IMAGES, 1.5, np.random.default_rng(3)))
    with pytest.raises(GravLensError, match="must not be negative"):
        add_noise(IMAGES, -1, np.random.default_rng(3))


def test_blur_adds_its_variance():
    star = gaussian(64, 3)[None]
    everywhere = np.ones(star.shape, dtype=bool)
    light = moments(blur(star, 2.0), everywhere)
    assert np.allclose([light.xx, light.yy], 3**2 + 2**2, rtol=1e-3)
    half = moments(shift(star, 0.5), everywhere)
    assert np.allclose([half.xx, half.yy, half.x], [[9.25], [9], [0.5]], atol=1e-3)
    assert np.array_equal(shift(star, 0.0), star)


def test_rotation_goes_from_x_to_y():
    x, y = grid(64)
    assert np.array_equal(rotate(x[None])[0], y)
    assert np.array_equal(rotate(IMAGES, 4), IMAGES)


def test_patches_differ_by_the_step_asked_for():
    patches = patch(np.ones((1, 12, 12), np.float32), 0.1, side=4)[0]
    assert patches.dtype == np.float32
    assert patches[3, 3] == patches[4, 4] == 1
    assert patches[3, 4] == patches[4, 3] == np.float32(1.1)


def test_arcs_are_pitted_in_the_share_asked_for():
    flat = np.ones((8, 20, 20), np.float32)
    pitted = pit_arcs(flat, 0.5, np.random.default_rng(3))
    assert sorted(count_points(pitted)[0]) == [0] * 4 + [1] * 4
    assert ((pitted == flat).sum((1, 2)) >= 399).all()


def test_the_faintest_pixels_are_clipped():
    clipped = clip_faintest(IMAGES[:4], 0.1)
    assert negative_share(clipped) == pytest.approx(0.1, abs=0.001)
    assert (clipped[clipped > 0] >= np.quantile(IMAGES[0], 0.05)).all()
