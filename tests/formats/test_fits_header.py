"""What the headers of written FITS files say: units, coordinates, parameters and seeds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales

from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.formats.writers import write_images
from gravlensdiffusion.sets.records import LensRecord
from tests.formats.writing import write
from tests.sets.files import HEADER, lens_images


def test_fits_headers(tmp_path: Path) -> None:
    write(tmp_path, replace(HEADER, flux_unit="µJy", software="x" * 100), num=3)
    header = fits.getheader(tmp_path / "fits" / "00002.fits")
    assert header["PIXSCALE"] == 0.05
    assert header["BUNIT"] == "uJy"
    assert header["FLUXUNIT"] == "%C2%B5Jy"
    assert header["PERCENT"] == "FLUXUNIT"
    assert header["CLASS"] == "axion"
    assert header["LABEL"] == 2
    assert header["SEED"] == 3
    assert header["IMAGEIDX"] == 2
    assert header["MODEL"] == "lens28"
    assert header["PRESET"] == "deeplense"
    assert header["SOFTWARE"] == "x" * 100
    assert header["PAR theta_E"] == 1.2
    assert header.comments["PAR theta_E"] == "[arcsec]"
    assert header["PAR axion_mass"] == 1e-23
    assert "PAR axion_mass" not in fits.getheader(tmp_path / "fits" / "00001.fits")


def test_fits_coordinates_are_those_of_a_cutout_of_the_sky(folder: Path) -> None:
    header = fits.getheader(folder / "fits" / "00000.fits")
    sky, offset = WCS(header), WCS(header, key="A")
    assert sky.is_celestial
    np.testing.assert_allclose(proj_plane_pixel_scales(sky) * 3600, 0.05)
    # 8 pixels a side: the middle lies between pixels 3 and 4, counted from 0.
    middle, north, east = (sky.pixel_to_world(*at) for at in ((3.5, 3.5), (3.5, 6.5), (1.5, 3.5)))
    assert middle.separation(SkyCoord(0, 0, unit="deg")).arcsec < 1e-9
    assert middle.position_angle(north).deg == pytest.approx(0, abs=1e-6)
    assert middle.position_angle(east).deg == pytest.approx(90, abs=1e-6)
    assert middle.separation(north).arcsec == pytest.approx(0.15)
    # x and y of docs/conventions.md.
    assert [str(unit) for unit in offset.wcs.cunit] == ["arcsec", "arcsec"]
    np.testing.assert_allclose(offset.pixel_to_world_values(6, 1), (2.5 * 0.05, -2.5 * 0.05))


@pytest.mark.parametrize(
    ("flux_unit", "stated"),
    [
        ("e-/s", units.electron / units.s),
        ("count", units.ct),
        ("MJy/sr", units.MJy / units.sr),
        ("peak", units.dimensionless_unscaled),
        ("full scale", units.dimensionless_unscaled),
        ("1 at 24.5 mag", None),
        ("été", None),
        ("unknown", None),
    ],
)
def test_units_are_those_of_fits_and_come_back(
    tmp_path: Path, flux_unit: str, stated: units.UnitBase | None
) -> None:
    write(tmp_path, replace(HEADER, flux_unit=flux_unit), formats=("fits",))
    header = fits.getheader(tmp_path / "fits" / "00000.fits")
    if stated is None:
        assert "BUNIT" not in header
    else:
        assert units.Unit(header["BUNIT"]) == stated
        assert CCDData.read(tmp_path / "fits" / "00000.fits").unit == stated
    assert open_set(tmp_path / "fits").header.flux_unit == flux_unit


def test_parameters_of_any_name_make_no_bad_header(tmp_path: Path) -> None:
    names = ("E" * 31, "E" * 32, "été", "a b", "NAXIS", "a=b", "'")
    record = LensRecord(image=lens_images(1), parameters=dict.fromkeys(names, 1e-300 / 3))
    header_units = dict.fromkeys(names, "'/ é" * 9) | {"E" * 31: "km/s", "NAXIS": "s" * 31}
    write_images(tmp_path, [record], replace(HEADER, parameter_units=header_units), ("fits",))
    with fits.open(tmp_path / "fits" / "00000.fits") as hdus:
        hdus.verify("exception")
        assert hdus[0].header["NAXIS"] == 2
        cards = {name: value for name, value in hdus[0].header.items() if name.startswith("PAR ")}
    value = pytest.approx(1e-300 / 3, rel=1e-13)
    assert cards == {f"PAR {'E' * 31}": value, "PAR NAXIS": value}


def test_colours_have_the_coordinates_of_their_pixels(tmp_path: Path) -> None:
    record = LensRecord(image=np.stack([*lens_images(3)]))
    write_images(tmp_path, [record], HEADER, ("fits",))
    header = fits.getheader(tmp_path / "fits" / "00000.fits")
    assert header["NAXIS"] == 3
    assert WCS(header).celestial.pixel_n_dim == 2
    assert open_set(tmp_path / "fits").image_shape == (3, 8, 8)


def test_the_seed_of_an_image_goes_before_that_of_the_set(tmp_path: Path) -> None:
    record = LensRecord(image=lens_images(1), parameters={"seed": 77.0})
    write_images(tmp_path, [record], HEADER, ("fits",), model="m")
    header = fits.getheader(tmp_path / "fits" / "00000.fits")
    assert header["SEED"] == 77
    assert header["LABEL"] == -1
    assert "CLASS" not in header
