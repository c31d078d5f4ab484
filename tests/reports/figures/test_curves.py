from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from gravlensdiffusion.reports.figures.curves import Band, bands_png, save_curve
from gravlensdiffusion.reports.figures.series import GENERATED, REAL


def test_curve_is_written(tmp_path):
    path = save_curve(
        {"train": ([1, 2], [1.0, 0.1]), "average": ([1, 2], [1.0, 0.5])},
        tmp_path / "c.png",
        x_label="images",
        y_label="loss",
        log_y=True,
    )
    with Image.open(path) as picture:
        assert np.asarray(picture.convert("L")).std() > 5


def colours(png: bytes) -> np.ndarray:
    with Image.open(BytesIO(png)) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def rows_of(png: bytes, colour: str) -> np.ndarray:
    """Return the rows of pixels, from above, that hold a colour."""
    wanted = [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
    distance = np.abs(colours(png) - wanted).sum(-1)
    return np.flatnonzero((distance < 60).any(1))


X = np.linspace(1, 20, 20)


def band(level: float, half: float = 0.1) -> Band:
    middle = np.full(20, level)
    return Band(middle, middle - half, middle + half)


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
    nothing = Band(*(np.full(20, np.nan),) * 3)
    for log in (False, True):
        for generated in (nothing, band(-1.0), band(0.05)):
            png = bands_png(X, generated, band(1.0), x_label="k", y_label="power", log=log)
            assert len(rows_of(png, REAL.colour))
