from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from gravlensdiffusion.reports.charts import (
    GENERATED,
    REAL,
    _histograms,
    bands_png,
    histogram_png,
)


def colours(png: bytes) -> np.ndarray:
    with Image.open(BytesIO(png)) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def rows_of(png: bytes, colour: str) -> np.ndarray:
    """Return the rows of pixels, from above, that hold a colour."""
    wanted = [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
    distance = np.abs(colours(png) - wanted).sum(-1)
    return np.flatnonzero((distance < 60).any(1))


X = np.linspace(1, 20, 20)


def band(level: float, half: float = 0.1) -> np.ndarray:
    middle = np.full(20, level)
    return np.stack([middle, middle - half, middle + half])


@pytest.mark.parametrize(("level", "above"), [(1.05, True), (0.95, False)])
def test_strip_shows_which_set_lies_higher(level, above):
    png = bands_png(X, band(level), band(1.0), x_label="r", y_label="flux")
    strip = 0.72 * len(colours(png))
    ours, theirs = (rows_of(png, each.colour) for each in (GENERATED, REAL))
    assert (ours[ours > strip].mean() < theirs[theirs > strip].mean()) is np.bool_(above)


def test_same_bands_same_bytes():
    one, two = (bands_png(X, band(2.0), band(1.0), x_label="r", y_label="f") for _ in range(2))
    assert one == two


def test_bands_of_nothing_and_of_negative_powers_are_drawn():
    nothing = np.full((3, 20), np.nan)
    for log in (False, True):
        for generated in (nothing, band(-1.0), band(0.05)):
            png = bands_png(X, generated, band(1.0), x_label="k", y_label="power", log=log)
            assert len(rows_of(png, REAL.colour))


NORMAL = np.random.default_rng(0).normal(size=2000)


def test_both_sets_fit_on_the_axis():
    edges, *_ = _histograms(NORMAL + 2, NORMAL)
    assert edges[0] <= np.percentile(NORMAL, 0.5)
    assert edges[-1] >= np.percentile(NORMAL + 2, 99.5)
    assert np.allclose(np.diff(edges), edges[1] - edges[0])


def test_wild_values_do_not_squeeze_the_real_ones():
    wild = np.concatenate([NORMAL[:1000], np.full(1000, 1e6)])
    edges, shares, _ = _histograms(wild, NORMAL)
    assert edges[-1] < 12
    assert shares[-1] == pytest.approx(0.5, abs=0.01)


def test_shares_sum_to_one_however_far_values_lie():
    _, *both = _histograms(NORMAL * 100, NORMAL[:7])
    assert [shares.sum() for shares in both] == pytest.approx([1, 1])


@pytest.mark.parametrize("value", [0.0, 3.0, -1e-9, 1e12])
def test_equal_values_have_bins_around_them(value):
    edges, *_ = _histograms(np.full(5, value), np.full(9, value))
    assert edges[0] < value < edges[-1]
    assert len(edges) == 9


def test_few_values_have_few_bins():
    assert len(_histograms(NORMAL[:30], NORMAL)[0]) == 9
    assert len(_histograms(NORMAL, NORMAL)[0]) == 41


def test_a_set_without_values_is_left_out():
    nothing = np.full(4, np.nan)
    with Image.open(BytesIO(histogram_png(nothing, NORMAL))) as picture:
        alone = np.asarray(picture.convert("RGB"))
    with Image.open(BytesIO(histogram_png(NORMAL, NORMAL))) as picture:
        both = np.asarray(picture.convert("RGB"))
    assert alone.shape == both.shape
    assert not np.array_equal(alone, both)


def test_same_values_same_bytes():
    assert histogram_png(NORMAL, NORMAL) == histogram_png(NORMAL, NORMAL)
