"""How real simulated images are: what is told of two sets, and what is done to holes."""

import numpy as np
import pytest
from realism import measure as realism
from realism.measure import (
    Stretch,
    compared,
    measure_realism,
    numbers_of,
    turned,
)

SIZE = 40


def lenses(seed: int, num: int, noise: float = 0.02) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    widths = rng.uniform(3, 5, size=(num, 1, 1))
    return (
        np.exp(-(x**2 + y**2) / (2 * widths**2)) + noise * rng.normal(size=(num, SIZE, SIZE))
    ).astype(np.float32)


@pytest.fixture(autouse=True)
def few_fits(monkeypatch):
    for name, value in {"NUM_DRAWS": 1, "NUM_FOLDS": 2, "NUM_REPEATS": 1}.items():
        monkeypatch.setattr(realism, name, value)


def test_sets_of_one_kind_are_alike_and_another_noise_is_the_worst_statistic():
    real = lenses(0, 30)
    alike = measure_realism(real, lenses(1, 80), 0.1)
    noisy = measure_realism(real, lenses(1, 80, noise=0.03), 0.1)
    (same,), (other,) = alike.areas, noisy.areas
    assert same.value < 0.75
    assert same.value - same.perfect < 0.25
    assert other.value > 0.95
    assert alike.num_different <= 2
    assert noisy.num_different > 2
    assert noisy.worst.p_value < 1e-6
    assert "sky rms" in {each.name.split(" [")[0] for each in noisy.statistics[:5]}
    assert (noisy.num_real, noisy.num_simulated) == (30, 80)


def test_every_statistic_of_a_report_has_its_row():
    numbers = numbers_of(lenses(0, 3), 0.1, "e-/s")
    assert {"Einstein radius [arcsec]", "sky correlation", "total flux [e-/s]"} <= set(numbers)
    assert any(name.startswith("flux at 0.0") for name in numbers)
    assert any(name.startswith("power at ") for name in numbers)
    assert all(values.shape == (3,) for values in numbers.values())


def test_values_that_are_missing_are_left_out():
    real = {"a": np.array([1.0, 2.0, np.nan]), "b": np.full(3, np.nan)}
    found = compared({"a": np.array([1.0, 2.0]), "b": np.zeros(2)}, real)
    assert [(each.name, each.distance) for each in found] == [("a", 0.0)]


def test_a_stretch_keeps_order_and_range():
    images = lenses(0, 4)
    grey = Stretch.of(images)(images)
    assert grey.min() >= 0
    assert grey.max() <= 1
    faint, bright = images < 0.05, images > 0.5
    assert grey[faint].max() < grey[bright].min()


def test_views_are_the_eight_symmetries_of_a_square():
    image = np.arange(9.0, dtype=np.float32).reshape(1, 3, 3)
    views = turned(image)
    assert views.shape == (1, 8, 3, 3)
    assert len({view.tobytes() for view in views[0]}) == 8
