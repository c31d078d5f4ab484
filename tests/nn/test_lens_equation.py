"""The channels of the lens equation, against lenstronomy's ray shooting and light."""

import math

import numpy as np
import pytest
import torch
from lenstronomy.LensModel.lens_model import LensModel
from lenstronomy.LightModel.light_model import LightModel

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.config.model import ParameterConfig
from gravlensdiffusion.config.network import LensEquationConfig, SmoothLensConfig, UNetConfig
from gravlensdiffusion.nn.lens_equation import ABSENT, LensEquation, SmoothLens
from gravlensdiffusion.nn.unet import UNet
from gravlensdiffusion.sets.flux import weights
from gravlensdiffusion.simulation.simulated_set import simulate

SIZE, PIXEL_SCALE = 24, 0.15
LENS = {
    "theta_E": 1.2,
    "lens_x": 0.03,
    "lens_y": -0.02,
    "lens_e1": -0.08,
    "lens_e2": 0.05,
    "gamma1": 0.2,
    "gamma2": -0.03,
    "source_x": 0.2,
    "source_y": -0.11,
    "source_e1": 0.3,
    "source_e2": -0.06,
    "source_R_sersic": 0.47,
    "source_n_sersic": 1.3,
    "source_magnitude": 20.3,
}


def parameters(names: tuple[str, ...]) -> tuple[ParameterConfig, ...]:
    return tuple(
        ParameterConfig(name=name, low=LENS[name] - 0.25, high=LENS[name] + 0.35) for name in names
    )


def channels(
    names: tuple[str, ...], given: dict[str, float], config: LensEquationConfig
) -> torch.Tensor:
    equation = LensEquation(parameters(names), config)
    row = torch.tensor([[given.get(name, math.nan) for name in names]], dtype=torch.float64)
    return equation(row, SIZE)[0]


def lenstronomy_channels(values: dict[str, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return source-plane coordinates and surface brightness by lenstronomy itself."""
    axis = (np.arange(SIZE) - (SIZE - 1) / 2) * PIXEL_SCALE
    x, y = (grid.ravel() for grid in np.meshgrid(axis, axis))
    lens = LensModel(["SIE", "SHEAR"])
    sie = {"theta_E": values["theta_E"], "e1": values["lens_e1"], "e2": values["lens_e2"]}
    sie |= {"center_x": values["lens_x"], "center_y": values["lens_y"]}
    shear = {"gamma1": values["gamma1"], "gamma2": values["gamma2"]}
    beta_x, beta_y = lens.ray_shooting(x, y, [sie, shear])
    light = LightModel(["SERSIC_ELLIPSE"])
    sersic = {"R_sersic": values["source_R_sersic"], "n_sersic": values["source_n_sersic"]}
    sersic |= {"e1": values["source_e1"], "e2": values["source_e2"]}
    sersic |= {"center_x": values["source_x"], "center_y": values["source_y"]}
    flux = 10 ** (-0.4 * values["source_magnitude"])
    amplitude = flux / light.total_flux([sersic | {"amp": 1.0}])[0]
    seen = light.surface_brightness(beta_x, beta_y, [sersic | {"amp": amplitude}])
    return tuple(each.reshape(SIZE, SIZE) for each in (beta_x, beta_y, seen))


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"lens_e1": 0.0, "lens_e2": 0.0},
        {"lens_e1": 0.2, "gamma1": -0.1, "gamma2": 0.15, "source_n_sersic": 1.05},
    ],
    ids=["all", "round", "other"],
)
def test_channels_are_those_of_lenstronomy(changed: dict[str, float]) -> None:
    values = LENS | changed
    names = tuple(LENS)
    config = LensEquationConfig(pixel_scale_arcsec=PIXEL_SCALE)
    beta_x, beta_y, light, stretched, one = channels(names, values, config).double().numpy()
    truth_x, truth_y, truth_light = lenstronomy_channels(values)
    np.testing.assert_allclose(beta_x + values["source_x"], truth_x, atol=2e-5)
    np.testing.assert_allclose(beta_y + values["source_y"], truth_y, atol=2e-5)
    ratio = light / truth_light
    np.testing.assert_allclose(ratio, np.median(ratio), rtol=2e-3)
    assert (one == 1).all()
    assert (np.argsort(light, axis=None) == np.argsort(stretched, axis=None)).mean() > 0.9


def test_brightness_is_one_in_the_centre_of_the_mean_source() -> None:
    names = ("theta_E", "source_x", "source_R_sersic")
    middle = {each.name: (each.low + each.high) / 2 for each in parameters(names)}
    config = LensEquationConfig(pixel_scale_arcsec=1e-5)
    # A pixel at the origin of a lens without mass or shear shows the source's centre.
    light = channels(names, middle | {"theta_E": 1e-9, "source_x": 0.0}, config)[2]
    assert float(light.max()) == pytest.approx(1.0, abs=0.01)


def test_what_is_left_out_takes_its_middle_or_the_value_of_the_set() -> None:
    config = LensEquationConfig(
        pixel_scale_arcsec=PIXEL_SCALE, values={"source_R_sersic": 0.47, "lens_e1": -0.08}
    )
    names = ("theta_E", "gamma1")
    left_out = channels(names, {"theta_E": 1.2}, config)
    middle = channels(names, {"theta_E": 1.2, "gamma1": 0.25}, config)
    torch.testing.assert_close(left_out, middle)
    other = channels(names, {"theta_E": 1.2, "gamma1": 0.1}, config)
    assert float((other - middle).abs().max()) > 0.01
    full = ("theta_E", "gamma1", "source_R_sersic", "lens_e1")
    given = {"theta_E": 1.2, "gamma1": 0.25, "source_R_sersic": 0.47, "lens_e1": -0.08}
    # The scale is that of another mean source; the source plane is the same.
    torch.testing.assert_close(channels(full, given, config)[:2], middle[:2])


def test_an_image_without_an_einstein_radius_has_zeros() -> None:
    config = LensEquationConfig(pixel_scale_arcsec=PIXEL_SCALE)
    assert not channels(("theta_E", "gamma1"), {"gamma1": 0.1}, config).any()


def test_supersampling_averages_over_the_pixel() -> None:
    fine = LensEquationConfig(pixel_scale_arcsec=PIXEL_SCALE, supersampling=3)
    names = tuple(LENS)
    averaged = channels(names, LENS, fine)
    equation = LensEquation(
        parameters(names), LensEquationConfig(pixel_scale_arcsec=PIXEL_SCALE / 3)
    )
    row = torch.tensor([[LENS[name] for name in names]], dtype=torch.float64)
    points = equation(row, 3 * SIZE)[0]
    expected = points.unflatten(1, (SIZE, 3)).unflatten(3, (SIZE, 3)).mean(dim=(2, 4))
    torch.testing.assert_close(averaged, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("patch", [1, 2])
def test_network_sees_the_channels_and_does_without(patch: int) -> None:
    torch.manual_seed(0)
    config = UNetConfig(
        channels=(8,),
        attention_levels=(),
        patch=patch,
        lens_equation=LensEquationConfig(pixel_scale_arcsec=PIXEL_SCALE),
    )
    network = UNet(config, 1, 0, parameters(("theta_E", "gamma1")))
    torch.nn.init.normal_(network.head.weight)
    torch.nn.init.normal_(network.lens_stem.weight)
    x, noise = torch.randn(1, 1, 8, 8).expand(2, 1, 8, 8), torch.zeros(2)

    def out(*rows: tuple[float, float]) -> torch.Tensor:
        condition = Condition(label=torch.zeros(2).long(), parameters=torch.tensor(rows))
        return network(x, noise, condition).detach()

    # The embedding is silenced, so that a difference comes through the channels alone.
    torch.nn.init.zeros_(network.parameter_embedding[3].weight)
    ordered = out((1.2, 0.2), (1.3, 0.2))
    assert float((ordered[0] - ordered[1]).abs().max()) > 1e-3
    nothing = out((math.nan, math.nan), (math.nan, math.nan))
    torch.testing.assert_close(nothing, network(x, noise, None).detach(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("names", "pixel_scale"), [(("gamma1",), 0.1), (("theta_E",), 0.0), ((), 0.1)]
)
def test_a_model_that_lacks_what_it_takes_has_none(
    names: tuple[str, ...], pixel_scale: float
) -> None:
    equation = LensEquationConfig(pixel_scale_arcsec=pixel_scale)
    config = UNetConfig(channels=(8,), attention_levels=(), lens_equation=equation)
    network = UNet(config, 1, 0, parameters(names))
    assert network.lens_equation is None
    assert not any(name.startswith("lens_") for name, _ in network.named_parameters())


@pytest.mark.parametrize(("size", "method"), [(28, "bilinear"), (64, "area"), (150, None)])
def test_the_smooth_lens_is_that_of_the_simulation(size: int, method: str | None) -> None:
    lenses = simulate(
        "deeplense", 6, 4, classes=("no_sub",), size=size, noise_free=True, flux_unit="e-/s"
    )
    assert lenses.header.resize == method
    names = tuple(name for name in ABSENT if name in lenses.parameters)
    learned = tuple(ParameterConfig(name=name, low=-2.0, high=30.0) for name in names)
    config = LensEquationConfig(
        pixel_scale_arcsec=7.5 / size,
        smooth=SmoothLensConfig(num_pixels=150, psf_fwhm_arcsec=0.087, zero_point=25.0),
    )
    rows = weights(150, size, method or "area") * (150 / size)
    equation = LensEquation(learned, config)
    smooth = SmoothLens(equation, config, torch.from_numpy(rows))
    given = torch.tensor(np.stack([lenses.parameters[name] for name in names], axis=1))
    found = smooth(given).numpy()
    simulated = lenses.read_noise_free(np.arange(6))
    peak = simulated.max(axis=(1, 2, 3))
    error = np.abs(found - simulated).max(axis=(1, 2, 3)) / peak
    assert error.max() < 1e-3
    assert np.sum(found) == pytest.approx(np.sum(simulated), rel=1e-4)
    flux = smooth.native(given).numpy()
    ratio = np.linalg.norm(flux, axis=(1, 2)) / lenses.parameters["background_rms"]
    assert ratio == pytest.approx(lenses.parameters["signal_to_noise"], rel=1e-3)
    assert equation.are_given(given).all()
    given[2, 0] = math.nan
    assert equation.are_given(given).tolist() == [True, True, False, True, True, True]


def test_all_that_enters_has_a_value() -> None:
    assert set(LENS) == set(ABSENT)
