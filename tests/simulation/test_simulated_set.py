import numpy as np
import pytest

from gravlensdiffusion import open_set, simulate, write_store
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.simulation.simulated_set import SimulatedSet


def small(num=70, seed=4, **changes):
    return simulate("deeplense", num, seed, size=14, flux_unit="e-/s", noise_free=True, **changes)


def test_a_simulation_is_the_set_that_it_is_written_as(tmp_path):
    lenses = small()
    stored = open_set(write_store(tmp_path / "lenses.h5", lenses))
    assert len(stored) == len(lenses) == 70
    assert (stored.header, stored.image_shape) == (lenses.header, lenses.image_shape)
    assert stored.has_noise_free
    assert np.array_equal(stored.labels, lenses.labels)
    some = [65, 3, 3, 64]
    assert np.array_equal(stored.read(some), lenses.read(some))
    assert np.array_equal(stored.read_noise_free(some), lenses.read_noise_free(some))
    assert np.array_equal(lenses.read(slice(60, 62)), stored.read([60, 61]))
    assert lenses.parameters.keys() == stored.parameters.keys()
    for name, values in lenses.parameters.items():
        np.testing.assert_array_equal(values, stored.parameters[name], err_msg=name)
    assert np.array_equal(lenses.subhaloes, stored.subhaloes)
    assert lenses.name(3) == "deeplense, seed 4, image 3"


def test_views_of_a_simulation_are_sets(tmp_path):
    lenses = small(20)
    chosen = lenses.select([7, 2]).resized(7)
    assert chosen.shape == (2, 1, 7, 7)
    assert np.array_equal(chosen.labels, lenses.labels[[7, 2]])
    assert np.array_equal(lenses.twins().read([5]), lenses.read_noise_free([5]))


def test_a_part_continues_the_set():
    lenses, part = small(130), small(3, start=119)
    assert isinstance(lenses, SimulatedSet)
    assert np.array_equal(part.labels, lenses.labels[119:122])
    assert np.array_equal(part.read([2]), lenses.read([121]))
    assert np.array_equal(lenses.part(range(119, 122)).read([0]), part.read([0]))


def test_what_is_none_is_refused_at_the_call():
    with pytest.raises(GravLensError, match="choose from deeplense, "):
        simulate("jwst", 3)
    with pytest.raises(GravLensError, match="no noise-free images"):
        simulate("deeplense", 3).read_noise_free([0])
    with pytest.raises(IndexError, match="0 to 2"):
        simulate("deeplense", 3).read([3])
