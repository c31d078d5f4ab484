"""Pixel scale, flux unit and the right HDU of FITS files, plain or packed: ``.fits.gz`` and ``.fits.fz``."""

import gzip
import math
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from gravlensdiffusion.errors import BadImageError, GravLensError
from gravlensdiffusion.formats.fits_header import _pixel_scale
from gravlensdiffusion.formats.open import open_set
from tests.sets.files import lens_images

pytestmark = pytest.mark.usefixtures("in_this_process")

STEP = 0.05 / 3600
TAN = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"}
COS, SIN = math.cos(0.4), math.sin(0.4)

SCALES: dict[str, tuple[dict[str, object], float | None]] = {
    "nothing": ({}, None),
    "CDELT": (TAN | {"CDELT1": -STEP, "CDELT2": STEP}, 0.05),
    "CDELT in arcsec": (
        {"CUNIT1": "arcsec", "CUNIT2": "arcsec", "CDELT1": 0.05, "CDELT2": 0.05},
        0.05,
    ),
    "CDELT without names": ({"CDELT1": -STEP, "CDELT2": STEP}, 0.05),
    "CDELT of pixels": ({"CDELT1": 1.0, "CDELT2": 1.0}, None),
    "CDELT of wavelengths": (
        {"CUNIT1": "nm", "CUNIT2": "nm", "CDELT1": STEP, "CDELT2": STEP},
        None,
    ),
    "CDELT turned": (TAN | {"CDELT1": -STEP, "CDELT2": STEP, "CROTA2": 30.0}, 0.05),
    "CD": (TAN | {"CD1_1": -STEP, "CD2_2": STEP}, 0.05),
    "CD turned": (
        TAN | {"CD1_1": -STEP * COS, "CD1_2": STEP * SIN, "CD2_1": STEP * SIN, "CD2_2": STEP * COS},
        0.05,
    ),
    "CD beside CDELT of 1": (
        TAN | {"CD1_1": -STEP, "CD2_2": STEP, "PC1_1": -STEP, "PC2_2": STEP, "CDELT1": 1.0},
        0.05,
    ),
    "PC": (
        TAN
        | {"CDELT1": STEP, "CDELT2": STEP}
        | {"PC1_1": COS, "PC1_2": -SIN, "PC2_1": SIN, "PC2_2": COS},
        0.05,
    ),
    "PC holds the scale": (
        TAN | {"CDELT1": 1.0, "CDELT2": 1.0, "PC1_1": -STEP, "PC2_2": STEP},
        0.05,
    ),
    "plain card": ({"PIXSCALE": 0.1}, 0.1),
    "plain card of 0": ({"PIXSCALE": 0.0}, None),
    "coordinates before plain card": (TAN | {"CD1_1": -STEP, "CD2_2": STEP, "PIXSCALE": 9.0}, 0.05),
}


@pytest.mark.parametrize("kind", SCALES)
def test_pixel_scale(kind: str) -> None:
    cards, scale = SCALES[kind]
    assert _pixel_scale(fits.Header(cards)) == (None if scale is None else pytest.approx(scale))


@pytest.mark.parametrize(
    ("cards", "message"),
    [
        (TAN | {"CDELT1": STEP, "CDELT2": 2 * STEP}, "0.05 x 0.1 arcsec, not square"),
        (TAN | {"CD1_1": STEP, "CD2_1": STEP}, "not a scale"),
        (TAN | {"CDELT1": "small", "CDELT2": STEP}, "CDELT1 is not a number"),
    ],
)
def test_a_scale_that_makes_no_sense(cards: dict[str, object], message: str) -> None:
    with pytest.raises(BadImageError, match=message):
        _pixel_scale(fits.Header(cards))


def write(path: Path, *images: np.ndarray | None, compress: bool = False) -> fits.HDUList:
    extension = fits.CompImageHDU if compress else fits.ImageHDU
    hdus = fits.HDUList([fits.PrimaryHDU(images[0]), *(extension(i) for i in images[1:])])
    return hdus


@pytest.mark.parametrize("compress", [False, True])
def test_the_image_extension_where_the_primary_has_none(tmp_path: Path, compress: bool) -> None:
    (first,) = lens_images(1, size=16)
    hdus = write(tmp_path, None, first, compress=compress)
    hdus[0].header["BUNIT"] = "electron/s"
    hdus[0].header["PIXSCALE"] = 0.2
    hdus[1].header["BUNIT"] = "nJy"
    hdus.writeto(tmp_path / "a.fits")
    source = open_set(tmp_path / "a.fits")
    # Compression of floats loses a little.
    np.testing.assert_allclose(source.read([0])[0, 0], first, atol=0.05)
    assert source.header.flux_unit == "nJy"
    assert source.header.pixel_scale_arcsec == 0.2


def test_scaled_integers(tmp_path: Path) -> None:
    hdu = fits.PrimaryHDU(np.arange(64, dtype=np.int16).reshape(8, 8))
    hdu.header["BSCALE"], hdu.header["BZERO"] = 0.5, 100.0
    hdu.writeto(tmp_path / "a.fits")
    with fits.open(tmp_path / "a.fits", do_not_scale_image_data=True) as hdus:
        hdus[0].header["BSCALE"], hdus[0].header["BZERO"] = 0.5, 100.0
        hdus.writeto(tmp_path / "b.fits")
    image = open_set(tmp_path / "b.fits").read([0])[0, 0]
    np.testing.assert_array_equal(image, 100 + 0.5 * np.arange(64).reshape(8, 8))


@pytest.mark.parametrize("suffix", [".fits", ".FITS", ".fit", ".fts"])
def test_suffixes(tmp_path: Path, suffix: str) -> None:
    fits.writeto(tmp_path / f"a{suffix}", lens_images(1))
    assert open_set(tmp_path).image_shape == (1, 8, 8)


def test_declared_sizes_are_checked_before_anything_is_read(tmp_path: Path) -> None:
    header = fits.Header(
        {"SIMPLE": True, "BITPIX": -64, "NAXIS": 2, "NAXIS1": 10**6, "NAXIS2": 10**6}
    )
    (tmp_path / "a.fits").write_bytes(header.tostring().encode())
    with pytest.raises(GravLensError, match="1000000 x 1000000 pixels, more than the limit"):
        open_set(tmp_path / "a.fits")


def test_cut_outs_whose_scales_differ_in_the_last_digits_are_one_set(tmp_path: Path) -> None:
    for k, image in enumerate(lens_images(3)):
        fits.writeto(tmp_path / f"{k}.fits", image, fits.Header({"PIXSCALE": 0.1 + k * 1e-6}))
    assert len(open_set(tmp_path)) == 3


@pytest.mark.parametrize(
    ("cards", "unit", "zero_point"),
    [
        ({}, "unknown", None),
        ({"BUNIT": "electron/s"}, "e-/s", None),
        ({"BUNIT": "nJy", "MAGZERO": 31.4}, "nJy", 31.4),
        ({"ZP_STACK": 30.132}, "1 at 30.132 mag", 30.132),
        ({"MAGZERO": 24.6, "BUNIT": "electron/s"}, "e-/s", 24.6),
        ({"MAGZERO": "bright"}, "unknown", None),
        ({"MAGZERO": 0.0}, "unknown", None),
        ({"MAGZERO": 1e9}, "unknown", None),
    ],
)
def test_flux_unit_and_zero_point(
    tmp_path: Path, cards: dict[str, object], unit: str, zero_point: float | None
) -> None:
    fits.writeto(tmp_path / "a.fits", lens_images(1)[0], fits.Header(cards))
    source = open_set(tmp_path / "a.fits")
    assert source.header.flux_unit == unit
    if zero_point is None:
        assert "zero_point" not in source.parameters
    else:
        assert source.parameters["zero_point"].tolist() == [zero_point]
        assert source.header.parameter_units["zero_point"] == "mag"


def save_packed(path: Path, seed: int, size: int = 16) -> None:
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
        save_packed(tmp_path / f"lens{k}_sci{suffix}", seed=k)
        save_packed(tmp_path / f"lens{k}_psf{suffix}", seed=k, size=7)
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
    save_packed(tmp_path / "lens_g.fits", seed=0)
    save_packed(tmp_path / "lens_g_model.fits.gz", seed=1)
    assert len(open_set(tmp_path)) == 1


def test_what_a_file_may_unpack_to_is_bounded(tmp_path: Path) -> None:
    start = fits.PrimaryHDU(np.zeros((8, 8))).header.tostring().encode()
    with gzip.open(tmp_path / "a.fits.gz", "wb", compresslevel=1) as file:
        file.write(start + bytes(2**27))
    with pytest.raises(GravLensError, match="unpacks to more than the limit of"):
        open_set(tmp_path / "a.fits.gz")


@pytest.mark.parametrize("num", [10, 500])
def test_damaged_files_are_named(tmp_path: Path, num: int) -> None:
    save_packed(tmp_path / "a.fits.gz", seed=0)
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
