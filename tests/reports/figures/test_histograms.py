from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from gravlensdiffusion.reports.figures.histograms import bin_edges, clipped_histogram, histogram_png

NORMAL = np.random.default_rng(0).normal(size=2000)


def test_both_sets_fit_on_the_axis():
    edges = bin_edges(NORMAL + 2, NORMAL)
    assert edges[0] <= np.percentile(NORMAL, 0.5)
    assert edges[-1] >= np.percentile(NORMAL + 2, 99.5)
    assert np.allclose(np.diff(edges), edges[1] - edges[0])


def test_wild_values_do_not_squeeze_the_real_ones():
    wild = np.concatenate([NORMAL[:1000], np.full(1000, 1e6)])
    edges = bin_edges(wild, NORMAL)
    assert edges[-1] < 12
    assert clipped_histogram(wild, edges)[-1] == pytest.approx(0.5, abs=0.01)


def test_shares_sum_to_one_however_far_values_lie():
    edges = bin_edges(NORMAL, NORMAL)
    assert clipped_histogram(NORMAL * 100, edges).sum() == pytest.approx(1)
    assert clipped_histogram(NORMAL[:7], edges).sum() == pytest.approx(1)


@pytest.mark.parametrize("value", [0.0, 3.0, -1e-9, 1e12])
def test_equal_values_have_bins_around_them(value):
    edges = bin_edges(np.full(5, value), np.full(9, value))
    assert edges[0] < value < edges[-1]
    assert len(edges) == 9


def test_few_values_have_few_bins():
    assert len(bin_edges(NORMAL[:30], NORMAL)) == 9
    assert len(bin_edges(NORMAL, NORMAL)) == 41


def test_a_set_without_values_is_left_out_and_two_are_refused():
    nothing = np.full(4, np.nan)
    with Image.open(BytesIO(histogram_png(nothing, NORMAL))) as picture:
        alone = np.asarray(picture.convert("RGB"))
    with Image.open(BytesIO(histogram_png(NORMAL, NORMAL))) as picture:
        both = np.asarray(picture.convert("RGB"))
    assert alone.shape == both.shape
    assert not np.array_equal(alone, both)
    with pytest.raises(ValueError, match="no values"):
        histogram_png(nothing, nothing)


def test_same_values_same_bytes():
    assert histogram_png(NORMAL, NORMAL) == histogram_png(NORMAL, NORMAL)
