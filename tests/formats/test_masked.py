"""Pixels that were not observed: filled for the network, and left out of what is told of a set."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.sets.inspection import inspect_lenses
from tests.sets.files import lens_images


def with_border(width: int) -> NDArray[np.float32]:
    """Return a lens whose left columns were not observed."""
    (image,) = lens_images(1, size=16)
    image[:, :width] = np.nan
    return image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images, of which the second has 3 x 16 masked pixels."""
    fits.writeto(tmp_path / "1.fits", with_border(0))
    fits.writeto(tmp_path / "2.fits", with_border(3))
    return tmp_path


def test_masked_pixels_look_like_those_beside_them(folder: Path) -> None:
    source = open_set(folder)
    image, wanted = source.read([1])[0, 0], with_border(3)
    np.testing.assert_array_equal(image[:, 3:], wanted[:, 3:])
    # Of the nearest three by three pixels, two columns were observed.
    rows = np.pad(wanted[:, 3:5].mean(1), 1, mode="edge")
    beside = (rows[:-2] + rows[1:-1] + rows[2:]) / 3
    grain = np.median(np.abs(np.diff(wanted[:, 3:]))) / (0.6745 * np.sqrt(2))
    assert np.abs(image[1:-1, :3] - beside[1:-1, None]).max() < 4 * grain
    np.testing.assert_array_equal(source.read([1])[0, 0], image)
    assert source.notes == (
        (
            "masked pixels, 48 in 1 of 2 images (48 NaN or BLANK): each looks like those beside it; "
            "2.fits first"
        ),
    )


def test_holes_in_a_galaxy_and_in_the_sky_are_filled_alike_to_what_was_there(
    tmp_path: Path,
) -> None:
    y, x = np.indices((64, 64)) - 31.5
    rng = np.random.default_rng(0)
    truth = 5 * np.exp(-np.hypot(x, y) / 3) + rng.normal(0, 0.1, x.shape)
    image = truth.astype(np.float32)
    holes = np.zeros(image.shape, bool)
    holes[34:37, 34:37] = holes[2:22, 2:22] = True
    image[holes] = np.nan
    fits.writeto(tmp_path / "a.fits", image)
    filled = open_set(tmp_path / "a.fits").read([0])[0, 0]
    assert filled[34:37, 34:37] == pytest.approx(truth[34:37, 34:37], abs=1.0)
    sky = filled[2:22, 2:22]
    assert sky.std() == pytest.approx(0.1, rel=0.25)
    assert sky.mean() == pytest.approx(truth[2:22, 2:22].mean(), abs=0.05)


def test_masked_pixels_count_in_no_statistic(folder: Path) -> None:
    told = inspect_lenses(open_set(folder))
    seen = np.concatenate([with_border(0).ravel(), with_border(3)[:, 3:].ravel()])
    assert told.mean == pytest.approx(seen.mean(dtype=np.float64), rel=1e-6)
    assert told.std == pytest.approx(seen.std(dtype=np.float64), rel=1e-6)
    assert told.num_quantile_pixels == seen.size
    assert told.quantiles[0.5] == pytest.approx(float(np.quantile(seen, 0.5)))
    assert told.images[1][2] == pytest.approx(np.nanmean(with_border(3)), rel=1e-6)


def test_views_know_what_was_not_observed(folder: Path) -> None:
    source = open_set(folder)
    middle = source.select([1, 0]).crop(12)
    assert middle.has_masked
    # Of three masked columns, two lie outside of the middle.
    assert middle.read_masked([0, 1]).sum(axis=(1, 2, 3)).tolist() == [12, 0]
    # Two columns become one, and a masked one makes it doubtful.
    assert (
        source.resized(8).read_masked([1]).any(axis=(0, 1, 2)).tolist() == [True] * 2 + [False] * 6
    )
    # Blank borders that are cropped away are no matter.
    assert not open_set(folder, crop=8).has_masked


def test_blank_integers(tmp_path: Path) -> None:
    counts = np.arange(64, dtype=np.int16).reshape(8, 8)
    counts[0, :2] = -32768
    hdu = fits.PrimaryHDU(counts)
    hdu.header["BLANK"] = -32768
    hdu.writeto(tmp_path / "a.fits")
    image = open_set(tmp_path / "a.fits").read([0])[0, 0]
    # (2 + 3 + 10 + 11) / 4 and (2 + 3 + 9 + 10 + 11) / 5 with a grain of one over 0.95.
    assert np.abs(image[0, :2] - [9, 7]).max() < 6
    assert image[0, 2] == 2
    assert image[7, 7] == 63


@pytest.mark.parametrize(
    ("value", "width", "message"),
    [
        (np.nan, 9, "is masked in 144 of 256 pixels, more than half"),
        (np.nan, 16, "is masked in 256 of 256 pixels"),
        (np.inf, 1, "is not finite in 16 of 256 pixels"),
    ],
)
def test_what_is_mostly_masked_or_infinite_is_refused(
    tmp_path: Path, value: float, width: int, message: str
) -> None:
    image = with_border(0)
    image[:, :width] = value
    fits.writeto(tmp_path / "a.fits", image)
    with pytest.raises(GravLensError, match=message):
        open_set(tmp_path / "a.fits")


def test_only_fits_says_by_a_number_that_is_none_what_was_not_observed(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", with_border(1))
    with pytest.raises(GravLensError, match="is not finite in 16 of 256 pixels"):
        open_set(tmp_path / "a.npy")
