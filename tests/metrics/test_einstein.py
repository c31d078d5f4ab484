"""The Einstein radius: rings of known radius, and simulated lenses."""

import os
from pathlib import Path

import numpy as np
import pytest

from gravlensdiffusion.metrics.einstein import einstein_radius
from gravlensdiffusion.metrics.physics import measure
from gravlensdiffusion.sets.flux import default_method, resize
from tests.metrics.lenses import RMS, gaussian, grid, observe, ring, simulated

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("GRAVLENS_SHARED_DATA", ROOT.parent / "shared" / "data"))
NO_NOISE = np.zeros(1)


@pytest.mark.parametrize("size", [28, 29, 50, 64, 100, 150, 200])
@pytest.mark.parametrize("fraction", [0.15, 0.25, 0.35])
def test_a_ring_has_its_radius(size, fraction):
    radius = fraction * size
    flux = ring(size, radius, 0.05 * size)[None]
    assert abs(einstein_radius(flux, NO_NOISE)[0] / radius - 1) < 0.01


@pytest.mark.parametrize("size", [28, 64, 150])
def test_an_isothermal_sphere_with_its_source_off_the_axis(size):
    # Surface brightness is that of the source at beta = theta (1 - theta_E / |theta|).
    x, y = grid(size)
    radius, source = 0.2 * size, 0.08 * size
    stretch = 1 - radius / np.maximum(np.hypot(x, y), 1e-9)
    distance = np.hypot(x * stretch - 0.8 * source, y * stretch + 0.6 * source)
    flux = np.exp(-0.5 * (distance / (0.06 * size)) ** 2)[None]
    assert abs(einstein_radius(flux, NO_NOISE)[0] / radius - 1) < 0.02


def test_arcs_on_two_sides_are_enough():
    x, y = grid(64)
    arcs = ring(64, 12, 2, x=2) * np.exp(-0.5 * (y / np.hypot(x - 2, y) / 0.3) ** 2)
    assert abs(einstein_radius(arcs[None], NO_NOISE)[0] / 12 - 1) < 0.03


def test_a_lens_galaxy_in_the_middle_is_left_out():
    x, y = grid(64)
    galaxy = 30 * np.exp(-3 * np.hypot(x, y * 1.1) ** 0.5)
    flux = observe(galaxy + 0.2 * ring(64, 14, 2, x=2), 50) - 0.011
    radii = einstein_radius(flux, np.full(50, RMS))
    assert galaxy.max() > 1
    assert np.abs(radii / 14 - 1).max() < 0.03


def test_what_is_no_lens_has_no_einstein_radius():
    blob = gaussian(64, 5)
    assert np.isnan(einstein_radius(blob[None], NO_NOISE))
    narrow = np.float32(0.011) + np.stack([gaussian(64, 3, q=0.7), gaussian(64, 2, q=0.5)])
    assert np.isnan(measure(narrow.astype(np.float32), None)["einstein_radius"]).all()
    assert np.isnan(measure(observe(blob, 20), None)["einstein_radius"]).all()
    assert np.isnan(measure(observe(0 * blob, 20), None)["einstein_radius"]).all()


@pytest.mark.parametrize("size", [28, 64])
def test_simulated_lenses_have_their_true_radius(size):
    images, truth, scale = simulated("deeplense", size, 240, seed=7)
    error = measure(images, scale)["einstein_radius"] / truth - 1
    assert abs(error.mean()) < 0.006
    assert error.std() < 0.028
    assert np.corrcoef(error * truth + truth, truth)[0, 1] > 0.98


def test_with_a_bright_lens_galaxy_the_radius_is_rough():
    images, truth, scale = simulated("euclid", None, 60, seed=7)
    measured = measure(images, scale)["einstein_radius"]
    found = np.isfinite(measured)
    assert found.mean() > 0.6
    assert abs(np.median(measured[found] / truth[found]) - 1) < 0.3
    assert np.corrcoef(measured[found], truth[found])[0, 1] > 0.5


@pytest.mark.skipif(
    not (DATA / "deeplense_samples_36_fits.npz").exists(), reason="needs the real DeepLense images"
)
@pytest.mark.parametrize("size", [28, 64, 150])
def test_real_lenses_have_the_radius_of_their_fit(size):
    with np.load(DATA / "deeplense_samples_36_fits.npz") as fits:
        good = fits["residual_rms"] < 0.015
        fitted = fits["theta_E"][good]
    with np.load(DATA / "deeplense_samples_36.npz") as file:
        images = resize(file["images"][good].astype(np.float32), size, default_method(size))
    error = measure(images, 7.5 / size)["einstein_radius"] / fitted - 1
    assert abs(error.mean()) < 0.015
    assert error.std() < 0.03
