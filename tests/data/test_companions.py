"""Folders as surveys hand them out: noise maps, PSFs and licences beside the images."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from gravlensdiffusion.data.companions import count_bands, find_companions, is_document
from gravlensdiffusion.data.readers import BadFilesError, open_lenses
from tests.data.files import lens_images, survey_folder


@pytest.mark.parametrize(
    ("name", "is_companion"),
    [
        ("a_noise_map", True),
        ("a_noise", True),
        ("a_rms", True),
        ("a_PSF", True),
        ("a-wht", True),
        ("a.weight", True),
        ("a_mask", True),
        ("a_data", False),
        ("b_psf", False),
        ("psf", False),
        ("a_noisemaker", False),
    ],
)
@pytest.mark.parametrize("image", ["a", "a_data", "a_sci"])
def test_companions_are_known_by_their_names(name: str, is_companion: bool, image: str) -> None:
    files = [Path(f"set/{image}.fits"), Path(f"set/{name}.fits")]
    assert find_companions(files) == ({files[1]} if is_companion else set())


def test_what_has_no_image_beside_it_is_an_image() -> None:
    alone = [Path("set/a_psf.fits"), Path("other/a.fits"), Path("set/a_noise_map.fits")]
    assert find_companions(alone) == set()
    arrays = [Path("set/a.npy"), Path("set/a_psf.npy")]
    assert find_companions(arrays) == set()


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("LICENSE", True),
        ("Licence.txt", True),
        ("README.md", True),
        ("CITATION.cff", True),
        ("README.fits", False),
        ("notes.txt", False),
        ("LICENSES", False),
    ],
)
def test_documents(name: str, is_one: bool) -> None:
    assert is_document(name) is is_one


def test_bands_are_counted_where_names_tell_them() -> None:
    names = ("a_vis_data", "b_VIS", "a_nir_h_data", "c_f160w", "vision", "d_nir_hat")
    files = [Path(f"{name}.fits") for name in names]
    assert count_bands(files) == {"f160w": 1, "nir_h": 1, "vis": 2}
    assert count_bands([Path("a_vis.npy")]) == {}


def test_a_survey_folder(tmp_path: Path) -> None:
    folder = survey_folder(tmp_path)
    with pytest.raises(BadFilesError) as caught:
        open_lenses(folder)
    (problem,) = caught.value.problems
    assert problem == (
        f"{folder / 'ID_1.fits'}: has 11 x 11 pixels where most have 16 x 16 pixels; "
        "--crop 11 takes the middle of each"
    )
    source = open_lenses(folder, mixed=True)
    assert len(source) == 3
    assert source.problems == (problem,)
    assert source.header.pixel_scale_arcsec == pytest.approx(0.1)
    assert source.notes == (
        (
            "noise maps, PSFs and masks of images, left alone: "
            "J1+2.5_vis_noise_map.fits, J1+2.5_vis_psf.fits, J3+4.5_vis_noise_map.fits"
        ),
        "files about the set, left alone: LICENSE",
        "images of several bands, by their names: 1 of nir_h, 2 of vis; keep one in a folder",
    )


def test_a_companion_can_be_looked_at_by_itself(tmp_path: Path) -> None:
    source = open_lenses(survey_folder(tmp_path) / "J1+2.5_vis_psf.fits")
    assert source.image_shape == (1, 7, 7)


def test_unlike_files_go_on_only_where_they_may(tmp_path: Path) -> None:
    folder = survey_folder(tmp_path)
    (folder / "broken.fits").write_bytes(b"SIMPLE")
    with pytest.raises(BadFilesError) as caught:
        open_lenses(folder, mixed=True)
    assert len(caught.value.problems) == 2
    assert len(open_lenses(folder, skip_bad=True)) == 3


def test_companions_in_class_folders(tmp_path: Path) -> None:
    for name in ("lens", "no_lens"):
        (tmp_path / name).mkdir()
        for k, image in enumerate(lens_images(2, seed=len(name))):
            fits.writeto(tmp_path / name / f"{k}.fits", image)
            fits.writeto(tmp_path / name / f"{k}_rms.fits", np.sqrt(image))
    source = open_lenses(tmp_path)
    assert len(source) == 4
    assert source.labels.tolist() == [0, 0, 1, 1]
