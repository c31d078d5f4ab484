"""The exact posterior mean by simulation, beside a model's estimate."""

import numpy as np
import pytest
from posterior import Options, lenses_of, shares_left

from gravlensdiffusion.model.checkpoint import load_model
from gravlensdiffusion.simulation.simulated_set import simulate

OPTIONS = Options(lenses=1, num=150, tried=8, ratios=(0.6, 3.2, 50.0))


def test_nothing_but_the_substructure_is_drawn():
    (lens,) = lenses_of(OPTIONS)
    parameters = simulate(lens, 6, 1, classes=["axion"]).parameters
    (first,) = simulate("deeplense", 1, 7, classes=["axion"]).parameters["theta_E"]
    assert np.allclose(parameters["theta_E"], first)
    for name in ("source_x", "source_e2", "lens_e1", "gamma2", "source_R_sersic"):
        assert np.ptp(parameters[name]) == 0, name
    assert np.ptp(parameters["vortex_angle"]) > 0.5


def test_the_exact_estimate_finds_more_the_less_noise_there_is():
    model = load_model("lens28")
    (lens,) = lenses_of(OPTIONS)
    (few, low, own), (some, middle, _), (most, high, own_high) = shares_left(model, OPTIONS, lens)
    assert few < some < most
    assert most == pytest.approx(OPTIONS.num - OPTIONS.tried, rel=0.05)
    assert low < middle < high
    assert high == pytest.approx(1, abs=0.02)
    # No estimate is better; by as much only as so few simulations stand for all there are.
    assert low < 1.2 * own
    assert own_high > 0.9

    def smooth(x_t, t, condition):
        return model.denoiser._expected(condition, x_t)[0]

    denoiser, forward = model.denoiser, model.denoiser.forward
    try:
        denoiser.forward = smooth
        blind = [own for *_, own in shares_left(model, OPTIONS, lens)]
    finally:
        denoiser.forward = forward
    assert blind[0] == pytest.approx(blind[2])
    assert blind[0] > 1.5 * own
