from io import BytesIO

import numpy as np
from PIL import Image

from gravlensdiffusion.reports.figures.reliability import reliability_png


def pixels(png: bytes):
    with Image.open(BytesIO(png)) as picture:
        return np.asarray(picture.convert("RGB"), dtype=int)


def test_a_diagram_holds_bins_at_its_edges():
    share = np.array([0.0, 1.0])
    # Rounding can leave a share outside its own interval.
    intervals = np.array([[1e-17, 0.3], [0.7, 1.0 - 1e-16]])
    confidence = np.array([0.5, 1.0])
    drawn = reliability_png(confidence, share, intervals, chance=0.5)
    assert not np.array_equal(
        pixels(drawn), pixels(reliability_png(confidence, 1 - share, intervals, chance=0.5))
    )
