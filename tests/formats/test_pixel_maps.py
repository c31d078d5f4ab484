"""Maps of noise, data quality and weights: flagged pixels and depth."""

import numpy as np
import pytest
from astropy.io import fits

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.evaluation.measure import Encoder, Team
from gravlensdiffusion.evaluation.preparation import PreparedSource
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.sets.inspection import inspect_lenses
from tests.sets.files import lens_images

SIZE = 32
FLAGGED = (slice(20, 30), slice(2, 12))


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    """Try no file out in a child process, whose start takes its time."""
    monkeypatch.setattr("gravlensdiffusion.formats.fits.refuse_bad", lambda *_: None)


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


def flat(level, *flagged):
    noise = np.full((SIZE, SIZE), float(level))
    for place in flagged:
        noise[place] = 1e16
    return noise


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


def archive_file(path, *chips, primary=None):
    """Write an image and its maps for each chip, as archives give them: ``SCI,1``, ``ERR,1``, ``SCI,2``, ..."""
    hdus = [fits.PrimaryHDU(header=fits.Header(primary or {}))]
    images = lens_images(len(chips), size=SIZE)
    for version, (image, maps) in enumerate(zip(images, chips, strict=True), 1):
        for name, values in {"SCI": image, **maps}.items():
            hdus.append(fits.ImageHDU(values, name=name, ver=version))
    fits.HDUList(hdus).writeto(path)
    return path


def quality(*bits, size=SIZE):
    """Return data quality with some bits set, each in two pixels of a row of its own."""
    flags = np.zeros((size, size), np.int16)
    for row, bit in enumerate(bits):
        flags[row, :2] = bit
    return flags


def test_any_bit_of_data_quality_flags_a_pixel(tmp_path):
    noise = flat(0.1, (0, 0), FLAGGED).astype(np.float32)
    path = archive_file(tmp_path / "a_flt.fits", {"ERR": noise, "DQ": quality(16, 64, 4096)})
    image = lens_images(1, size=SIZE)[0]
    source = open_set(path)
    masked = source.read_masked([0])[0, 0]
    assert masked[:4].sum(axis=1).tolist() == [2, 2, 2, 0]
    assert masked.sum() == 6 + 100
    assert np.isfinite(source.read([0])).all()
    assert source.parameters["background_rms"] == pytest.approx([0.1])
    # What is flagged twice is counted once.
    assert source.notes == (
        "of FITS files HDU SCI taken with the data quality in DQ and the noise in ERR: 1 image, a_flt.fits first",
        (
            "masked pixels, 106 in 1 of 1 images (6 by data quality map, 100 by noise map): each looks like those "
            "beside it; a_flt.fits first"
        ),
    )
    told = inspect_lenses(source)
    assert told.mean == pytest.approx(image[~masked].mean(dtype=np.float64), rel=1e-6)
    assert open_set(path, crop=SIZE - 2).read_masked([0]).sum() == 1 + 1 + 100


def test_each_chip_of_a_camera_has_its_own_data_quality(tmp_path):
    chips = [{"ERR": flat(0.1), "DQ": quality(4)}, {"ERR": flat(0.2), "DQ": quality(4, 4, 256)}]
    path = archive_file(tmp_path / "a_flc.fits", *chips)
    with pytest.raises(GravLensError, match=r"holds 2 images; choose one with `hdu`: SCI, SCI,2"):
        open_set(path)
    for name, num, rms in (("SCI", 2, 0.1), ("SCI,2", 6, 0.2)):
        source = open_set(path, hdu=name)
        assert source.read_masked([0]).sum() == num
        assert source.parameters["background_rms"] == pytest.approx([rms])
    assert not open_set(path, hdu="DQ,2").has_masked


def test_weights_of_nothing_flag_a_pixel(tmp_path):
    weights = np.full((SIZE, SIZE), 570.0, np.float32)
    weights[:, :3] = 0
    drizzled = {"WHT": weights, "CTX": quality(size=SIZE)}
    source = open_set(archive_file(tmp_path / "a_drz.fits", drizzled))
    assert source.read_masked([0])[0, 0].all(axis=0).sum() == 3
    assert source.read_masked([0]).sum() == 3 * SIZE
    assert "background_rms" not in source.parameters
    assert "with the weight in WHT, CTX left" in source.notes[0]
    assert f"({3 * SIZE} by weight map)" in source.notes[1]
    # Weights that are 0 in most of an image are those of something else.
    weights[:, : SIZE // 2 + 1] = 0
    assert not open_set(archive_file(tmp_path / "b_drz.fits", drizzled)).has_masked


def test_data_quality_of_another_size_is_refused(tmp_path):
    path = archive_file(tmp_path / "a.fits", {"DQ": quality(4, size=SIZE - 1)})
    with pytest.raises(
        GravLensError, match=r"a.fits: has DQ of shape \(31, 31\) for SCI of shape \(32, 32\)$"
    ):
        open_set(path)
    image, mask = tmp_path / "b" / "x_sci.fits", tmp_path / "b" / "x_dq.fits"
    image.parent.mkdir()
    fits.writeto(image, lens_images(1, size=SIZE)[0])
    fits.writeto(mask, quality(4, size=SIZE - 1))
    with pytest.raises(GravLensError, match=r"a data quality map of 31 x 31 .* image of 32 x 32"):
        open_set(image.parent)


def test_an_image_of_which_most_is_flagged_says_by_what(tmp_path):
    flags = np.ones((SIZE, SIZE), np.int16)
    flags[:4] = 0
    with pytest.raises(
        GravLensError, match=r"masked in 896 of 1024 .* half, 896 by its data quality map$"
    ):
        open_set(archive_file(tmp_path / "a.fits", {"DQ": flags}))


def test_jumps_that_the_pipeline_of_jwst_has_corrected_are_no_flags(tmp_path):
    flags = {"DQ": quality(1, 4, 512 | 8, 4 | 1).astype(np.uint32)}
    for telescope, num in (("JWST", 6), ("HST", 8)):
        path = tmp_path / f"{telescope}.fits"
        source = open_set(archive_file(path, flags, primary={"TELESCOP": telescope}))
        assert [int(source.read_masked([0]).sum()) for _ in range(2)] == [num, num]


def test_maps_in_files_beside_the_image(tmp_path):
    weights = flat(3.0)
    weights[5, :4] = 0
    for name, values in {
        "sci": lens_images(1, size=SIZE)[0],
        "wht": weights,
        "dq": quality(8),
    }.items():
        hdus = [fits.PrimaryHDU(), fits.ImageHDU(values, name=name.upper())]
        fits.HDUList(hdus).writeto(tmp_path / f"sierra_{name}.fits")
    source = open_set(tmp_path)
    assert source.read_masked([0]).sum() == 6
    assert source.notes[:2] == (
        "named like data quality maps, taken for that of an image: 1; sierra_dq.fits first",
        "named like weight maps, taken for that of an image: 1; sierra_wht.fits first",
    )
    assert "background_rms" not in source.parameters


def test_a_band_without_data_quality_beside_one_with_it(tmp_path):
    hdus = [fits.PrimaryHDU()]
    for band, image in zip(("VIS", "DES_G"), lens_images(2, size=SIZE), strict=True):
        hdus.append(fits.ImageHDU(image, name=f"{band}_FLUX"))
    hdus.append(fits.ImageHDU(quality(1, 1), name="VIS_DQ"))
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    source = open_set(tmp_path / "a.fits", bands="g,vis")
    assert source.read_masked([0]).sum(axis=(2, 3)).tolist() == [[0, 4]]
