"""Maps of noise: flagged pixels and depth."""

import numpy as np
import pytest
from astropy.io import fits

from gravlensdiffusion.evaluation.measure import Encoder, Team
from gravlensdiffusion.evaluation.preparation import PreparedSource
from gravlensdiffusion.formats.open import open_set
from tests.formats.contents import FLAGGED, SIZE, flat
from tests.sets.files import lens_images

pytestmark = pytest.mark.usefixtures("in_this_process")


def slacs_like(folder, num=2, flag=1e8):
    """Write one folder for each object, as SLACS lenses lie: image, noise and PSF."""
    rng = np.random.default_rng(0)
    for k, image in enumerate(lens_images(num, size=SIZE)):
        own = folder / f"J{k}"
        own.mkdir(parents=True)
        noise = np.full((SIZE, SIZE), 0.01 * (k + 1))
        noise[12:20, 12:20] += 0.1
        noise[FLAGGED] = flag
        sky = image + rng.normal(0, 0.01, image.shape)
        fits.writeto(own / "image.fits", sky.astype(np.float32))
        fits.writeto(own / "noise.fits", noise.astype(np.float32))
        fits.writeto(own / "psf.fits", np.eye(5, dtype=np.float32) / 5)
    return folder


@pytest.mark.parametrize("flag", [1e8, np.nan, np.inf, 0.0, -1.0])
def test_flagged_pixels_were_not_observed(tmp_path, flag):
    source = open_set(slacs_like(tmp_path / "a", flag=flag))
    masked = source.read_masked([0, 1])[:, 0]
    assert source.has_masked
    assert masked[:, *FLAGGED].all()
    assert masked.sum() == 200
    assert np.isfinite(source.read([0, 1])).all()


def test_the_map_is_the_depth_of_its_image(tmp_path):
    source = open_set(slacs_like(tmp_path / "a"))
    depth = source.parameters["background_rms"]
    assert depth == pytest.approx([0.01, 0.02], rel=1e-6)


def test_maps_that_are_none_of_the_noise_are_left_alone(tmp_path):
    for name, noise in {
        "other_size": np.ones((SIZE + 2, SIZE + 2)),
        "mostly_flagged": np.where(np.arange(SIZE) < 20, 1e8, 1.0) * np.ones((SIZE, 1)),
    }.items():
        folder = slacs_like(tmp_path / name, num=1)
        fits.writeto(folder / "J0" / "noise.fits", noise, overwrite=True)
        source = open_set(folder)
        assert not source.has_masked
        assert "background_rms" not in source.parameters
    folder = slacs_like(tmp_path / "weights", num=1)
    (folder / "J0" / "noise.fits").rename(folder / "J0" / "weight.fits")
    assert not open_set(folder).has_masked


def test_files_of_one_folder_go_with_the_map_of_their_name(tmp_path):
    slacs_like(tmp_path / "a")
    flat = tmp_path / "flat"
    flat.mkdir()
    for k in range(2):
        for kind in ("image", "noise"):
            (tmp_path / "a" / f"J{k}" / f"{kind}.fits").rename(
                flat / f"EUCL{k}_vis_{'data' if kind == 'image' else 'noise_map'}.fits"
            )
    source = open_set(flat)
    assert len(source) == 2
    assert source.read_masked([0, 1]).sum(axis=(1, 2, 3)).tolist() == [100, 100]
    assert source.parameters["background_rms"][0] < source.parameters["background_rms"][1]


def test_flagged_pixels_count_in_no_statistic_of_a_report(tmp_path):
    folder = slacs_like(tmp_path / "a")
    encoder = Encoder(28)
    source = PreparedSource(open_set(folder, crop=28), "real")
    before = Team([source], encoder).measure(source)
    for own in folder.iterdir():
        image = fits.getdata(own / "image.fits").copy()
        image[FLAGGED] = 9.0
        fits.writeto(own / "image.fits", image, overwrite=True)
    source = PreparedSource(open_set(folder, crop=28), "real")
    found = Team([source], encoder).measure(source)
    for name, values in found.physics.items():
        np.testing.assert_allclose(values, before.physics[name], rtol=1e-6, err_msg=name)
    # A flag that is new makes another set of it.
    noise = fits.getdata(folder / "J0" / "noise.fits").copy()
    noise[4, 4] = 1e8
    fits.writeto(folder / "J0" / "noise.fits", noise, overwrite=True)
    assert PreparedSource(open_set(folder, crop=28), "real").digest != source.digest


def cube(path, noises, versions=False):
    """Write bands as Euclid's cubes have them, or images of one name; each with its noise unless that is None."""
    hdus = [fits.PrimaryHDU()]
    images = lens_images(len(noises), size=SIZE)
    for k, ((band, noise), image) in enumerate(zip(noises.items(), images, strict=True), 1):
        names = ("SCI", "ERR") if versions else (f"{band}_BGSUB", f"{band}_RMS")
        header = fits.Header({"MAGZERO": 24.6 if band == "VIS" else 30.0})
        hdus.append(fits.ImageHDU(image.astype(np.float32), header, name=names[0], ver=k))
        hdus.append(fits.ImageHDU(np.eye(5, dtype=np.float32) / 5, name=f"{band}_PSF"))
        if noise is not None:
            hdus.append(fits.ImageHDU(noise.astype(np.float32), name=names[1], ver=k))
    fits.HDUList(hdus).writeto(path)
    return path


def test_each_band_of_a_cube_has_its_own_noise(tmp_path):
    noises = {"DES_G": flat(0.8, (0, 0), (0, 1)), "VIS": flat(0.004, FLAGGED), "NIR_H": flat(2.2)}
    path = cube(tmp_path / "a.fits", noises)
    for band, rms, num in (("vis", 0.004, 100), ("g", 0.8, 2), ("h", 2.2, 0)):
        source = open_set(path, band=band)
        assert source.parameters["background_rms"] == pytest.approx([rms], rel=1e-6)
        assert source.read_masked([0]).sum() == num
        assert np.isfinite(source.read([0])).all()
    # The noise of bands differs by more than a flag from that of a pixel; one number states none of theirs.
    channels = open_set(path, bands="g,vis,h")
    assert channels.read_masked([0]).sum(axis=(2, 3)).tolist() == [[2, 100, 0]]
    assert "background_rms" not in channels.parameters


def test_the_noise_of_an_extension_goes_to_the_zero_point_of_most(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    for k, band in enumerate(("VIS", "VIS", "DES_G")):
        cube(folder / f"{k}.fits", {band: flat(0.01)})
    depth = open_set(folder, mixed=True).parameters["background_rms"]
    assert depth == pytest.approx([0.01, 0.01, 0.01 * 10 ** (0.4 * (24.6 - 30))], rel=1e-6)


def test_noise_of_another_band_or_version_is_none(tmp_path):
    path = cube(tmp_path / "a.fits", {"VIS": None, "DES_G": flat(0.8)})
    assert "background_rms" not in open_set(path, band="vis").parameters
    path = cube(tmp_path / "b.fits", {"A": flat(0.1, FLAGGED), "B": flat(0.2)}, versions=True)
    for version, rms in (("SCI", 0.1), ("SCI,2", 0.2)):
        depth = open_set(path, hdu=version).parameters["background_rms"]
        assert depth == pytest.approx([rms], rel=1e-6)
    # Read as an image, a noise map is one.
    assert "background_rms" not in open_set(path, hdu="ERR").parameters


@pytest.mark.parametrize(
    ("name", "unit"), [("WHT", ""), ("VAR", ""), ("ERR", "(electron/s)**2"), ("IVAR", "")]
)
def test_weights_and_variances_in_extensions_are_no_noise(tmp_path, name, unit):
    (image,) = lens_images(1, size=SIZE)
    noise = fits.ImageHDU(flat(0.1, FLAGGED), name=name)
    if unit:
        noise.header["BUNIT"] = unit
    fits.HDUList([fits.PrimaryHDU(image), noise]).writeto(tmp_path / "a.fits")
    source = open_set(tmp_path / "a.fits")
    assert not source.has_masked
    assert "background_rms" not in source.parameters


def test_the_noise_behind_a_primary_image_is_read_again_as_at_first(tmp_path):
    (image,) = lens_images(1, size=SIZE)
    noise = fits.ImageHDU(flat(0.1, FLAGGED), name="ERR")
    fits.HDUList([fits.PrimaryHDU(image), noise]).writeto(tmp_path / "a.fits")
    source = open_set(tmp_path / "a.fits")
    assert [int(source.read_masked([0]).sum()) for _ in range(2)] == [100, 100]
    assert source.parameters["background_rms"] == pytest.approx([0.1])
