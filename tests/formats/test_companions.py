"""Folders as surveys hand them out: noise maps, PSFs and licences beside the images."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from gravlensdiffusion.errors import BadFilesError, GravLensError
from gravlensdiffusion.formats.companions import sort_files
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.sets.naming import is_document
from tests.sets.files import lens_images, survey_folder

WORDS = (
    "noise noise_map noisemap rms rms_map err error errmap unc uncertainty sigma std stddev var "
    "variance varmap ivar invvar inv_var inverse_variance wht wt weight weights weight_map cov conf "
    "psf PSF epsf psfmodel kernel mask masks maskbits dq dqm data_quality bpm badpix bad_pixels flag "
    "flags seg segm segmap segmentation ctx con exp expmap exptime exposure exposure_map nexp depth "
    "bkg bkgd bg background sky skymap model mod fit resid residual res chi2 source"
)


@pytest.mark.parametrize("word", WORDS.split())
def test_companions_are_known_by_suffix_prefix_and_whole_name(word: str) -> None:
    capital = word[0].upper() + word[1:]
    names = ["J12_3_{}", "J12_3-{}", "J12_3.{}", "{}_J12_3", "J12_3_sci_{}", "{}_J12_3_image", "{}"]
    for image in ("J12_3", "J12_3_sci", "image_J12_3", "J12_3-data"):
        for suffix in (".fits", ".npy", ".png"):
            stems = [image, *(name.format(word) for name in names)]
            files = [Path(f"set/{stem}{suffix}") for stem in stems]
            assert sort_files(files).images == (files[0],)
    camel = (Path("set/lens.fits"), Path(f"set/lens{capital}.fits"))
    assert sort_files(camel).images == camel[:1]


@pytest.mark.parametrize(
    "name",
    [
        *("expo12", "model_lens_3", "modelling_3", "noisemaker_1", "no_noise_1", "noise_free_1"),
        *("a-noise-free", "noiseless_2", "psf_matched_2", "sky_sub_3", "X_bkgsub", "masked_2"),
        *("sigma8_0.8", "no_sub_12", "source_plane_3", "flat_lens_2", "variable_3", "expansion"),
    ],
)
def test_what_only_looks_like_a_companion_stays(name: str) -> None:
    files = (Path("set/lens_9.npy"), Path(f"set/{name}.npy"))
    assert sort_files(files).images == files


def test_words_of_one_meaning_need_no_image_of_their_name() -> None:
    lenses = [Path("set/1.fits"), Path("set/2.fits")]
    certain = [Path(f"set/{name}.fits") for name in ("psf", "b_ivar", "psf_J9", "mask7", "x_dq_2")]
    # Others count only beside the image of their name.
    doubtful = [Path(f"set/{name}.fits") for name in ("b_model", "exp_4", "sky_x")]
    assert sort_files([*lenses, *certain, *doubtful]).images == (*lenses, *doubtful)


def test_companions_of_one_band_go_with_images_of_it() -> None:
    names = ("J1_image_g", "J1_invvar_g", "psf_g_J1", "model_J1_g", "model_J1_hst")
    found = sort_files([Path(f"set/{name}.fits") for name in names])
    assert [path.stem for path in found.images] == ["J1_image_g", "model_J1_hst"]
    assert list(found.companions.values()) == ["noise map", "PSF", "model"]


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


@pytest.mark.parametrize(
    "bands",
    [
        *("g r i z y", "G R I", "HSC-G HSC-R", "des_g des_r", "ps1-g ps1-i", "sdss_u sdss_r"),
        *("legacy_g legacy_z", "VIS NIR_H", "vis nisp_y", "nirh vis", "F814W F160W", "f606w f814w"),
        *(
            "g_band r_band",
            "gBand rBand",
            "band-g band-i",
            "megacam_u hsc_g",
            "Y J H",
            "NB816 z_band",
            "vis h",
            "EUC_VIS EUC_H",
            "euclid_vis Y J",
        ),
    ],
)
@pytest.mark.parametrize("pattern", ["J1_{}", "{}_J1", "J1_{}_sci", "J1_{}_002", "J1/{}"])
def test_several_bands_of_one_object_are_one_lens(bands: str, pattern: str) -> None:
    files = [Path(f"set/{pattern.format(band)}.fits") for band in bands.split()]
    with pytest.raises(
        GravLensError, match=r"1 object in several bands, as .*; choose one with `band`"
    ):
        sort_files(files)
    for path, band in zip(files, bands.split(), strict=True):
        assert sort_files(files, band).images == (path,)


@pytest.mark.parametrize("letters", ["abcdefghijklmnopqrstuvwxyz", "abc", "ijk", "xyz", "g", "hi"])
@pytest.mark.parametrize("pattern", ["{}", "lens_{}", "{}_lens", "lens_{}_2"])
def test_letters_that_are_no_bands(letters: str, pattern: str) -> None:
    files = tuple(Path(f"set/{pattern.format(letter)}.npy") for letter in letters)
    found = sort_files(files)
    assert found.images == files
    assert not found.bands


def test_a_band_is_chosen() -> None:
    names = ("a_hsc_g", "a_hsc_r", "b_g", "b_r", "c")
    files = [Path(f"set/{name}.fits") for name in names]
    found = sort_files(files, "g")
    assert [path.stem for path in found.images] == ["a_hsc_g", "b_g", "c"]
    assert [path.stem for path in found.other_bands] == ["a_hsc_r", "b_r"]
    assert found.bands == {"g": 1, "hsc_g": 1, "hsc_r": 1, "r": 1}
    arrays = [path.with_suffix(".npy") for path in files]
    with pytest.raises(GravLensError, match=r"no file is of band 'q' .*: g \(1\), hsc_g \(1\), "):
        sort_files(arrays, "q")


def test_bands_of_different_objects_are_told() -> None:
    names = ("a_vis_data", "b_VIS", "d_nir_h_data", "c_f160w", "vision", "d_nir_hat")
    files = [Path(f"{name}.fits") for name in names]
    assert sort_files(files).bands == {"f160w": 1, "nir_h": 1, "vis": 2}


def test_a_survey_folder(tmp_path: Path) -> None:
    folder = survey_folder(tmp_path)
    with pytest.raises(GravLensError) as asked:
        open_set(folder)
    assert str(asked.value) == (
        f"{folder}: holds 1 object in several bands, as J1+2.5_nir_h_data.fits and "
        "J1+2.5_vis_data.fits; choose one with `band`: nir_h (1), vis (2)"
    )
    with pytest.raises(BadFilesError) as caught:
        open_set(folder, band="vis")
    (problem,) = caught.value.problems
    assert problem == (
        f"{folder / 'ID_1.fits'}: has 11 x 11 pixels where most have 16 x 16 pixels; "
        "`crop` 11 takes the middle of each"
    )
    source = open_set(folder, mixed=True)
    assert len(source) == 2
    assert source.problems == (problem,)
    assert source.header.pixel_scale_arcsec == pytest.approx(0.1)
    assert source.notes == (
        "named like noise maps, taken for that of an image: 2; J1+2.5_vis_noise_map.fits first",
        "named like PSFs, left alone: 1; J1+2.5_vis_psf.fits first",
        "images of other bands than vis, left alone: 1; J1+2.5_nir_h_data.fits first",
        "files about the set, left alone: LICENSE",
        (
            "masked pixels, 2 in 2 of 2 images (2 by noise map): each looks like those beside it; "
            "J1+2.5_vis_data.fits first"
        ),
    )
    assert source.parameters["background_rms"] == pytest.approx([0.003, 0.003])


@pytest.mark.parametrize("names", ["image noise psf", "{}_F814W psf_F814W", "data rms mask"])
def test_one_folder_per_object(tmp_path: Path, names: str) -> None:
    for k, image in enumerate(lens_images(3)):
        folder = tmp_path / f"J{k}"
        folder.mkdir()
        for name in names.format(folder.name).split():
            fits.writeto(folder / f"{name}.fits", image)
    source = open_set(tmp_path)
    assert len(source) == 3
    assert source.header.class_names == ()
    assert source.notes[0] == "folders of one object each, whose names are no classes: 3"
    for name in ("v1.fits", "v2.fits"):
        fits.writeto(tmp_path / "J2" / name, lens_images(1, seed=1)[0])
    with pytest.raises(GravLensError, match="J2: is not one object, as most folders are: holds 3"):
        open_set(tmp_path)
    assert len(open_set(tmp_path, skip_bad=True)) == 2


@pytest.mark.parametrize("image", ["images", "data", "sci"])
@pytest.mark.parametrize("beside", ["noise", "psf", "masks", "noise_maps", "weight"])
def test_one_folder_per_kind(tmp_path: Path, image: str, beside: str) -> None:
    for name in (image, beside):
        (tmp_path / name).mkdir()
        for k, pixels in enumerate(lens_images(2, seed=len(name))):
            np.save(tmp_path / name / f"lens_{k}.npy", pixels)
    source = open_set(tmp_path)
    assert len(source) == 2
    assert source.header.class_names == ()
    assert source.notes[0].endswith(f"; {beside} first")


def test_classes_of_one_image_are_classes(tmp_path: Path) -> None:
    for name, image in zip(("lens", "no_lens"), lens_images(2), strict=True):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / f"{name}.npy", image)
    assert open_set(tmp_path).header.class_names == ("lens", "no_lens")


def test_a_folder_of_companions_alone_is_refused(tmp_path: Path) -> None:
    for k, image in enumerate(lens_images(2)):
        np.save(tmp_path / f"noise_{k}.npy", image)
    with pytest.raises(
        GravLensError, match=r"are named like companions of images.*noise_1\.npy is one"
    ):
        open_set(tmp_path)


def test_a_companion_can_be_looked_at_by_itself(tmp_path: Path) -> None:
    source = open_set(survey_folder(tmp_path) / "J1+2.5_vis_psf.fits")
    assert source.image_shape == (1, 7, 7)


def test_unlike_files_go_on_only_where_they_may(tmp_path: Path) -> None:
    folder = survey_folder(tmp_path)
    (folder / "broken.fits").write_bytes(b"SIMPLE")
    with pytest.raises(BadFilesError) as caught:
        open_set(folder, mixed=True, band="vis")
    assert len(caught.value.problems) == 2
    assert len(open_set(folder, skip_bad=True, band="vis")) == 2


def test_companions_in_class_folders(tmp_path: Path) -> None:
    for name in ("lens", "no_lens"):
        (tmp_path / name).mkdir()
        for k, image in enumerate(lens_images(2, seed=len(name))):
            fits.writeto(tmp_path / name / f"{k}.fits", image)
            fits.writeto(tmp_path / name / f"{k}_rms.fits", np.sqrt(image))
    source = open_set(tmp_path)
    assert len(source) == 4
    assert source.labels.tolist() == [0, 0, 1, 1]
