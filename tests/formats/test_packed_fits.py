"""FITS files packed as a whole, ``.fits.gz``, or image by image, ``.fits.fz``."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.formats.open import open_set
from tests.sets.files import lens_images

pytestmark = pytest.mark.usefixtures("in_this_process")


def save(path: Path, seed: int, size: int = 16) -> None:
    (image,) = lens_images(1, size=size, seed=seed)
    if path.suffix == ".fz":
        # Whole numbers are packed without loss.
        packed = fits.CompImageHDU((image * 1000).astype(np.int32), fits.Header({"PIXSCALE": 0.1}))
        fits.HDUList([fits.PrimaryHDU(), packed]).writeto(path)
    else:
        fits.writeto(path, image, fits.Header({"PIXSCALE": 0.1}))


@pytest.mark.parametrize("suffix", [".fits.gz", ".fits.fz", ".FITS.GZ", ".fit.gz"])
def test_a_folder_of_packed_files(tmp_path: Path, suffix: str) -> None:
    for k in range(2):
        save(tmp_path / f"lens{k}_sci{suffix}", seed=k)
        save(tmp_path / f"lens{k}_psf{suffix}", seed=k, size=7)
    source = open_set(tmp_path)
    assert source.header.pixel_scale_arcsec == 0.1
    assert source.image_shape == (1, 16, 16)
    for k in range(2):
        (image,) = lens_images(1, size=16, seed=k)
        wanted = (image * 1000).astype(np.int32) if suffix == ".fits.fz" else image
        np.testing.assert_array_equal(source.read([k])[0, 0], wanted)
    (note,) = (line for line in source.notes if "left alone" in line)
    assert note.startswith("named like PSFs, left alone: 2; lens0_psf")


def test_a_packed_companion_goes_with_a_plain_image(tmp_path: Path) -> None:
    save(tmp_path / "lens_g.fits", seed=0)
    save(tmp_path / "lens_g_model.fits.gz", seed=1)
    assert len(open_set(tmp_path)) == 1


def test_what_a_file_may_unpack_to_is_bounded(tmp_path: Path) -> None:
    start = fits.PrimaryHDU(np.zeros((8, 8))).header.tostring().encode()
    with gzip.open(tmp_path / "a.fits.gz", "wb", compresslevel=1) as file:
        file.write(start + bytes(2**27))
    with pytest.raises(GravLensError, match="unpacks to more than the limit of"):
        open_set(tmp_path / "a.fits.gz")


@pytest.mark.parametrize("num", [10, 500])
def test_damaged_files_are_named(tmp_path: Path, num: int) -> None:
    save(tmp_path / "a.fits.gz", seed=0)
    whole = (tmp_path / "a.fits.gz").read_bytes()
    (tmp_path / "a.fits.gz").write_bytes(whole[:num])
    with pytest.raises(GravLensError, match=r"a\.fits\.gz: .*"):
        open_set(tmp_path / "a.fits.gz")
    (tmp_path / "a.fits.gz").write_bytes(b"no gzip at all" * 100)
    with pytest.raises(GravLensError, match="is no readable FITS file"):
        open_set(tmp_path / "a.fits.gz")


def test_other_packed_files_are_no_images(tmp_path: Path) -> None:
    (tmp_path / "a.npy.gz").write_bytes(b"x")
    with pytest.raises(GravLensError, match="no kind of file that can be read"):
        open_set(tmp_path / "a.npy.gz")
