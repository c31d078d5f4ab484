"""One set at another size: every command must make of it what `gravlens simulate --size` makes."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from gravlensdiffusion.classification.candidates import Candidates
from gravlensdiffusion.classification.classifier import LensClassifier
from gravlensdiffusion.config.classifier import ClassifierConfig
from gravlensdiffusion.evaluation.preparation import PreparedSource
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.metrics import physics
from gravlensdiffusion.presets.simulation import simulation_preset
from gravlensdiffusion.sets.flux import bring_to_size
from gravlensdiffusion.simulation.generate import select, set_header
from gravlensdiffusion.simulation.simulated_set import simulate
from gravlensdiffusion.store.reader import LensStore
from gravlensdiffusion.store.writer import write_store
from gravlensdiffusion.training.data import _complete, prepare_data
from tests.evaluation.sets import prepared
from tests.sources import tiny

NATIVE, NUM = 90, 14


@cache
def records(unit, size):
    config = _config(unit, size)
    return tuple(simulate(config, NUM, 3).records()), set_header(config, 3)


def _config(unit, size):
    preset = simulation_preset("deeplense")
    changes = {"num_pixels": NATIVE, "size": size, "flux_unit": unit, "noise_free": True}
    return select(preset, classes=["no_sub", "cdm"], **changes)


@pytest.fixture(params=[("e-/s", 45), ("e-/s", 28), ("peak", 45), ("peak", 28)])
def sets(request, tmp_path):
    """Return a set of native size, and the same simulation made at the size wanted."""
    unit, size = request.param
    stores = []
    for name, pixels in (("native", NATIVE), ("wanted", size)):
        images, header = records(unit, pixels)
        stores.append(LensStore(write_store(tmp_path / f"{name}.h5", images, header)))
    return stores


def trained(native, wanted, folder):
    config = tiny(size=wanted.image_shape[1])
    data = prepare_data(config, native, folder)
    model = _complete(config, native, data, config.model.transform, NUM)
    assert model.pixel_scale_arcsec == pytest.approx(wanted.header.pixel_scale_arcsec)
    assert model.resize == wanted.header.resize
    assert model.flux_unit == wanted.header.flux_unit
    return data.images[:]


def evaluated(native, wanted, _):
    pair = [PreparedSource(native, "native"), PreparedSource(wanted, "wanted")]
    ready, other = prepared(pair, size=wanted.image_shape[1])
    assert ready.resize_method == wanted.header.resize
    assert ready.pixel_scale_arcsec == pytest.approx(other.pixel_scale_arcsec)
    return ready.read(slice(None))


def learned_by_a_classifier(native, wanted, _):
    size = wanted.image_shape[1]
    source = LensClassifier(size=size).plan(native).source
    assert source.header.resize == wanted.header.resize
    return source.read(np.arange(NUM))


def sorted_by_a_classifier(native, wanted, _):
    header = wanted.header
    config = ClassifierConfig(
        image_size=wanted.image_shape[1],
        class_names=("no_sub", "cdm"),
        channels=(8,),
        strides=(2,),
        sky=(0.0,),
        noise=(1.0,),
        bright=(1.0,),
        class_mix=(0.5, 0.5),
        flux_unit=header.flux_unit,
        pixel_scale_arcsec=header.pixel_scale_arcsec,
        resize=header.resize,
        original_size=native.image_shape[1],
    )
    return Candidates.of(config, native).images.read(np.arange(NUM))


def balanced(native, wanted, _):
    return bring_to_size(
        native.read(slice(None)),
        size=wanted.image_shape[1],
        method=wanted.header.resize,
        window=float(native.image_shape[1]),
        flux_unit=native.header.flux_unit,
    )


COMMANDS = (trained, evaluated, learned_by_a_classifier, sorted_by_a_classifier, balanced)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_makes_what_a_simulation_of_that_size_is(command, sets, tmp_path):
    native, wanted = sets
    expected = wanted.read(slice(None))
    found = command(native, wanted, tmp_path / "run")
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < 1e-5 * expected.max()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_reduced_peak_set_is_the_same_to_every_command_in_files_without_a_unit(command, tmp_path):
    images, header = records("peak", 45)
    store = LensStore(
        write_store(tmp_path / "set.h5", images, replace(header, pixel_scale_arcsec=None))
    )
    np.savez(
        tmp_path / "set.npz",
        images=store.read(slice(None)),
        labels=np.array(header.class_names)[store.labels],
    )
    wanted = store.resized(15)
    found = command(open_set(tmp_path / "set.npz"), wanted, tmp_path / "run")
    assert np.abs(found - wanted.read(slice(None))).max() < 1e-6


def test_twins_are_brought_to_size_with_their_images(sets):
    native, wanted = sets
    expected = wanted.read_noise_free(slice(None))
    found = native.resized(wanted.image_shape[1]).read_noise_free(slice(None))
    assert np.abs(found - expected).max() < 1e-5 * expected.max()


@pytest.mark.parametrize("told", ["e-/s", "peak"])
def test_a_set_without_a_unit_is_compared_in_that_of_the_other(told, tmp_path):
    (images, header), (small, small_header) = records(told, NATIVE), records(told, 45)
    silent = replace(header, flux_unit="unknown")
    pair = [
        PreparedSource(LensStore(write_store(tmp_path / name, some, about)), name)
        for name, some, about in (("a.h5", images, silent), ("b.h5", small, small_header))
    ]
    ready, other = prepared(pair, size=45)
    expected = other.read(slice(None))
    assert np.abs(ready.read(slice(None)) - expected).max() < 1e-5 * expected.max()


def test_encoders_see_the_same_lens_at_any_size(tmp_path):
    """At 28 pixels as in the protocol of the reference: flux per pixel grows with the pixel."""
    images, header = records("e-/s", NATIVE)
    store = LensStore(write_store(tmp_path / "set.h5", images, header))
    source = PreparedSource(store, "set")
    source = prepared([source, source])[0]
    small = source.at(28)
    seen, seen_small = (
        each.preparation.on_peak_scale(each.pixels(slice(None))) for each in (source, small)
    )
    assert seen_small.mean() == pytest.approx(seen.mean(), rel=1e-2)
    flux, flux_small = (
        physics.measure(each.pixels(slice(None)), 1.0)["total_flux"] for each in (source, small)
    )
    assert np.median(flux_small / flux) == pytest.approx(1, abs=0.05)
