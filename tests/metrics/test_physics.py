"""All statistics together: what they do not depend on, and what they must notice."""

import numpy as np
import pytest

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.metrics import physics
from gravlensdiffusion.metrics.defects import plant
from gravlensdiffusion.metrics.physics import UNITS, measure
from tests.metrics.lenses import gaussian, observe, ring

LENS = ring(64, 14, 3, x=2, y=1) * (1 + gaussian(64, 20, q=0.5, phi=0.3, x=10))
IMAGES = observe(LENS, 60)
MEASURED = measure(IMAGES, 0.1)
LENGTHS = {"arcsec": 1, "arcsec^2": 2}


def agree(one, other, tolerance=1e-4):
    return np.allclose(one, other, rtol=tolerance, atol=tolerance)


def test_each_statistic_is_described_measured_and_finite():
    assert list(MEASURED) == list(UNITS)
    for values in MEASURED.values():
        assert values.shape == (60,)
        assert np.isfinite(values).all()


def test_lengths_follow_the_pixel_scale():
    in_pixels = measure(IMAGES, None)
    for name, unit in UNITS.items():
        factor = 0.1 ** LENGTHS.get(unit, 0)
        assert np.allclose(MEASURED[name], in_pixels[name] * factor)


def test_a_higher_sky_moves_only_level_and_maximum():
    shifted = measure(IMAGES + np.float32(0.25), 0.1)
    for name, values in shifted.items():
        moved = 0.25 if name in ("sky_level", "maximum") else 0
        assert agree(values - moved, MEASURED[name])


@pytest.mark.parametrize("factor", [1e-9, 3.0, 1e9])
def test_the_flux_scale_moves_only_fluxes(factor):
    scaled = measure(IMAGES * np.float32(factor), 0.1)
    for name, unit in UNITS.items():
        assert agree(scaled[name] / (factor if unit == "flux" else 1), MEASURED[name])


def test_a_quarter_turn_turns_what_has_a_direction():
    turned = measure(plant(IMAGES, "turned", 1, np.random.default_rng(0)), 0.1)
    expected = dict(MEASURED)
    expected["centroid_x"], expected["centroid_y"] = -MEASURED["centroid_y"], MEASURED["centroid_x"]
    for name in ("ellipticity_1", "ellipticity_2", "quadrupole_plus", "quadrupole_cross"):
        expected[name] = -MEASURED[name]
    assert np.abs(MEASURED["quadrupole_plus"]).min() > 0.05
    for name, values in turned.items():
        assert agree(values, expected[name], 1e-3 if name == "einstein_radius" else 1e-4)


def test_an_image_is_measured_alike_in_any_batch(monkeypatch):
    monkeypatch.setattr(physics, "CHUNK_PIXELS", 7 * 64**2)
    small_chunks = measure(IMAGES, 0.1)
    alone = measure(IMAGES[41:42], 0.1)
    for name, values in MEASURED.items():
        assert np.allclose(small_chunks[name], values, rtol=1e-5, atol=1e-6)
        assert np.allclose(alone[name], values[41:42], rtol=1e-5, atol=1e-6)


def test_images_without_a_lens_or_with_holes_give_nan_and_no_warning():
    images = np.concatenate([IMAGES[:1], np.zeros((4, 64, 64), np.float32)])
    images[2] = -3
    images[3, 5, 5] = np.nan
    images[4] = np.inf
    measured = measure(images, 0.1)
    for name, values in measured.items():
        assert agree(values[0], MEASURED[name][0])
        assert np.isnan(values[3:]).all()
    for name in ("einstein_radius", "gini", "m20", "centroid_x", "ellipticity", "sky_whiteness"):
        assert np.isnan(measured[name][1:]).all()
    assert np.array_equal(measured["total_flux"][1:3], [0, 0])
    assert np.array_equal(measured["sky_level"][1:3], [0, -3])


def test_no_images_give_no_numbers():
    assert all(values.shape == (0,) for values in measure(IMAGES[:0], None).values())


@pytest.mark.parametrize("size", [16, 28, 29, 200])
def test_all_sizes_can_be_measured(size):
    lens = ring(size, 0.22 * size, 0.07 * size, x=0.03 * size)
    for values in measure(observe(lens, 3), None).values():
        assert np.isfinite(values).all()


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(GravLensError, match="at least 16 pixels a side"):
        measure(np.zeros((2, 8, 8)), None)
