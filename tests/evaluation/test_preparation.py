import numpy as np
import pytest

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.evaluation import preparation
from gravlensdiffusion.evaluation.measure import Encoder, measure_images
from gravlensdiffusion.evaluation.preparation import PreparedSource
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.presets.simulation import simulation_preset
from gravlensdiffusion.simulation.generate import select, set_header
from gravlensdiffusion.simulation.simulated_set import simulate
from gravlensdiffusion.store.writer import write_store
from tests.evaluation.sets import prepared


def opened(tmp_path, name, images):
    path = tmp_path / f"{name}.npz"
    np.savez(path, images=images)
    return PreparedSource(open_set(path), name)


def ring(num, size, seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    image = np.exp(-0.5 * ((np.hypot(x, y) / size - 0.2) / 0.05) ** 2)
    noise = 0.003 * rng.normal(size=(num, size, size))
    return (scale * (image + 0.012 + noise)).astype(np.float32)


def test_sets_of_different_sizes_need_a_size(tmp_path):
    sets = [opened(tmp_path, "small", ring(4, 28)), opened(tmp_path, "large", ring(4, 56))]
    with pytest.raises(GravLensError, match=r"small has 28, large has 56.*`size` 28"):
        prepared(sets)
    small, large = prepared(sets, size=28)
    assert small.pixels([0]).shape == large.pixels([0]).shape == (1, 28, 28)
    assert large.resize_method == "bilinear"
    assert small.resize_method is None


@pytest.mark.parametrize("size", [0, 57])
def test_impossible_sizes_are_refused(tmp_path, size):
    sets = [opened(tmp_path, "one", ring(4, 56)), opened(tmp_path, "two", ring(4, 56))]
    with pytest.raises(GravLensError, match=r"`size` must be at (least 1|most the 56 pixels)"):
        prepared(sets, size=size)


def test_images_that_are_too_small_are_told_by_their_own_size(tmp_path):
    sets = [opened(tmp_path, "one", ring(4, 56)), opened(tmp_path, "two", ring(4, 5))]
    with pytest.raises(GravLensError, match="one has 56, two has 5: images of 8 pixels a side or"):
        prepared(sets)


def test_eight_bit_images_are_divided_and_the_others_rounded_alike(tmp_path):
    whole = np.round(ring(8, 28) * 255).clip(0, 255).astype(np.uint8)
    sets = [opened(tmp_path, "bytes", whole), opened(tmp_path, "floats", ring(8, 28, seed=1))]
    ready = prepared(sets)
    np.testing.assert_allclose(ready[0].pixels(slice(None)) * 255, whole, atol=1e-3)
    floats = ring(8, 28, seed=1).clip(0, 1)
    np.testing.assert_allclose(
        ready[1].pixels(slice(None)) * 255, np.round(floats * 255), atol=1e-3
    )


def test_counts_are_no_eight_bit_images(tmp_path):
    counts = np.round(ring(8, 28) * 60_000).astype(np.float32)
    assert not opened(tmp_path, "counts", counts).is_eight_bit
    (ready, _) = prepared([opened(tmp_path, name, counts) for name in "ab"], rescale="peak")
    assert len(np.unique(ready.pixels([0]))) > 300


def test_eight_bits_cannot_be_asked_for_of_other_flux(tmp_path):
    sets = [
        opened(tmp_path, "one", ring(5, 28, scale=7)),
        opened(tmp_path, "two", ring(5, 28, 1, 7)),
    ]
    with pytest.raises(GravLensError, match="`rescale` peak"):
        prepared(sets, eight_bit=True)
    (first, _) = prepared(sets, rescale="peak", eight_bit=True)
    values = first.pixels(slice(None)) * 255
    np.testing.assert_allclose(values, np.round(values), atol=1e-3)


def test_floats_alone_are_not_rounded(tmp_path):
    images = ring(8, 28)
    sets = [opened(tmp_path, "one", images), opened(tmp_path, "two", ring(8, 28, seed=1))]
    np.testing.assert_array_equal(prepared(sets)[0].pixels([3])[0], images[3])


def test_peak_brings_each_image_to_its_own_extremes(tmp_path):
    sets = [opened(tmp_path, "one", ring(5, 28, scale=7)), opened(tmp_path, "two", ring(5, 28))]
    for each in prepared(sets, rescale="peak"):
        images = each.pixels(slice(None))
        np.testing.assert_allclose(images.min((1, 2)), 0, atol=1e-7)
        np.testing.assert_allclose(images.max((1, 2)), 1, atol=1e-6)


def test_encoders_see_any_flux_unit_on_the_scale_of_the_reference(tmp_path):
    """The generated images are twice as bright: the encoders must see that, not undo it."""
    sets = [
        opened(tmp_path, "generated", ring(50, 28, seed=1, scale=80.0)),
        opened(tmp_path, "reference", ring(50, 28, scale=40.0)),
    ]
    generated, reference = (
        each.preparation.on_peak_scale(each.pixels(slice(None)), (0.01, 0.9))
        for each in prepared(sets)
    )
    assert np.quantile(reference, 0.25, axis=(1, 2)).mean() == pytest.approx(0.01, abs=1e-5)
    assert reference.max((1, 2)).mean() == pytest.approx(0.9, abs=1e-5)
    faint, bright = (np.quantile(generated, q, axis=(1, 2)).mean() for q in (0.25, 1.0))
    assert bright - faint == pytest.approx(2 * (0.9 - 0.01), abs=0.05)


@pytest.mark.parametrize("size", [64, 150])
def test_an_encoder_measures_images_in_electrons_as_well_as_peak_scaled_ones(tmp_path, size):
    """The sky of a reduced image is fainter than what 22,500 native pixels put at zero, and the
    brightest pixel of a native one, in electrons, could be taken for that of a peak-scaled one."""
    found = {}
    for unit in ("peak", "e-/s"):
        config = select(simulation_preset("deeplense"), size=size, flux_unit=unit)
        path = tmp_path / f"{unit[0]}.h5"
        write_store(path, simulate(config, 60, 5).records(), set_header(config, 5))
        source = PreparedSource(open_set(path), unit)
        source = prepared([source, source])[0]
        estimates = measure_images(source.pixels(slice(None)), source, Encoder(size)).estimates
        truth = np.log10(source.parameters["signal_to_noise"])
        found[unit] = estimates["log_signal_to_noise"] - truth
    assert abs(found["e-/s"].mean()) < 0.02
    assert found["e-/s"].std() < 1.5 * found["peak"].std()


def test_blocks_and_digest_do_not_depend_on_how_a_set_is_read(tmp_path, monkeypatch):
    source = opened(tmp_path, "one", ring(30, 28))
    whole = source.pixels(slice(None))
    monkeypatch.setattr(preparation, "BLOCK", 7)
    np.testing.assert_array_equal(np.concatenate(list(source.pixel_blocks())), whole)
    assert source.digest == opened(tmp_path, "again", ring(30, 28)).digest
    assert source.digest != opened(tmp_path, "other", ring(30, 28, seed=1)).digest
