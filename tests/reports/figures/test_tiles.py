import numpy as np
import pytest

from gravlensdiffusion.reports.figures.tiles import default_columns, percentile_limits


def test_limits_ignore_unusable_pixels_and_constant_images():
    values = np.append(np.linspace(0, 1, 1001), [np.nan, np.inf])
    assert percentile_limits(values, 10, 90) == pytest.approx((0.1, 0.9))
    assert percentile_limits(np.full(4, 3.0)) == (3.0, 4.0)
    assert percentile_limits(np.full(4, np.nan)) == (0.0, 1.0)


def test_grids_are_square():
    assert [default_columns(num) for num in (0, 1, 2, 36, 37)] == [1, 1, 2, 6, 7]
