"""Noise maps beside images: flagged pixels and depth."""

import numpy as np
import pytest
from astropy.io import fits

from gravlensdiffusion.evaluation.measure import Encoder, measure_set
from gravlensdiffusion.evaluation.preparation import PreparedSource
from gravlensdiffusion.formats.open import open_set
from tests.sets.files import lens_images

SIZE = 32
FLAGGED = (slice(20, 30), slice(2, 12))


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
    before = measure_set(PreparedSource(open_set(folder, crop=28), "real"), encoder)
    for own in folder.iterdir():
        image = fits.getdata(own / "image.fits").copy()
        image[FLAGGED] = 9.0
        fits.writeto(own / "image.fits", image, overwrite=True)
    source = PreparedSource(open_set(folder, crop=28), "real")
    found = measure_set(source, encoder)
    for name, values in found.physics.items():
        np.testing.assert_allclose(values, before.physics[name], rtol=1e-6, err_msg=name)
    # A flag that is new makes another set of it.
    noise = fits.getdata(folder / "J0" / "noise.fits").copy()
    noise[4, 4] = 1e8
    fits.writeto(folder / "J0" / "noise.fits", noise, overwrite=True)
    assert PreparedSource(open_set(folder, crop=28), "real").digest != source.digest
