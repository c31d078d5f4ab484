"""Units as files spell them, and zero points that are brought to one."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.formats.fits_header import _flux_unit_of
from gravlensdiffusion.formats.open import open_set
from tests.sets.files import lens_images

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
