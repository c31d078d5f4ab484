"""The image of the lens among the images of a FITS file."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from gravlensdiffusion.errors import (
    AmbiguousImageError,
    BadFilesError,
    BadImageError,
    GravLensError,
)
from gravlensdiffusion.formats.fits import FitsReader
from gravlensdiffusion.formats.fits_extensions import Choice
from gravlensdiffusion.formats.image import looks_like
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.untrusted.probe import release
from tests.sets.files import lens_images

pytestmark = pytest.mark.usefixtures("in_this_process")

SIZE = 21
RANDOM = np.random.default_rng(0)
Y, X = np.indices((SIZE, SIZE)) - SIZE // 2
BLOB = np.exp(-(X**2 + Y**2) / 8)
LENS = (5 * BLOB + RANDOM.normal(0, 0.1, BLOB.shape)).astype(np.float32)
PSF = (BLOB / BLOB.sum()).astype(np.float32)
NOISE = (0.1 + 0.02 * BLOB).astype(np.float32)
FLAGS = np.where(RANDOM.random(BLOB.shape) < 0.1, 4096, 0).astype(np.int32)
MASK = (X > 3).astype(np.uint8)
CONTENTS = {"PSF": PSF, "map": NOISE, "mask": FLAGS, "": LENS}


def save(path: Path, *images: tuple[str | None, NDArray[np.generic]], packed: bool = False) -> Path:
    """Write images into extensions; one of the name None goes into the primary HDU."""
    is_first = images[0][0] is None
    hdus = [fits.PrimaryHDU(images[0][1] if is_first else None)]
    for name, image in images[is_first:]:
        kind = fits.CompImageHDU if packed else fits.ImageHDU
        hdus.append(kind(image, name=name or None))
    fits.HDUList(hdus).writeto(path)
    return path


def is_lens(image: NDArray[np.float32]) -> bool:
    # Packing loses a little.
    return bool(np.abs(image - LENS).max() < 0.1)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("others", ["DQ WHT ERR", "MASK VARIANCE", "PSF RMS", "MSK WGT", "CON CTX"])
@pytest.mark.parametrize("name", ["SCI", "IMAGE", "VIS_FLUX", "COADD_DATA", "LENS_17"])
def test_companions_before_and_behind_the_image_are_left(
    tmp_path: Path, name: str, others: str, packed: bool
) -> None:
    shown = NOISE + 10 * np.abs(LENS) + 1
    beside = [(other, 0 * FLAGS if other == "DQ" else shown) for other in others.split()]
    path = save(tmp_path / "a.fits", beside[0], (name, LENS), *beside[1:], packed=packed)
    source = open_set(path)
    assert is_lens(source.read([0])[0, 0])
    says = {"DQ": "data quality", "WHT": "weight", "WGT": "weight", "ERR": "noise", "RMS": "noise"}
    maps = [f"the {says[other]} in {other}" for other in others.split() if other in says]
    beside_it = f" with {' and '.join(maps)}" if maps else ""
    left = ", ".join(other for other in others.split() if other not in says)
    told = f"of FITS files HDU {name} taken{beside_it}" + (f", {left} left" if left else "")
    assert source.notes[0] == f"{told}: 1 image, a.fits first"
    assert ("background_rms" in source.parameters) == any("noise" in each for each in maps)


@pytest.mark.parametrize(
    ("card", "value"),
    [
        ("IMAGETYP", "MASK"),
        ("IMAGETYP", "dark"),
        ("HDUCLAS2", "ERROR"),
        ("EXTTYPE", "weight map"),
        ("BUNIT", "(electron/s)**2"),
        ("BUNIT", "1/nanomaggy^2"),
    ],
)
def test_headers_tell_companions(tmp_path: Path, card: str, value: str) -> None:
    other = fits.ImageHDU(LENS[::-1], header=fits.Header({card: value}))
    fits.HDUList([fits.PrimaryHDU(), other, fits.ImageHDU(LENS)]).writeto(tmp_path / "a.fits")
    assert is_lens(open_set(tmp_path / "a.fits").read([0])[0, 0])
    other.writeto(tmp_path / "b.fits")
    with pytest.raises(GravLensError, match=r"holds only 1 \(.*\); `hdu` chooses one all the same"):
        open_set(tmp_path / "b.fits")
    assert len(open_set(tmp_path / "b.fits", hdu="1")) == 1


@pytest.mark.parametrize("kind", ["PSF", "map", "mask"])
@pytest.mark.parametrize("is_primary", [False, True])
def test_pixels_decide_where_names_do_not(tmp_path: Path, kind: str, is_primary: bool) -> None:
    first = None if is_primary else ""
    assert is_lens(
        open_set(save(tmp_path / "a.fits", (first, LENS), ("", CONTENTS[kind]))).read([0])[0, 0]
    )
    assert is_lens(
        open_set(save(tmp_path / "b.fits", (first, CONTENTS[kind]), ("", LENS))).read([0])[0, 0]
    )


@pytest.mark.parametrize("kind", CONTENTS)
def test_what_pixels_look_like(kind: str) -> None:
    assert looks_like(CONTENTS[kind]) == kind
    holes = CONTENTS[kind].astype(np.float64)
    holes[2, 3] = np.nan
    assert looks_like(holes) == kind
    assert looks_like(LENS - LENS.min()) == ""
    assert looks_like(np.round(LENS * 30)) == ""


@pytest.mark.parametrize(
    "names", [("G", "R", "I"), ("SCI", "SCI"), (None, ""), ("", ""), ("HSC_G_FLUX", "VIS_FLUX")]
)
def test_where_in_doubt_the_user_is_asked(tmp_path: Path, names: tuple[str | None, ...]) -> None:
    images = [LENS * (k + 1) for k in range(len(names))]
    path = save(tmp_path / "a.fits", *zip(names, images, strict=True))
    for k in (2, 3):
        np.save(tmp_path / f"{k}.npy", LENS)
    with pytest.raises(GravLensError, match=f"holds {len(names)} images; choose one with `hdu`: "):
        open_set(path)
    # It is the same for all files, so it is said once.
    with pytest.raises(GravLensError, match=r"a\.fits: holds") as caught:
        open_set(tmp_path)
    assert not isinstance(caught.value, BadFilesError)
    assert len(open_set(tmp_path, skip_bad=True)) == 2
    first = 0 if names[0] is None else 1
    for k, image in enumerate(images):
        np.testing.assert_array_equal(open_set(path, hdu=str(k + first)).read([0])[0, 0], image)


def test_extensions_by_name_version_and_band(tmp_path: Path) -> None:
    images = {"HSC_G_FLUX": LENS, "VIS_FLUX": 2 * LENS, "VIS_RMS": NOISE}
    path = save(tmp_path / "a.fits", *images.items())
    for asked, name in (
        ("vis_flux", "VIS_FLUX"),
        ("VIS_RMS", "VIS_RMS"),
        (" hsc_g_flux,1", "HSC_G_FLUX"),
    ):
        np.testing.assert_array_equal(open_set(path, hdu=asked).read([0])[0, 0], images[name])
    for asked, name in (("vis", "VIS_FLUX"), ("g", "HSC_G_FLUX"), ("HSC-G", "HSC_G_FLUX")):
        np.testing.assert_array_equal(open_set(path, band=asked).read([0])[0, 0], images[name])
    with pytest.raises(GravLensError, match="no image in HDU 'SCI'; there are HSC_G_FLUX, VIS_FL"):
        open_set(path, hdu="SCI")
    with pytest.raises(GravLensError, match="no image of band 'r'; there are hsc_g, vis"):
        open_set(path, band="r")
    chips = [fits.ImageHDU(LENS * k, name="SCI", ver=k) for k in (1, 2)]
    fits.HDUList([fits.PrimaryHDU(), *chips]).writeto(tmp_path / "b.fits")
    np.testing.assert_array_equal(
        open_set(tmp_path / "b.fits", hdu="sci, 2").read([0])[0, 0], 2 * LENS
    )


def test_a_mask_among_images_is_refused(tmp_path: Path) -> None:
    for k, image in enumerate(lens_images(3)):
        np.save(tmp_path / f"{k}.npy", image)
    np.save(tmp_path / "a.npy", MASK[:8, 8:16])
    with pytest.raises(GravLensError, match=r"a\.npy: looks like a mask: it has two values"):
        open_set(tmp_path)
    assert len(open_set(tmp_path, skip_bad=True)) == 3
    assert "two values" in open_set(tmp_path / "a.npy").notes[0]


def test_many_images_are_not_looked_at_one_by_one(tmp_path: Path) -> None:
    path = save(tmp_path / "a.fits", *[("", PSF)] * 19, ("", LENS))
    with pytest.raises(GravLensError, match=r"holds 20 images; choose .*, 12 and 8 more"):
        open_set(path)


def test_the_child_process_makes_the_same_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    path = save(tmp_path / "a.fits", ("G", LENS), ("R", 2 * LENS))
    # What is wrong is remembered for one choice only.
    reader = FitsReader(Choice())
    with pytest.raises(AmbiguousImageError):
        reader.read(path)
    with pytest.raises(BadImageError, match="no image in HDU 'I'"):
        FitsReader(Choice(hdu="I")).read(path)
    np.testing.assert_array_equal(FitsReader(Choice(band="r")).read(path)[0][0], 2 * LENS)
    release()


def test_the_child_is_told_what_is_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    asked: list[tuple[object, ...]] = []

    class Child:
        def judge(self, path: Path, judge: str, choice: tuple[object, ...]) -> None:
            asked.append(choice)

    monkeypatch.setattr("gravlensdiffusion.untrusted.probe._child", Child)
    path = save(tmp_path / "a.fits", ("G", LENS), ("R", 2 * LENS))
    choices = [Choice(hdu="R"), Choice(band="g"), Choice(bands=("r", "g"))]
    for choice in (*choices, choices[0]):
        FitsReader(choice).read(path)
    assert asked == choices
