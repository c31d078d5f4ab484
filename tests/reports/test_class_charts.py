from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from gravlensdiffusion.reports.charts import (
    confusion_png,
    reliability_png,
    roc_png,
)


def pixels(png: bytes):
    with Image.open(BytesIO(png)) as picture:
        return np.asarray(picture.convert("RGB"), dtype=int)


@pytest.mark.parametrize("num", [2, 3, 13])
def test_a_matrix_of_any_size_is_drawn(num):
    confusion = np.full((num, num), 3)
    confusion[0] = 0
    names = [f"${k}$ _ 星 a name that is rather long" for k in range(num)]
    assert min(pixels(confusion_png(confusion, names)).shape[:2]) > 200


def test_dark_cells_are_those_with_many_images():
    faultless = pixels(confusion_png(np.diag([50, 50]), ("a", "b")))
    inverted = pixels(confusion_png(np.diag([50, 50])[::-1], ("a", "b")))
    middle = [side // 2 for side in faultless.shape[:2]]

    def blue(picture):
        """Return the mean blueness of the upper left quarter."""
        part = picture[: middle[0] - 40, 80 : middle[1] - 20]
        return (part[..., 2] - part[..., 0]).mean()

    assert blue(faultless) > blue(inverted) + 40


CURVE = np.array([0.0, 0.2, 1.0])


def test_a_curve_more_is_seen():
    guess = (CURVE, CURVE)
    one = roc_png(["a"], [0.5], [guess])
    two = roc_png(["a", "_b"], [0.5, 0.9], [guess, (CURVE, np.sqrt(CURVE))])
    assert pixels(one).shape == pixels(two).shape
    assert not np.array_equal(pixels(one), pixels(two))
    assert roc_png(["a"], [0.5], [guess]) == one


def test_a_diagram_holds_bins_at_its_edges():
    share = np.array([0.0, 1.0])
    # Rounding can leave a share outside its own interval.
    intervals = np.array([[1e-17, 0.3], [0.7, 1.0 - 1e-16]])
    confidence = np.array([0.5, 1.0])
    drawn = reliability_png(confidence, share, intervals, chance=0.5)
    assert not np.array_equal(
        pixels(drawn), pixels(reliability_png(confidence, 1 - share, intervals, chance=0.5))
    )
