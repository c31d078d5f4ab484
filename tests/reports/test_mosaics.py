from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gravlensdiffusion.reports.document import Figure
from gravlensdiffusion.reports.mosaics import percentile_limits, save_grid


def saved(images: np.ndarray, path: Path, **how: object) -> Path:
    save_grid(images, path, **how)
    return path


def steps(num: int, side: int = 8) -> np.ndarray:
    """Return constant images of value 0, 1, ..., num - 1."""
    values = np.arange(num, dtype=np.float32)
    return np.broadcast_to(values[:, None, None, None], (num, 1, side, side))


def grey(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("L"))


def tile_centres(path: Path, columns: int, num: int, cell: int) -> list[int]:
    pixels = grey(path)
    return [
        int(pixels[cell * (k // columns) + cell // 2, cell * (k % columns) + cell // 2])
        for k in range(num)
    ]


def test_grid_lays_images_out_row_by_row_on_one_grey_scale(tmp_path):
    path = saved(
        steps(5), tmp_path / "g.png", num_columns=3, stretch="linear", limits=(0, 4), min_side=8
    )
    assert grey(path).shape == (2 * 9 + 1, 3 * 9 + 1)
    assert tile_centres(path, 3, 5, cell=9) == [0, 64, 128, 191, 255]


def test_sqrt_stretch_brightens_faint_pixels(tmp_path):
    path = saved(steps(5), tmp_path / "g.png", num_columns=5, limits=(0, 4), min_side=8)
    expected = [round(255 * np.sqrt(k / 4)) for k in range(5)]
    assert tile_centres(path, 5, 5, cell=9) == expected


def test_hundred_images_make_a_square_of_ten_by_ten(tmp_path):
    path = saved(np.zeros((100, 28, 28)), tmp_path / "g.png")
    assert grey(path).shape == (10 * 57 + 1, 10 * 57 + 1)


def test_grid_shows_rows_upwards_and_columns_to_the_right(tmp_path):
    image = np.zeros((1, 1, 8, 8))
    image[0, 0, 1, 6] = 1.0
    path = saved(image, tmp_path / "g.png", stretch="linear", limits=(0, 1), min_side=8)
    pixels = grey(path)
    assert pixels[7, 7] == 255
    assert pixels[7, 2] == 0


def test_three_channels_are_shown_in_colour(tmp_path):
    image = np.zeros((1, 3, 8, 8))
    image[0, 1] = 1.0
    path = saved(image, tmp_path / "g.png", limits=(0, 1), min_side=8)
    with Image.open(path) as picture:
        assert picture.convert("RGB").getpixel((4, 4)) == (0, 255, 0)


def test_unusable_pixels_are_drawn_black_and_do_not_move_the_scale(tmp_path):
    image = np.ones((2, 1, 8, 8))
    image[0] = np.nan
    image[1, 0, 0, 0] = 0.0
    path = saved(image, tmp_path / "g.png", num_columns=2, stretch="linear", min_side=8)
    assert tile_centres(path, 2, 2, cell=9) == [0, 255]


def test_titles_stand_above_their_tiles(tmp_path):
    path = saved(np.zeros((2, 40, 40)), tmp_path / "g.png", titles=["a", "long" * 50])
    plain = saved(np.zeros((2, 40, 40)), tmp_path / "p.png")
    assert grey(path).shape[1] == grey(plain).shape[1]
    assert grey(path).shape[0] > grey(plain).shape[0]
    with pytest.raises(ValueError, match="1 titles for 2 images"):
        save_grid(np.zeros((2, 40, 40)), path, titles=["a"])


@pytest.mark.parametrize("shape", [(0, 1, 8, 8), (8, 8), (1, 1, 1, 8, 8)])
def test_arrays_that_are_no_images_are_refused(tmp_path, shape):
    with pytest.raises(ValueError, match="cannot show"):
        save_grid(np.zeros(shape), tmp_path / "g.png")


def test_unknown_stretch_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match="linear, sqrt, asinh"):
        save_grid(steps(2), tmp_path / "g.png", stretch="log")


def test_bytes_hold_the_picture_that_is_saved(tmp_path):
    path = saved(steps(5), tmp_path / "g.png", num_columns=3, limits=(0, 4), min_side=100)
    data = Figure.photo(steps(5), "steps", num_columns=3, limits=(0, 4)).png
    with Image.open(BytesIO(data)) as picture:
        assert picture.format == "PNG"
        assert np.array_equal(np.asarray(picture.convert("L")), grey(path))
    assert data == Figure.photo(steps(5), "steps", num_columns=3, limits=(0, 4)).png


def test_limits_ignore_unusable_pixels_and_constant_images():
    values = np.append(np.linspace(0, 1, 1001), [np.nan, np.inf])
    assert percentile_limits(values) == pytest.approx((0.001, 0.999))
    assert percentile_limits(np.full(4, 3.0)) == (3.0, 4.0)
    assert percentile_limits(np.full(4, np.nan)) == (0.0, 1.0)
