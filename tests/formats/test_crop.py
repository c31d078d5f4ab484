"""The middle of images, from files and from stores."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from gravlensdiffusion.errors import BadFilesError, GravLensError
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.store.writer import write_store
from tests.sets.files import HEADER, lens_images, lens_records, save_folder, with_twins


def test_files_of_different_sizes_become_one_set(tmp_path: Path) -> None:
    large, small = lens_images(1, size=12)[0], lens_images(1, size=8, seed=1)[0]
    fits.writeto(tmp_path / "a.fits", large, fits.Header({"PIXSCALE": 0.1}))
    fits.writeto(tmp_path / "b.fits", small, fits.Header({"PIXSCALE": 0.1}))
    source = open_set(tmp_path, crop=6)
    assert source.image_shape == (1, 6, 6)
    assert source.header.pixel_scale_arcsec == 0.1
    np.testing.assert_array_equal(source.read([0])[0, 0], large[3:9, 3:9])
    np.testing.assert_array_equal(source.read([1])[0, 0], small[1:7, 1:7])


def test_a_smaller_file_is_told(tmp_path: Path) -> None:
    save_folder(tmp_path, lens_images(2, size=12))
    np.save(tmp_path / "small.npy", lens_images(1, size=4)[0])
    with pytest.raises(BadFilesError, match=r"small\.npy: has 4 x 4 pixels, fewer than the 8 to"):
        open_set(tmp_path, crop=8)


def test_a_stack(tmp_path: Path) -> None:
    images = lens_images(3, size=9)
    np.savez(tmp_path / "a.npz", images=images)
    read = open_set(tmp_path / "a.npz", crop=5).read([2, 0])[:, 0]
    np.testing.assert_array_equal(read, images[[2, 0], 2:7, 2:7])


def test_a_store_keeps_all_but_its_margin_and_how_it_was_made(tmp_path: Path) -> None:
    path = write_store(tmp_path / "a.h5", with_twins(lens_records()), HEADER)
    whole, cropped = open_set(path), open_set(path, crop=4)
    assert cropped.image_shape == (1, 4, 4)
    assert len(cropped) == len(whole)
    inner = (..., slice(2, 6), slice(2, 6))
    np.testing.assert_array_equal(cropped.read([3, 1]), whole.read([3, 1])[inner])
    np.testing.assert_array_equal(
        cropped.read_noise_free([3, 1]), whole.read_noise_free([3, 1])[inner]
    )
    assert cropped.labels.tolist() == whole.labels.tolist()
    assert cropped.header.pixel_scale_arcsec == whole.header.pixel_scale_arcsec
    assert whole.header.config
    assert not cropped.header.config
    assert cropped.name(2) == whole.name(2)


@pytest.mark.parametrize(
    ("crop", "message"), [(1, "crop must be at least 2 pixels, got 1"), (9, "too few to crop")]
)
def test_impossible_crops_are_refused(tmp_path: Path, crop: int, message: str) -> None:
    path = write_store(tmp_path / "a.h5", lens_records(), HEADER)
    with pytest.raises(GravLensError, match=message):
        open_set(path, crop=crop)
