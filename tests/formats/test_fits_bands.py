"""Bands of FITS files as the channels of one image."""

import re
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from gravlensdiffusion.cli.main import main
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.formats.open import open_set
from tests.sets.files import lens_images

pytestmark = pytest.mark.usefixtures("in_this_process")

BANDS = {"DES_G": 30.0, "DES_R": 30.0, "VIS": 27.5}


def save(path: Path, *, size: int = 16, zero_points: bool = True, **cards: object) -> Path:
    """Write a lens as Euclid's cubes are: an image, a PSF and a noise map of each band.

    Args:
        path: The file.
        size: Height and width of the band VIS [pixel].
        zero_points: Whether bands state them.
        cards: Other cards of the band VIS.
    """
    hdus: list[fits.PrimaryHDU | fits.ImageHDU] = [fits.PrimaryHDU()]
    for k, (name, zero_point) in enumerate(BANDS.items()):
        side, own = (size, cards) if name == "VIS" else (16, {})
        (image,) = lens_images(1, size=side, seed=k)
        header = fits.Header({"MAGZERO": zero_point} if zero_points else {})
        header.update({"PIXSCALE": 0.1} | own)
        hdus.append(fits.ImageHDU(image, header, name=f"{name}_FLUX"))
        hdus.append(fits.ImageHDU(image[:7, :7], name=f"{name}_PSF"))
        hdus.append(fits.ImageHDU(np.abs(image) + 1, name=f"{name}_RMS"))
    fits.HDUList(hdus).writeto(path)
    return path


def test_extensions_become_channels_in_the_order_asked_for(tmp_path: Path) -> None:
    source = open_set(save(tmp_path / "a.fits", zero_points=False), bands=("vis", "g", "des_r"))
    assert source.image_shape == (3, 16, 16)
    assert source.header.pixel_scale_arcsec == 0.1
    for channel, seed in zip(source.read([0])[0], (2, 0, 1), strict=True):
        np.testing.assert_array_equal(channel, lens_images(1, size=16, seed=seed)[0])
    (note,) = source.notes
    assert note == (
        "of FITS files HDU VIS_FLUX, DES_G_FLUX, DES_R_FLUX taken with the noise in VIS_RMS, DES_G_RMS, "
        "DES_R_RMS, DES_G_PSF, DES_R_PSF, VIS_PSF left: 1 image, a.fits first"
    )


def test_bands_of_other_zero_points_are_brought_to_that_of_most(tmp_path: Path) -> None:
    source = open_set(save(tmp_path / "a.fits"), bands="g,r,vis")
    assert source.header.flux_unit == "1 at 30 mag"
    # 2.5 mag are a factor of 10.
    for k, factor in enumerate((1, 1, 10)):
        wanted = factor * lens_images(1, size=16, seed=k)[0]
        np.testing.assert_allclose(source.read([0])[0, k], wanted, rtol=1e-6)
    assert "fluxes brought to 30 mag" in source.notes[0]


def test_the_planes_of_a_cube(tmp_path: Path) -> None:
    cube = lens_images(3, size=16)
    fits.writeto(tmp_path / "a.fits", cube)
    np.testing.assert_array_equal(open_set(tmp_path, bands="g,r,i").read([0])[0], cube)
    with pytest.raises(GravLensError, match="has no image of band 'g'; there are none"):
        open_set(tmp_path, bands="g,r")


@pytest.mark.parametrize(
    ("how", "bands", "message"),
    [
        ({}, "g,z", "has no image of band 'z'; there are des_g, des_r, vis"),
        ({"size": 12}, "g,vis", "has bands of different sizes: 16 x 16, 12 x 12"),
        ({"BUNIT": "nJy"}, "g,vis", "has bands of different flux units: 1 at 30 mag, nJy"),
        (
            {"PIXSCALE": 0.2},
            "g,vis",
            r"has bands of different pixel scales: 0\.1 arcsec, 0\.2 arcsec",
        ),
    ],
)
def test_bands_that_are_no_image(
    tmp_path: Path, how: dict[str, object], bands: str, message: str
) -> None:
    path = save(tmp_path / "a.fits", **how)  # type: ignore[arg-type]
    with pytest.raises(GravLensError, match=message):
        open_set(path, bands=bands)


def test_bands_stand_alone(tmp_path: Path) -> None:
    path = save(tmp_path / "a.fits")
    for other in ({"band": "g"}, {"hdu": "1"}):
        with pytest.raises(GravLensError, match="leave out `band` and `hdu`"):
            open_set(path, bands="g,r", **other)  # type: ignore[arg-type]


@pytest.mark.parametrize(("flag", "shape"), [("--bands", "3 x 16"), ("--band", "3 x 16")])
def test_the_command_takes_several_bands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str, shape: str
) -> None:
    path = save(tmp_path / "a.fits")
    out = tmp_path / "a.png"
    assert main(["inspect", str(path), flag, "vis, g,r", "--out", str(out)]) == 0
    assert re.search(rf"^shape +{shape} x 16", capsys.readouterr().out, re.MULTILINE)
