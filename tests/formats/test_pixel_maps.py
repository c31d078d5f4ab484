"""Maps of data quality and weights: flagged pixels."""

import numpy as np
import pytest
from astropy.io import fits

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.sets.inspection import inspect_lenses
from tests.formats.contents import FLAGGED, SIZE, flat
from tests.sets.files import lens_images

pytestmark = pytest.mark.usefixtures("in_this_process")


def archive_file(path, *chips, primary=None):
    """Write an image and its maps for each chip, as archives give them: ``SCI,1``, ``ERR,1``, ``SCI,2``, ..."""
    hdus = [fits.PrimaryHDU(header=fits.Header(primary or {}))]
    images = lens_images(len(chips), size=SIZE)
    for version, (image, maps) in enumerate(zip(images, chips, strict=True), 1):
        for name, values in {"SCI": image, **maps}.items():
            hdus.append(fits.ImageHDU(values, name=name, ver=version))
    fits.HDUList(hdus).writeto(path)
    return path


def quality(*bits, size=SIZE):
    """Return data quality with some bits set, each in two pixels of a row of its own."""
    flags = np.zeros((size, size), np.int16)
    for row, bit in enumerate(bits):
        flags[row, :2] = bit
    return flags


def test_any_bit_of_data_quality_flags_a_pixel(tmp_path):
    noise = flat(0.1, (0, 0), FLAGGED).astype(np.float32)
    path = archive_file(tmp_path / "a_flt.fits", {"ERR": noise, "DQ": quality(16, 64, 4096)})
    image = lens_images(1, size=SIZE)[0]
    source = open_set(path)
    masked = source.read_masked([0])[0, 0]
    assert masked[:4].sum(axis=1).tolist() == [2, 2, 2, 0]
    assert masked.sum() == 6 + 100
    assert np.isfinite(source.read([0])).all()
    assert source.parameters["background_rms"] == pytest.approx([0.1])
    # What is flagged twice is counted once.
    assert source.notes == (
        "of FITS files HDU SCI taken with the data quality in DQ and the noise in ERR: 1 image, a_flt.fits first",
        (
            "masked pixels, 106 in 1 of 1 images (6 by data quality map, 100 by noise map): each looks like those "
            "beside it; a_flt.fits first"
        ),
    )
    told = inspect_lenses(source)
    assert told.mean == pytest.approx(image[~masked].mean(dtype=np.float64), rel=1e-6)
    assert open_set(path, crop=SIZE - 2).read_masked([0]).sum() == 1 + 1 + 100


def test_each_chip_of_a_camera_has_its_own_data_quality(tmp_path):
    chips = [{"ERR": flat(0.1), "DQ": quality(4)}, {"ERR": flat(0.2), "DQ": quality(4, 4, 256)}]
    path = archive_file(tmp_path / "a_flc.fits", *chips)
    with pytest.raises(GravLensError, match=r"holds 2 images; choose one with `hdu`: SCI, SCI,2"):
        open_set(path)
    for name, num, rms in (("SCI", 2, 0.1), ("SCI,2", 6, 0.2)):
        source = open_set(path, hdu=name)
        assert source.read_masked([0]).sum() == num
        assert source.parameters["background_rms"] == pytest.approx([rms])
    assert not open_set(path, hdu="DQ,2").has_masked


def test_weights_of_nothing_flag_a_pixel(tmp_path):
    weights = np.full((SIZE, SIZE), 570.0, np.float32)
    weights[:, :3] = 0
    drizzled = {"WHT": weights, "CTX": quality(size=SIZE)}
    source = open_set(archive_file(tmp_path / "a_drz.fits", drizzled))
    assert source.read_masked([0])[0, 0].all(axis=0).sum() == 3
    assert source.read_masked([0]).sum() == 3 * SIZE
    assert "background_rms" not in source.parameters
    assert "with the weight in WHT, CTX left" in source.notes[0]
    assert f"({3 * SIZE} by weight map)" in source.notes[1]
    # Weights that are 0 in most of an image are those of something else.
    weights[:, : SIZE // 2 + 1] = 0
    assert not open_set(archive_file(tmp_path / "b_drz.fits", drizzled)).has_masked


def test_data_quality_of_another_size_is_refused(tmp_path):
    path = archive_file(tmp_path / "a.fits", {"DQ": quality(4, size=SIZE - 1)})
    with pytest.raises(
        GravLensError, match=r"a.fits: has a data quality map of 31 x 31 .* of 32 x 32 pixels in 1$"
    ):
        open_set(path)
    image, mask = tmp_path / "b" / "x_sci.fits", tmp_path / "b" / "x_dq.fits"
    image.parent.mkdir()
    fits.writeto(image, lens_images(1, size=SIZE)[0])
    fits.writeto(mask, quality(4, size=SIZE - 1))
    with pytest.raises(GravLensError, match=r"a data quality map of 31 x 31 .* image of 32 x 32"):
        open_set(image.parent)


def test_an_image_of_which_most_is_flagged_says_by_what(tmp_path):
    flags = np.ones((SIZE, SIZE), np.int16)
    flags[:4] = 0
    with pytest.raises(
        GravLensError, match=r"masked in 896 of 1024 .* half, 896 by its data quality map$"
    ):
        open_set(archive_file(tmp_path / "a.fits", {"DQ": flags}))


def test_jumps_that_the_pipeline_of_jwst_has_corrected_are_no_flags(tmp_path):
    flags = {"DQ": quality(1, 4, 512 | 8, 4 | 1).astype(np.uint32)}
    for telescope, num in (("JWST", 6), ("HST", 8)):
        path = tmp_path / f"{telescope}.fits"
        source = open_set(archive_file(path, flags, primary={"TELESCOP": telescope}))
        assert [int(source.read_masked([0]).sum()) for _ in range(2)] == [num, num]


def test_maps_in_files_beside_the_image(tmp_path):
    weights = flat(3.0)
    weights[5, :4] = 0
    for name, values in {
        "sci": lens_images(1, size=SIZE)[0],
        "wht": weights,
        "dq": quality(8),
    }.items():
        hdus = [fits.PrimaryHDU(), fits.ImageHDU(values, name=name.upper())]
        fits.HDUList(hdus).writeto(tmp_path / f"sierra_{name}.fits")
    source = open_set(tmp_path)
    assert source.read_masked([0]).sum() == 6
    assert source.notes[:2] == (
        "named like data quality maps, taken for that of an image: 1; sierra_dq.fits first",
        "named like weight maps, taken for that of an image: 1; sierra_wht.fits first",
    )
    assert "background_rms" not in source.parameters


def test_maps_beside_a_stack_are_left_alone(tmp_path):
    images, noise = lens_images(20, size=SIZE), np.ones((20, SIZE, SIZE), np.float32)
    noise[0, 3, 3] = np.nan
    np.save(tmp_path / "a.npy", images)
    np.save(tmp_path / "a_noise.npy", noise)
    source = open_set(tmp_path)
    np.testing.assert_array_equal(source.read([0]), images[None, :1])
    assert source.notes == ("named like noise maps, left alone: 1; a_noise.npy first",)


def test_a_band_without_data_quality_beside_one_with_it(tmp_path):
    hdus = [fits.PrimaryHDU()]
    for band, image in zip(("VIS", "DES_G"), lens_images(2, size=SIZE), strict=True):
        hdus.append(fits.ImageHDU(image, name=f"{band}_FLUX"))
    hdus.append(fits.ImageHDU(quality(1, 1), name="VIS_DQ"))
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    source = open_set(tmp_path / "a.fits", bands="g,vis")
    assert source.read_masked([0]).sum(axis=(2, 3)).tolist() == [[0, 4]]
