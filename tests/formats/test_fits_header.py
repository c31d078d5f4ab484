"""Headers of FITS files: units, coordinates, parameters and seeds as written, and units and zero points as others spell them."""

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

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.formats.fits_header import _flux_unit_of
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


SPELLINGS = {
    "e-/s": "e-/s e/s electron/s electrons/s ELECTRONS/S e-/sec electrons/second electron*s-1",
    "e-": "e- electron ELECTRONS",
    "count/s": "count/s counts/s ct/s cps COUNTS/SEC",
    "adu": "adu ADU",
    "DN/s": "DN/s dn/s",
}
OTHERS = "Jy nJy MJy/sr nanomaggy electron**2 1/e- e-/s/arcsec2 erg/s/cm2 e**e**9 ((( ELECTRON_SEC"


@pytest.mark.parametrize("unit", SPELLINGS)
def test_what_a_detector_counts_has_one_spelling(unit: str) -> None:
    assert {_flux_unit_of(text, None) for text in SPELLINGS[unit].split()} == {unit}
    assert _flux_unit_of(unit, None) == unit


def test_other_units_are_left_as_they_are() -> None:
    for text in (*OTHERS.split(), "", "Electrons per second", "e-/s" * 1000):
        assert _flux_unit_of(text, None) == text


def save(folder: Path, **cards: tuple[object, ...]) -> None:
    """Write images with a value of each card, and none where it is None."""
    rows = zip(*cards.values(), strict=True)
    for k, (image, row) in enumerate(zip(lens_images(9), rows, strict=False)):
        stated = dict(zip(cards, row, strict=True))
        header = fits.Header({name: each for name, each in stated.items() if each is not None})
        fits.writeto(folder / f"{k}.fits", image, header)


@pytest.mark.parametrize(
    ("stated", "unit"),
    [((None, None, None), "1 at 24.6 mag"), (("electron/s", "e-/s", "ELECTRONS/S"), "e-/s")],
)
def test_fluxes_are_brought_to_the_zero_point_of_most(
    tmp_path: Path, stated: tuple[str | None, ...], unit: str
) -> None:
    save(tmp_path, MAGZERO=(24.6, 24.6, 27.1), BUNIT=stated)
    source = open_set(tmp_path)
    assert source.header.flux_unit == unit
    assert source.parameters["zero_point"].tolist() == [24.6] * 3
    images = lens_images(3)
    np.testing.assert_array_equal(source.read([0, 1])[:, 0], images[:2])
    # 2.5 mag are a factor of 10.
    np.testing.assert_allclose(source.read([2])[0, 0], images[2] / 10, rtol=1e-6)
    assert source.notes == (
        "zero points differ: fluxes of 1 of 3 images are brought to 24.6 mag, that of most; 2.fits first",
    )


def test_fluxes_in_physical_units_need_no_zero_point(tmp_path: Path) -> None:
    save(tmp_path, MAGZERO=(24.6, 27.1), BUNIT=("nJy", "nJy"))
    source = open_set(tmp_path)
    np.testing.assert_array_equal(source.read(slice(None))[:, 0], lens_images(2))
    assert source.notes == ()


def test_what_states_no_zero_point_cannot_be_brought_to_one(tmp_path: Path) -> None:
    save(tmp_path, MAGZERO=(24.6, 24.6, None), PIXSCALE=(0.1, 0.1, None))
    with pytest.raises(GravLensError, match="flux unit 'unknown' where most have flux unit '1 at"):
        open_set(tmp_path)
    source = open_set(tmp_path, mixed=True)
    assert len(source) == 3
    assert source.header.flux_unit == "unknown"
    assert source.header.pixel_scale_arcsec == 0.1
    assert source.notes == (
        "pixel scale: 2 images state it, 1 do not",
        "images differ in flux unit, so that of the set is not known: 2 of '1 at 24.6 mag', 1 of 'unknown'",
    )


def test_true_is_no_number(tmp_path: Path) -> None:
    save(tmp_path, MAGZERO=(True,), PIXSCALE=(True,), CLASS=("b",), LABEL=(True,))
    source = open_set(tmp_path)
    assert (source.header.pixel_scale_arcsec, source.header.flux_unit) == (None, "unknown")
    assert "zero_point" not in source.parameters


def test_images_of_many_sizes_are_shown_by_their_middle(tmp_path: Path) -> None:
    sizes = (20, 13, 16, 16)
    images = [lens_images(1, size=size, seed=size)[0] for size in sizes]
    for k, image in enumerate(images):
        fits.writeto(tmp_path / f"{k}.fits", image)
    source = open_set(tmp_path, mixed=True)
    assert source.image_shape == (1, 13, 13)
    np.testing.assert_array_equal(source.read([0])[0, 0], images[0][3:16, 3:16])
    assert source.notes == (
        "images of 13 x 13 to 20 x 20 pixels: the middle 13 x 13 of each is taken; `crop` takes another",
    )
    (tmp_path / "0.fits").unlink()
    # Most have one size now.
    assert len(open_set(tmp_path, mixed=True)) == 2
