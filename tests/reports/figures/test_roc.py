from io import BytesIO

import numpy as np
from PIL import Image

from gravlensdiffusion.reports.figures.roc import Roc, roc_png

CURVE = np.array([0.0, 0.2, 1.0])


def pixels(png: bytes):
    with Image.open(BytesIO(png)) as picture:
        return np.asarray(picture.convert("RGB"), dtype=int)


def test_a_curve_more_is_seen():
    guess = Roc("a", 0.5, CURVE, CURVE)
    one, two = roc_png([guess]), roc_png([guess, Roc("_b", 0.9, CURVE, np.sqrt(CURVE))])
    assert pixels(one).shape == pixels(two).shape
    assert not np.array_equal(pixels(one), pixels(two))
    assert roc_png([guess]) == one
