"""Seams, pits and fine structure, planted and found."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from gravlensdiffusion.metrics.detail import measure_detail, seams


def fine_power(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found = measure_detail(images)
    return found["fine_structure_arc"], found["fine_structure_sky"]


def pits(images: np.ndarray) -> np.ndarray:
    return measure_detail(images)["pits"]


def rings(num: int = 12, size: int = 80, seed: int = 0) -> np.ndarray:
    """Return smooth rings of different radius, lopsidedness and place."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    images = []
    for _ in range(num):
        dx, dy = rng.uniform(-3, 3, size=2)
        radius = np.hypot(x - dx, y - dy)
        angle = np.arctan2(y, x) - rng.uniform(0, 2 * np.pi)
        ring = np.exp(-((radius - rng.uniform(19, 24)) ** 2) / 50)
        images.append(ring * (1 + 0.5 * np.cos(angle)))
    return np.array(images, dtype=np.float32)


@pytest.mark.parametrize("period", [2, 3, 5, 8])
@pytest.mark.parametrize("axis", [1, 2])
def test_seams_finds_a_grid_along_either_axis(period: int, axis: int) -> None:
    images, reference = rings(24), measure_detail(rings(24, seed=1))
    assert seams(measure_detail(images), reference) < 1.4
    # Each patch is a little brighter or darker than the next one.
    step = 0.05 * (np.arange(images.shape[1]) // period % 2).astype(np.float32)
    shape = (-1, 1) if axis == 1 else (1, -1)
    faulty = measure_detail(images * (1 + step.reshape(shape)))
    assert seams(faulty, reference) > 1.3 * seams(measure_detail(images), reference)


def test_seams_take_no_notice_of_scale() -> None:
    images, reference = rings(4), measure_detail(rings(4, seed=1))
    dim = measure_detail(1e-6 * images)
    assert seams(dim, reference) == pytest.approx(
        seams(measure_detail(images), reference), rel=1e-3
    )


def test_points_are_compact_and_on_the_arc() -> None:
    images = rings(3)
    assert not pits(images).any()
    places = []
    for k in range(3):
        row, column = np.unravel_index(images[k].argmax(), images[k].shape)
        places.append((row, column))
    dotted = images.copy()
    for k in (0, 1):
        row, column = places[k]
        dotted[k, row - 1 : row + 2, column - 1 : column + 2] *= 0.8
    dotted[1, 0, 0] = -0.5  # off the arc
    row0, column0 = places[0]
    assert pits(dotted).tolist() == [1, 1, 0]
    dotted[0, row0 - 1 : row0 + 2, column0 - 1 : column0 + 2] *= 1.3 / 0.8
    assert measure_detail(dotted[:1])["bright_points"].tolist() == [1]


def test_pits_of_a_wide_dent_are_none() -> None:
    images = rings(1)
    y, x = np.mgrid[:80, :80]
    row, column = np.unravel_index(images[0].argmax(), images[0].shape)
    dent = 0.3 * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 2 / 6**2)
    assert not pits(images * (1 - dent)).any()


def test_fine_power_falls_with_blur_and_tells_arc_from_sky() -> None:
    rng = np.random.default_rng(0)
    images = rings(4)
    grainy = images * (1 + 0.1 * rng.standard_normal(images.shape))
    blurred = np.stack([gaussian_filter(each, 1.5) for each in grainy])
    (on, off), (on_blurred, _) = fine_power(grainy), fine_power(blurred)
    assert (on > 10 * on_blurred).all()
    assert (on > 10 * off).all()
    noisy_sky = images + np.where(images < 0.15, 0.05, 0) * rng.standard_normal(images.shape)
    _, off_noisy = fine_power(noisy_sky)
    assert (off_noisy > 10 * fine_power(images)[1]).all()


def test_fine_power_of_a_wave_is_half_its_squared_amplitude() -> None:
    wave = 0.01 * np.cos(2 * np.pi * 0.375 * np.arange(64)) * np.ones((1, 64, 1))
    flux = (1 + wave) / 1.01
    on, off = fine_power(np.concatenate([flux, 1 + 0 * flux]))
    assert on == pytest.approx([(0.01 / 1.01) ** 2 / 2, 0], rel=1e-3, abs=1e-12)
    assert np.isnan(off).all()


def test_dark_images_have_no_detail() -> None:
    empty = np.zeros((2, 20, 20), dtype=np.float32)
    assert not pits(empty).any()
    assert not measure_detail(empty)["bright_points"].any()
    assert np.isnan(fine_power(empty)[0]).all()


def test_negative_share_counts_what_was_clipped() -> None:
    images = np.ones((2, 4, 4))
    images[0, :2] = 0
    images[1, 0, 0] = -1
    assert measure_detail(images)["negative_flux"].tolist() == [0.5, 1 / 16]
