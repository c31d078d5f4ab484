"""A simulation whose images all have the values that were asked for."""

import numpy as np
import pytest

from gravlensdiffusion.presets.simulation import SIMULATION_PRESETS, simulation_preset
from gravlensdiffusion.simulation.population import pinned, prior_bounds
from gravlensdiffusion.simulation.simulated_set import simulate

VALUES = {
    "theta_E": 1.3,
    "source_x": 0.2,
    "source_y": -0.1,
    "gamma1": 0.05,
    "lens_e2": 0.01,
    "source_R_sersic": 0.3,
    "source_n_sersic": 1.5,
}


@pytest.mark.parametrize("preset", SIMULATION_PRESETS)
def test_values_are_those_of_every_image(preset):
    config = pinned(simulation_preset(preset), VALUES | {"axion_mass": 1.0, "gamma2": np.nan})
    found = simulate(config, 3, seed=1, classes=["cdm"], num_pixels=24).parameters
    for name, value in VALUES.items():
        np.testing.assert_allclose(found[name], value, err_msg=name)
    # What is left out is the same everywhere, too: all of the smooth lens but its light.
    for name, (low, high) in prior_bounds(config).items():
        assert low == high, name
    for name in ("gamma2", "source_e1", "lens_x", "lens_y"):
        assert np.ptp(found[name]) == 0, name


def test_the_lens_is_where_it_is_asked_for():
    config = simulation_preset("slacs")
    assert np.ptp(simulate(config, 3, num_pixels=24).parameters["lens_x"]) > 0
    found = simulate(pinned(config, {"lens_x": 0.03, "lens_y": -0.02}), 3, num_pixels=24).parameters
    np.testing.assert_allclose((found["lens_x"], found["lens_y"]), [[0.03] * 3, [-0.02] * 3])


def test_what_is_not_given_takes_the_middle_of_its_prior():
    config = pinned(simulation_preset("deeplense"), {"theta_E": 1.2})
    found = simulate(config, 1, num_pixels=24).parameters
    assert found["gamma1"][0] == pytest.approx(0.145)
    assert found["lens_e1"][0] == pytest.approx(-0.04)
    assert (found["source_x"][0], found["source_y"][0]) == (0, 0)


def test_substructure_is_drawn_as_before():
    config = pinned(simulation_preset("deeplense"), VALUES)
    found = simulate(config, 4, classes=["cdm"], num_pixels=24).parameters
    assert np.ptp(found["subhalo_count"]) > 0
