"""Real galaxies as sources."""

import math
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve

from gravlensdiffusion import GravLensError, LensStore, lenstronomy_kwargs, simulate, write_store
from gravlensdiffusion.cli.main import main
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.simulation.gallery import Gallery, _isolated, half_light_radius
from gravlensdiffusion.simulation.instrument import build_instrument


def cutout(size, radius, *, seed=0, sky=3.0, noise=0.02, knot=0.0):
    """Return a round exponential galaxy on a noisy sky, a knot beside its middle."""
    y, x = np.indices((size, size)) - (size - 1) / 2
    galaxy = np.exp(-1.68 * np.hypot(x, y) / radius)
    galaxy += knot * np.exp(-0.5 * ((x - radius) ** 2 + y**2) / 4)
    return sky + galaxy + noise * np.random.default_rng(seed).standard_normal((size, size))


@pytest.fixture
def folder(tmp_path):
    """Three galaxies of different sizes, the third too faint."""
    path = tmp_path / "galaxies"
    path.mkdir()
    images = {
        "a": cutout(50, 6.0, knot=1.0),
        "b": cutout(64, 8.0, seed=1),
        "faint": cutout(40, 6.0, noise=3.0, seed=2),
    }
    for name, image in images.items():
        fits.PrimaryHDU(image.astype(np.float32)).writeto(path / f"{name}.fits")
    return path


def opened(folder):
    return open_set(folder, mixed=True, any_unit=True, skip_bad=True)


def test_a_galaxy_is_taken_out_of_its_sky():
    image = cutout(64, 6.0)
    light = _isolated(image)
    truth = cutout(64, 6.0, sky=0.0, noise=0.0)
    assert light.sum() == pytest.approx(truth.sum(), rel=0.15)
    assert light[0].max() == 0
    inside = truth > 0.1
    assert np.abs(light - truth)[inside].sum() < 0.15 * truth[inside].sum()
    assert _isolated(cutout(64, 6.0, noise=3.0)) is None


def test_a_galaxy_beside_is_left_out():
    image = cutout(80, 5.0)
    alone = _isolated(image).sum()
    y, x = np.indices((80, 80)) - np.array([70, 70])[:, None, None]
    assert _isolated(image + np.exp(-np.hypot(x, y) / 3)).sum() == pytest.approx(alone, rel=0.1)


def catalogue(folder, images, psf, **changes):
    """Write images as a RealGalaxyCatalog of GalSim, all with one PSF."""
    folder.mkdir()
    num, text = len(images), "16A"
    units = [fits.ImageHDU(image.astype(np.float32)) for image in images]
    fits.HDUList([fits.PrimaryHDU(), *units]).writeto(folder / "images.fits")
    if psf is not None:
        fits.writeto(folder / "psfs.fits", psf)
    columns = {
        "GAL_FILENAME": (text, ["images.fits"] * num),
        "GAL_HDU": ("J", list(range(1, num + 1))),
        "PSF_FILENAME": (text, ["psfs.fits"] * num),
        "PSF_HDU": ("J", changes.get("psf_hdu", [0] * num)),
        "PIXEL_SCALE": ("D", [0.03] * num),
    }
    table = [fits.Column(name, form, array=values) for name, (form, values) in columns.items()]
    fits.BinTableHDU.from_columns(table).writeto(folder / "catalog.fits")
    return folder


def blurred(radius, noise, fwhm=4.0, size=65):
    """Return a galaxy as a Gaussian shows it, in noise."""
    truth = cutout(size, radius, sky=0.0, noise=0.0)
    seen = gaussian_filter(truth, fwhm / 2.3548, truncate=6)
    return seen + 3.0 + noise * np.random.default_rng(1).standard_normal(seen.shape)


PSF = gaussian_filter(np.eye(41)[20][:, None] * np.eye(41)[20], 4 / 2.3548, truncate=6)


@pytest.fixture
def in_this_process(monkeypatch):
    """Try no file out in a child process, whose start takes its time."""
    for name in ("probe_file", "refuse_bad"):
        monkeypatch.setattr(f"gravlensdiffusion.formats.fits_catalogue.{name}", lambda *_: None)


@pytest.mark.usefixtures("in_this_process")
def test_galaxies_of_a_known_psf_are_deconvolved_as_far_as_their_noise_lets(tmp_path):
    levels = (2e-4, 2e-3, 1e-2, 0.03)
    images = [blurred(5.0, level) for level in levels]
    gallery = Gallery.of(opened(catalogue(tmp_path / "a", images, PSF)))
    assert gallery.names == (
        "catalog.fits[0]",
        "catalog.fits[1]",
        "catalog.fits[2]",
        "catalog.fits[3]",
    )
    widths = np.array(gallery.widths)
    assert 2.0 < widths[0] < 2.5
    assert (np.diff(widths) > -0.05).all()
    assert widths[-1] == pytest.approx(4.0, rel=0.15)
    # A peak that the PSF lowers to 60% comes back, and noise makes none.
    for image, kept, width, blunt in zip(
        gallery.images, images, widths, (0.65, 0.8, 0.9, 2), strict=True
    ):
        truth = cutout(65, 5.0, sky=0.0, noise=0.0)
        shown = gaussian_filter(truth, width / 2.3548)
        peak = shown.max() / shown.sum()
        plain = _isolated(kept)
        assert plain.max() / plain.sum() < blunt * peak
        assert image.max() == pytest.approx(peak, rel=0.15)


@pytest.mark.usefixtures("in_this_process")
def test_the_smallest_galaxy_is_twice_a_point_of_what_it_is_shown_by(tmp_path):
    radii = (1.5, 3.0, 3.5, 9.0)
    images = [blurred(radius, 1e-4) for radius in radii]
    with_psf = Gallery.of(opened(catalogue(tmp_path / "a", images, PSF)))
    assert with_psf.names == ("catalog.fits[1]", "catalog.fits[2]", "catalog.fits[3]")
    # Without the file of the PSFs, the rule of images whose PSF is not known.
    without = Gallery.of(opened(catalogue(tmp_path / "b", images, None)))
    assert without.names == ("catalog.fits[3]",)
    assert without.widths == (4.0,)
    lenses = simulate("hst", 1, num_pixels=24, sources=opened(tmp_path / "a"))
    fwhm = build_instrument(lenses.config.imaging).psf_fwhm
    for k, largest in enumerate(lenses.config.source.light.structure.largest_radius):
        assert largest / with_psf.radii[k] * with_psf.widths[k] == pytest.approx(fwhm)
    # Enlarged, a galaxy has other pixels than its PSF.
    assert opened(tmp_path / "a").select([1]).read_psf(0) is not None
    assert opened(tmp_path / "a").resized(24).read_psf(0) is None


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize(
    ("psf", "hdu", "message"),
    [
        (PSF, 3, r"catalog.fits\[0\]: has a PSF .* names HDU 3 of psfs.fits, which has none"),
        (0 * PSF, 0, r"the PSF of catalog.fits\[0\] is none: .* sum to 0"),
        (PSF * np.nan, 0, "is none"),
    ],
)
def test_a_psf_that_is_none_is_told(tmp_path, psf, hdu, message):
    folder = catalogue(tmp_path / "a", [blurred(6.0, 1e-3)], psf, psf_hdu=[hdu])
    assert len(opened(folder)) == 1
    with pytest.raises(GravLensError, match=message):
        Gallery.of(opened(folder))


def test_those_that_can_be_used_are_named(folder):
    gallery = Gallery.of(opened(folder))
    assert gallery.names == ("a.fits", "b.fits")
    assert gallery.radii == pytest.approx([7, 8], abs=1.5)
    assert [float(image.sum()) for image in gallery.images] == pytest.approx([1, 1], abs=1e-4)


def test_galaxies_must_be_twice_as_large_as_a_point(tmp_path):
    y, x = np.indices((81, 81)) - 40
    # As wide as the PSFs of COSMOS.
    psf = (1 + (np.hypot(x, y) / 2.84) ** 2) ** -2.5
    path = tmp_path / "galaxies"
    path.mkdir()
    larger = {}
    for radius in (1.5, 2.5, 3.0, 4.5, 6.0, 9.0):
        truth = cutout(121, radius, sky=0.0, noise=0.0)
        seen = fftconvolve(truth, psf / psf.sum(), "same")
        name = f"{radius}.fits"
        larger[name] = half_light_radius(seen, 60, 60) / half_light_radius(truth, 60, 60)
        noise = 0.003 * np.random.default_rng(1).standard_normal(seen.shape)
        fits.writeto(path / name, (seen + noise).astype(np.float32))
    taken = Gallery.of(opened(path)).names
    assert taken == ("4.5.fits", "6.0.fits", "9.0.fits")
    # The point spread function makes them larger, by less than a third.
    assert {name for name, by in larger.items() if by < 4 / 3} == set(taken)


def test_sources_are_the_galaxies_and_named_in_the_set(folder, tmp_path):
    lenses = simulate("hst", 6, classes=["no_sub"], num_pixels=32, sources=opened(folder))
    plain = simulate("hst", 6, classes=["no_sub"], num_pixels=32)
    values = lenses.parameters
    assert set(values["source_galaxy"]) <= {0.0, 1.0}
    assert np.isnan(values["source_n_sersic"]).all()
    np.testing.assert_array_equal(values["theta_E"], plain.parameters["theta_E"])
    with LensStore(write_store(tmp_path / "lenses.h5", lenses)) as store:
        assert '"a.fits"' in store.header.config
        with pytest.raises(GravLensError, match="not at hand"):
            lenstronomy_kwargs(store, 0)


def test_images_depend_on_seed_and_number_alone(folder):
    first, again = (simulate("hst", 4, 2, num_pixels=24, sources=opened(folder)) for _ in range(2))
    np.testing.assert_array_equal(first.read([3]), again.read([1, 3])[1:])
    np.testing.assert_array_equal(first.part(range(3, 4)).read([0]), again.read([3]))


def test_what_the_other_telescope_has_spread_stays_below_what_this_one_does(folder):
    lenses = simulate("hst", 3, classes=["no_sub"], num_pixels=24, sources=opened(folder))
    cutouts = lenses.config.source.light.structure
    fwhm = build_instrument(lenses.config.imaging).psf_fwhm
    for radius, largest in zip(
        Gallery.of(opened(folder)).radii, cutouts.largest_radius, strict=True
    ):
        assert 4 * largest / radius == pytest.approx(fwhm)
    assert (lenses.parameters["source_R_sersic"] <= max(cutouts.largest_radius)).all()


def test_the_flux_is_that_of_the_magnitude(folder):
    gallery = Gallery.of(opened(folder))
    for number in range(2):
        arguments = gallery.profile(number, 0.3, 5)
        flux = arguments["image"].sum() * arguments["scale"] ** 2
        assert flux == pytest.approx(1, abs=1e-4)
        assert arguments["scale"] * gallery.radii[number] == pytest.approx(0.3)
        assert 0 <= arguments["phi_G"] < 2 * math.pi


def test_galaxies_that_are_all_too_faint_are_refused(folder):
    with pytest.raises(GravLensError, match="none of 1 galaxies"):
        simulate("hst", 1, sources=opened(folder / "faint.fits"))


def test_the_command_takes_a_folder_of_galaxies(folder, tmp_path, capsys):
    out = tmp_path / "lenses.h5"
    words = ["simulate", "--preset", "hst", "--num", "2", "--pixels", "24", "--jobs", "1"]
    assert main([*words, "--sources", str(folder), "--out", str(out)]) == 0
    with LensStore(out) as store:
        assert "source_galaxy" in store.parameters
    assert main([*words, "--sources", str(tmp_path / "none"), "--out", str(tmp_path / "b.h5")]) == 2
    assert "no such file or folder" in capsys.readouterr().err


def test_another_configuration_needs_no_galaxies(folder):
    config = simulate("hst", 1, sources=opened(folder)).config
    light = replace(config.source.light, structure=None)
    plain = replace(config, source=replace(config.source, light=light))
    assert simulate(plain, 1, num_pixels=24).read([0]).shape == (1, 1, 24, 24)


def test_no_galaxy_but_a_source_is_a_cutout(folder):
    config = simulate("euclid", 1, sources=opened(folder)).config
    near, *_ = config.neighbours
    lens = replace(config.lens, light=config.source.light, light_follows_mass=False)
    beside = replace(near, galaxy=replace(near.galaxy, light=config.source.light))
    for changes in ({"lens": lens}, {"neighbours": (beside,)}):
        with pytest.raises(GravLensError, match="of no other galaxies"):
            replace(config, **changes)
