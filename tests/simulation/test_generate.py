import math
from dataclasses import replace

import numpy as np
import pytest

from gravlensdiffusion.codec import from_json
from gravlensdiffusion.config.instrument import Telescope
from gravlensdiffusion.config.simulation import LensClass, SimulationConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.presets.simulation import SIMULATION_PRESETS, simulation_preset
from gravlensdiffusion.sets.flux import default_method, resize
from gravlensdiffusion.simulation.generate import select, set_header, simulate_one
from gravlensdiffusion.simulation.simulated_set import simulate


@pytest.fixture(scope="module")
def deeplense():
    return simulation_preset("deeplense")


@pytest.fixture(scope="module")
def small():
    """A small field, so that many images are quick."""
    config = simulation_preset("deeplense")
    return replace(config, imaging=replace(config.imaging, num_pixels=16))


def same(one, other):
    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_equal(dict(one.parameters), dict(other.parameters))
    np.testing.assert_array_equal(one.subhaloes, other.subhaloes)
    return one.label == other.label


def test_images_do_not_depend_on_the_number_of_jobs(small):
    one = list(simulate(small, 100, seed=4).records())
    two = list(simulate(small, 100, seed=4, num_jobs=2).records())
    assert len(one) == len(two) == 100
    assert all(map(same, one, two))


def test_image_k_depends_on_seed_and_k_alone(small):
    all_images = list(simulate(small, 70, seed=4).records())
    assert same(next(simulate(small, 1, seed=4, start=68).records()), all_images[68])
    assert same(simulate_one(small, 4, 69), all_images[69])


def test_seeds_and_images_differ(small):
    images = [r.image for seed in (0, 1) for r in simulate(small, 3, seed=seed).records()]
    for i, one in enumerate(images):
        assert not any(np.array_equal(one, other) for other in images[:i])


def test_classes_of_the_same_image_share_lens_source_and_noise(small):
    names = ("theta_E", "gamma1", "source_x", "source_R_sersic")
    smooth, clumpy = (
        simulate_one(select(small, classes=(name,)), 2, 5) for name in ("no_sub", "cdm")
    )
    assert [smooth.parameters[n] for n in names] == [clumpy.parameters[n] for n in names]


@pytest.mark.parametrize("mix", [(1, 1, 1), (1, 2, 3), (0, 5, 5)])
def test_mix_is_kept_to_exactly_over_whole_blocks(small, mix):
    config = select(small, mix=mix)
    counts = np.bincount([r.label for r in simulate(config, 120, seed=1).records()], minlength=3)
    np.testing.assert_array_equal(counts, 120 * np.array(mix) / sum(mix))


def test_rare_class_appears_as_often_as_it_should(small):
    config = replace(select(small, classes=("no_sub", "cdm"), mix=(199, 1)))
    labels = [r.label for r in simulate(config, 2000, seed=1).records()]
    assert 4 <= sum(labels) <= 17


def test_labels_are_those_of_the_classes_chosen(small):
    config = select(small, classes=("axion", "no_sub"))
    assert set_header(config, 0).class_names == ("axion", "no_sub")
    for record in simulate(config, 12, seed=0).records():
        has_vortex = math.isfinite(record.parameters["vortex_length"])
        assert has_vortex == (record.label == 0)


def test_peak_images_span_zero_to_one_and_can_be_undone(deeplense):
    flux = replace(deeplense, imaging=replace(deeplense.imaging, flux_unit="e-/s"))
    for index in range(3):
        scaled, record = simulate_one(deeplense, 1, index), simulate_one(flux, 1, index)
        assert scaled.image.dtype == np.float32
        assert scaled.image.shape == (1, 150, 150)
        assert (scaled.image.min(), scaled.image.max()) == (0, 1)
        low, high = scaled.parameters["flux_min"], scaled.parameters["flux_max"]
        np.testing.assert_allclose(
            scaled.image * (high - low) + low, record.image, atol=1e-6 * high
        )


@pytest.mark.parametrize(("size", "method"), [(28, "bilinear"), (50, "area"), (64, "area")])
def test_size_reduces_the_native_image_and_says_how(deeplense, size, method):
    config = select(deeplense, size=size)
    header = set_header(config, 3)
    assert header.resize == method
    assert header.pixel_scale_arcsec == pytest.approx(0.05 * 150 / size)
    native, reduced = simulate_one(deeplense, 3, 0), simulate_one(config, 3, 0)
    assert reduced.image.shape == (1, size, size)
    expected = resize(native.image.astype(np.float64), size, method)
    np.testing.assert_allclose(reduced.image, expected, atol=1e-6)


def test_fewer_native_pixels_are_a_smaller_field():
    config = simulation_preset("euclid")
    telescope = Telescope(name="Euclid", band="VIS")
    config = replace(config, imaging=replace(config.imaging, instrument=telescope))
    small = select(config, num_pixels=64)
    assert set_header(small, 0).pixel_scale_arcsec == pytest.approx(0.101)
    assert set_header(small, 0).resize is None
    whole, part = (
        simulate_one(select(each, noise_free=True), 3, 1).noise_free[0] for each in (config, small)
    )
    # The light beyond the field that the convolution would bring in is missing at the edge.
    np.testing.assert_allclose(
        part[8:-8, 8:-8], whole[26:-26, 26:-26], rtol=1e-3, atol=1e-4 * whole.max()
    )


def test_native_size_needs_no_resize(deeplense):
    for config in (deeplense, select(deeplense, size=150)):
        header = set_header(config, 3)
        assert header.resize is None
        assert header.pixel_scale_arcsec == pytest.approx(0.05)


def test_reduced_flux_is_per_reduced_pixel():
    config = simulation_preset("euclid")
    native = simulate_one(config, 3, 0).image.sum()
    assert simulate_one(select(config, size=50), 3, 0).image.sum() == pytest.approx(
        native, rel=1e-4
    )


def test_twin_is_the_image_without_noise():
    config = select(simulation_preset("deeplense-sim"), noise_free=True)
    record = simulate_one(config, 3, 0)
    assert record.noise_free.shape == record.image.shape
    assert record.noise_free.dtype == np.float32
    sky = (record.image - record.noise_free)[0, :20, :20]
    assert sky.std() == pytest.approx(0.01, rel=0.15)
    assert record.noise_free[0, :20, :20].max() < 0.003


@pytest.mark.parametrize("size", [None, 28, 64])
@pytest.mark.parametrize("flux_unit", ["peak", "e-/s"])
def test_the_noisy_image_is_the_same_with_a_twin_and_without(deeplense, size, flux_unit):
    config = select(deeplense, size=size, flux_unit=flux_unit)
    alone, paired = simulate_one(config, 3, 1), simulate_one(select(config, noise_free=True), 3, 1)
    assert alone.noise_free is None
    assert same(alone, paired)


def test_a_twin_of_peak_is_scaled_by_the_extremes_of_the_noisy_image(deeplense):
    config = select(deeplense, noise_free=True, size=50)
    scaled, flux = (simulate_one(select(config, flux_unit=u), 3, 0) for u in ("peak", "e-/s"))
    low, high = flux.parameters["flux_min"], flux.parameters["flux_max"]
    # A pixel of 50 holds the flux of nine native ones.
    expected = (flux.noise_free / 9 - low) / (high - low)
    np.testing.assert_allclose(scaled.noise_free, expected, atol=1e-6)
    assert scaled.noise_free.min() > 0


@pytest.mark.parametrize("size", [28, 50])
def test_a_twin_goes_through_the_resize_of_its_image(deeplense, size):
    config = select(deeplense, noise_free=True, flux_unit="e-/s")
    native, reduced = simulate_one(config, 3, 0), simulate_one(select(config, size=size), 3, 0)
    expected = resize(native.noise_free.astype(np.float64), size, default_method(size))
    np.testing.assert_allclose(
        reduced.noise_free, expected * (150 / size) ** 2, rtol=1e-5, atol=1e-7
    )


def test_twin_and_unit_are_left_where_nothing_is_said(deeplense):
    changed = select(deeplense, noise_free=True, flux_unit="e-/s")
    assert select(changed, size=64).imaging == replace(changed.imaging, size=64)
    assert set_header(changed, 0).flux_unit == "e-/s"
    assert select(deeplense) == deeplense


def test_class_without_lensing_shows_the_source_once(deeplense):
    unlensed = replace(deeplense, classes=(LensClass(name="no_lens", lensed=False),), mix=(1.0,))
    record = simulate_one(unlensed, 3, 0)
    lensed = simulate_one(select(deeplense, classes=("no_sub",)), 3, 0)
    row, column = np.unravel_index(record.image[0].argmax(), (150, 150))
    assert (column - 74.5) * 0.05 == pytest.approx(record.parameters["source_x"], abs=0.1)
    assert (row - 74.5) * 0.05 == pytest.approx(record.parameters["source_y"], abs=0.1)
    assert math.isnan(record.parameters["theta_E"])
    assert record.parameters["flux_max"] < 2 * lensed.parameters["flux_max"]
    assert record.image.mean() < lensed.image.mean()


@pytest.mark.parametrize("name", SIMULATION_PRESETS)
def test_every_drawn_value_has_a_unit_and_the_configuration_survives_json(name):
    config = simulation_preset(name)
    header = set_header(config, 8)
    assert header.preset == name
    assert header.seed == 8
    assert from_json(SimulationConfig, header.config) == config
    for record in simulate(config, 3, seed=0).records():
        assert set(record.parameters) == set(header.parameter_units)
        assert np.isfinite(record.image).all()
        assert not np.isinf(list(record.parameters.values())).any()


@pytest.mark.parametrize("name", ["deeplense-sim", "euclid", "hst", "slacs"])
def test_other_presets_keep_flux_in_electrons_per_second(name):
    assert set_header(simulation_preset(name), 0).flux_unit == "e-/s"


def test_telescope_presets_have_lens_light():
    for name in ("euclid", "hst", "slacs"):
        alone = replace(simulation_preset(name), neighbours=())
        record = simulate_one(select(alone, classes=("no_sub",)), 0, 0)
        assert record.parameters["lens_light_magnitude"] < record.parameters["source_magnitude"]
        row, column = np.unravel_index(record.image[0].argmax(), record.image[0].shape)
        middle = (len(record.image[0]) - 1) / 2
        assert math.hypot(row - middle, column - middle) < 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": ("wdm",)}, "unknown class 'wdm'; choose from no_sub, cdm, axion"),
        ({"classes": ()}, "at least one class"),
        ({"classes": ("cdm", "cdm")}, "the class name 'cdm' is there twice"),
        ({"mix": (1, 2)}, "mix has 2 weights for the 3 classes no_sub, cdm, axion"),
        ({"mix": (0, 0, 0)}, "mix needs weights"),
        ({"mix": (1, -1, 1)}, "mix must not be negative"),
        ({"flux_unit": "Jy"}, "unknown flux unit 'Jy'; choose from peak, e-/s"),
        ({"size": 151}, "size must lie between 8 and the native 150 pixels"),
    ],
)
def test_impossible_choices_are_refused(deeplense, change, message):
    with pytest.raises(GravLensError, match=message):
        select(deeplense, **change)


@pytest.mark.parametrize(("num", "seed", "jobs"), [(0, 0, 1), (-1, 0, 1), (1, -1, 1), (1, 0, 0)])
def test_numbers_out_of_range_are_refused_at_the_call(deeplense, num, seed, jobs):
    with pytest.raises(GravLensError):
        simulate(deeplense, num, seed, num_jobs=jobs)


def test_unknown_preset_is_refused_with_those_there_are():
    with pytest.raises(
        GravLensError,
        match="choose from deeplense, deeplense-wide, deeplense-sim, euclid, hst, slacs",
    ):
        simulation_preset("jwst")
