"""GalSim's catalogues of real galaxies: tables that name the images of other files."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.formats.open import open_set
from tests.sets.files import lens_images

NAME = "real_galaxy_catalog_26"
SIZES = (12, 9, 15)
ORDER = (2, 0, 1)
"""HDU of each row."""


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try no file out in a child process, whose start takes its time."""
    for name in ("probe_file", "refuse_bad"):
        monkeypatch.setattr(f"gravlensdiffusion.formats.fits_catalogue.{name}", lambda *_: None)


def galaxies() -> list[NDArray[np.float32]]:
    return [lens_images(1, size=size, seed=size)[0] for size in SIZES]


def save_images(path: Path, images: list[NDArray[np.float32]]) -> None:
    first, *others = images
    fits.HDUList([fits.PrimaryHDU(first), *map(fits.ImageHDU, others)]).writeto(path)


def save_catalogue(folder: Path, **changes: Sequence[object]) -> Path:
    """Write a catalogue as it lies in GalSim: images, PSFs, noise, and fits to the galaxies."""
    num = len(SIZES)
    columns: dict[str, Sequence[object]] = {
        "IDENT": list(range(num)),
        "MAG": [21.0, 22.0, 23.0],
        "GAL_FILENAME": ["images.fits"] * num,
        "PSF_FILENAME": ["blurs.fits"] * num,
        "GAL_HDU": list(ORDER),
        "PSF_HDU": list(ORDER),
        "PIXEL_SCALE": [0.03] * num,
        "NOISE_VARIANCE": [1e-5] * num,
        "NOISE_FILENAME": ["acs_cf.fits"] * num,
    }
    columns.update(changes)
    folder.mkdir(exist_ok=True)
    table = {name: np.array(values) for name, values in columns.items()}
    units = [fits.Column(name, _format(values), array=values) for name, values in table.items()]
    fits.BinTableHDU.from_columns(units).writeto(folder / f"{NAME}.fits")
    fits.BinTableHDU.from_columns(units[:1]).writeto(folder / f"{NAME}_fits.fits")
    save_images(folder / "images.fits", galaxies())
    save_images(folder / "blurs.fits", [image[:7, :7] for image in galaxies()])
    save_images(folder / "acs_cf.fits", galaxies()[:1])
    return folder


def _format(values: NDArray[np.generic]) -> str:
    return {"i": "J", "f": "D"}.get(values.dtype.kind, "64A")


def test_each_galaxy_once_in_the_order_of_the_catalogue(tmp_path: Path) -> None:
    source = open_set(save_catalogue(tmp_path / "cosmos"), mixed=True)
    assert source.image_shape == (1, 9, 9)
    for k, hdu in enumerate(ORDER):
        image, edge = galaxies()[hdu], (SIZES[hdu] - 9) // 2
        shown = image[edge : edge + 9, edge : edge + 9]
        np.testing.assert_array_equal(source.read([k])[0, 0], shown)
    assert source.header.pixel_scale_arcsec == 0.03
    assert source.parameters["mag"].tolist() == [21, 22, 23]
    assert source.header.parameter_units == {"mag": "mag", "noise_variance": ""}
    assert source.notes[:4] == (
        f"named like catalogues, left alone: 1; {NAME}_fits.fits first",
        "named like PSFs, left alone: 1; blurs.fits first",
        "named like noise maps, left alone: 1; acs_cf.fits first",
        (
            "of catalogues images in images.fits taken, PSFs in blurs.fits left, noise maps in "
            f"acs_cf.fits left: 3 images, {NAME}.fits first"
        ),
    )


def test_a_catalogue_named_by_itself(tmp_path: Path) -> None:
    path = save_catalogue(tmp_path / "cosmos") / f"{NAME}.fits"
    source = open_set(path, crop=8)
    assert [source.name(k) for k in range(3)] == [f"{path}[{k}]" for k in range(3)]


def cut(folder: Path) -> None:
    path = folder / "images.fits"
    path.write_bytes(path.read_bytes()[:-2880])


@pytest.mark.parametrize(
    ("columns", "change", "message"),
    [
        ({"GAL_HDU": [0, 1, 3]}, None, "names HDU 3 of images.fits, which has none"),
        ({"GAL_HDU": [0, 1, -1]}, None, "names HDU -1 of images.fits"),
        ({"GAL_FILENAME": ["../images.fits"] * 3}, None, "does not lie beside it"),
        ({"PSF_FILENAME": ["/etc/passwd"] * 3}, None, "does not lie beside it"),
        ({"GAL_FILENAME": [".."] * 3}, None, "does not lie beside it"),
        ({"GAL_FILENAME": ["gone.fits"] * 3}, None, "names gone.fits, which does not lie beside"),
        ({}, cut, "cannot be read|no readable"),
    ],
)
def test_a_catalogue_that_cannot_be_used(
    tmp_path: Path,
    columns: dict[str, Sequence[object]],
    change: Callable[[Path], None] | None,
    message: str,
) -> None:
    folder = save_catalogue(tmp_path / "cosmos", **columns)
    if change is not None:
        change(folder)
    with pytest.raises(GravLensError, match=message):
        open_set(folder / f"{NAME}.fits", mixed=True)


def test_a_bad_catalogue_is_one_bad_file_of_its_folder(tmp_path: Path) -> None:
    folder = save_catalogue(tmp_path / "cosmos", GAL_FILENAME=["../images.fits"] * 3)
    (folder / "images.fits").unlink()
    fits.writeto(folder / "lens.fits", galaxies()[0])
    source = open_set(folder, mixed=True, skip_bad=True, hdu="0")
    assert f"{folder / NAME}.fits: names a file that does not lie beside it" in source.problems
    assert str(folder / "lens.fits") in [source.name(k) for k in range(len(source))]


def test_links_that_leave_the_folder_are_not_followed(tmp_path: Path) -> None:
    folder = save_catalogue(tmp_path / "cosmos")
    (folder / "images.fits").rename(tmp_path / "images.fits")
    (folder / "images.fits").symlink_to(tmp_path / "images.fits")
    with pytest.raises(GravLensError, match="does not lie beside it"):
        open_set(folder / f"{NAME}.fits", crop=8)
