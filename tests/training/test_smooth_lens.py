"""Models that draw about the image of the smooth lens."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gravlensdiffusion import LensGenerator, simulate, train
from gravlensdiffusion.codec import from_json, to_json
from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.config.instrument import SkyCorrelation
from gravlensdiffusion.config.model import ModelConfig
from gravlensdiffusion.config.network import SmoothLensConfig, UNetConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.model.checkpoint import load_model
from gravlensdiffusion.model.expectation import Expectation, fit_spread
from gravlensdiffusion.simulation.observe import noise_std
from gravlensdiffusion.training.adapt import adapt
from gravlensdiffusion.training.diffusion import open_training
from tests.sources import tiny

SIZE = 12


def trained(folder, source, **changes):
    """Train a tiny model for a moment and return its smooth lens."""
    config = tiny("lens64", total_images=16, size=SIZE, **changes)
    train(config, source, folder, device="cpu")
    network = load_model(folder).config.network
    assert isinstance(network, UNetConfig)
    return None if network.lens_equation is None else network.lens_equation.smooth


@pytest.fixture(scope="module")
def lenses():
    return simulate("deeplense", 48, 3, size=SIZE, noise_free=True, flux_unit="e-/s")


@pytest.fixture(scope="module")
def folder(lenses, tmp_path_factory):
    folder = tmp_path_factory.mktemp("smooth")
    found = trained(folder, lenses)
    assert replace(found, spread=1.0, class_spread={}, brightest=0.0) == SmoothLensConfig(
        num_pixels=150, psf_fwhm_arcsec=0.087, zero_point=25.0
    )
    return folder


@pytest.mark.parametrize("table", [None, ((1.0, 0.37), (0.37, 0.148))])
@pytest.mark.parametrize("exposure_time", [None, 1000.0])
def test_the_signal_to_noise_is_that_of_the_noise_that_is_drawn(folder, table, exposure_time):
    model = load_model(folder)
    correlation = None if table is None else SkyCorrelation(table=table)
    observation = replace(
        model.config.observation, exposure_time=exposure_time, sky_correlation=correlation
    )
    parameters = model.prior[:3, 1:].double()
    flux = model.expected.smooth.native(parameters).numpy()
    found = model.expected.signal_to_noise(parameters, observation)
    ratios = flux / noise_std(flux, observation, correlation)
    np.testing.assert_allclose(found, np.linalg.norm(ratios, axis=(1, 2)), rtol=1e-5)


def test_guidance_needs_a_class_where_both_estimates_know_the_lens(folder):
    generator = LensGenerator.from_pretrained(folder, device="cpu")
    assert generator.request(2, label="cdm", guidance=2.0).guidance == 2
    with pytest.raises(GravLensError, match="has nothing to guide by: no class is asked for"):
        generator.request(2, label="any", guidance=2.0)


def test_the_spread_is_that_of_images_about_the_smooth_lens(folder, lenses):
    model = load_model(folder)
    x = model.transform(torch.from_numpy(lenses.read_noise_free(np.arange(48))))
    names = [each.name for each in model.config.parameters]
    given = torch.from_numpy(np.stack([lenses.parameters[name] for name in names], axis=1))
    label = torch.from_numpy(lenses.labels).long()
    mean, std, _ = model.expected(Condition(label=torch.full((48,), -1), parameters=given), x)
    assert std.shape == x.shape
    no_sub = torch.from_numpy(lenses.labels == lenses.header.class_names.index("no_sub"))
    assert (x - mean)[no_sub].abs().max() < 0.01
    # Substructure moves light: where there is more of it, images differ more.
    flux = model.expected.smooth(given)
    order = flux.flatten().argsort()
    error, said = ((each.square().flatten())[order] for each in (x - mean, std))
    shares = [
        (error[part].mean() / said[part].mean()).item() for part in torch.arange(x.numel()).chunk(6)
    ]
    assert shares == pytest.approx([1] * 6, abs=0.5)
    assert std.min().item() < 0.001  # Where there is no light, there is none to be moved.
    assert std.max() > 0.1
    # A class has its own: where there is no substructure, next to none.
    same, own, _ = model.expected(Condition(label=label, parameters=given), x)
    assert torch.equal(same, mean)
    assert own[no_sub].max() < 0.01
    assert own.square().mean().item() == pytest.approx(std.square().mean().item(), rel=0.2)
    for label_of_class in range(1, 3):
        rows = label == label_of_class
        error, said = (x - mean)[rows].square().mean(), own[rows].square().mean()
        assert error.item() == pytest.approx(said.item(), rel=0.3)
    # Where something is not given, the mean image is all that is known.
    given[5, names.index("gamma1")] = torch.nan
    mean, fewer, _ = model.expected(Condition(label=torch.full((48,), -1), parameters=given), x)
    assert (mean[5] == 0).all()
    assert (fewer[5] == 1).all()
    others = torch.arange(48) != 5
    assert torch.equal(fewer[others], std[others])
    assert (model.expected(None, x)[0] == 0).all()


def test_one_spread_holds_for_all_pixels(folder):
    model = load_model(folder)
    equation = model.config.network.lens_equation
    smooth = replace(equation.smooth, spread=0.125, class_spread={}, brightest=0.0)
    network = replace(model.config.network, lens_equation=replace(equation, smooth=smooth))
    text = to_json(replace(model.config, network=network))
    assert "class_spread" not in text  # Models of before lack these, too.
    assert "brightest" not in text
    given = Condition(label=torch.tensor([-1, 0, 1, 2]), parameters=model.prior[:4, 1:].double())
    like = torch.zeros(4, 1, SIZE, SIZE)
    expected = Expectation.of(from_json(ModelConfig, text), model.transform)
    mean, std, greatest = expected(given, like)
    assert torch.equal(mean, model.expected(given, like)[0])
    assert (std == 0.125).all()
    assert greatest is None


def test_a_draw_is_of_the_lens_that_it_was_given(folder, lenses):
    # A network that has learned next to nothing leaves what is known.
    generator = LensGenerator.from_pretrained(folder)
    names = [each.name for each in generator.config.parameters]
    rows = np.flatnonzero(lenses.labels == lenses.header.class_names.index("no_sub"))[:6]
    asked = {name: lenses.parameters[name][rows] for name in names}
    drawn = generator.sample(6, label="cdm", parameters=asked, noise_free=True)
    known = lenses.read_noise_free(rows)
    assert np.abs(drawn.noise_free - known).max() < 0.5 * known.max()
    others = np.roll(known, 1, axis=0)
    error, distance = (np.abs(drawn.noise_free - each).sum((1, 2, 3)) for each in (known, others))
    assert (error < distance).all()


def test_nothing_is_left_to_the_network_of_a_class_without_substructure(folder, lenses):
    generator = LensGenerator.from_pretrained(folder)
    torch.nn.init.normal_(generator.model.network.head.weight, std=0.3)
    names = [each.name for each in generator.config.parameters]
    rows = np.flatnonzero(lenses.labels == lenses.header.class_names.index("no_sub"))[:6]
    asked = {name: lenses.parameters[name][rows] for name in names}
    known = lenses.read_noise_free(rows)
    for label, least, most in (("no_sub", 0, 0.002), ("cdm", 0.01, 1)):
        drawn = generator.sample(6, label=label, parameters=asked, noise_free=True).noise_free
        assert least <= np.abs(drawn - known).max() / known.max() < most


def test_no_image_is_brighter_than_lensing_makes_one(folder, lenses):
    generator = LensGenerator.from_pretrained(folder)
    smooth = generator.model.config.network.lens_equation.smooth
    names = [each.name for each in generator.config.parameters]
    asked = {name: lenses.parameters[name][:12] for name in names}
    given = torch.from_numpy(np.stack([asked[name] for name in names], axis=1))
    of_smooth = generator.model.expected.smooth(given).flatten(1).amax(1).numpy()
    known = lenses.read_noise_free(np.arange(12)).max((1, 2, 3)) / of_smooth
    assert np.quantile(known, 0.9) < smooth.brightest < 1.02 * known.max() < 1.1
    torch.nn.init.normal_(generator.model.network.head.weight, std=0.3)
    drawn = generator.sample(12, label="cdm", parameters=asked, noise_free=True).noise_free
    ratio = drawn.max((1, 2, 3)) / of_smooth
    assert ratio.max() == pytest.approx(smooth.brightest, rel=1e-4)


def test_images_of_its_instrument_that_a_model_learns_later_may_have_more_light(folder):
    model = load_model(folder)
    before = model.config.network.lens_equation.smooth
    found = fit_spread(model.config, None, model.transform, keeps=True)
    assert found.network.lens_equation.smooth == replace(before, brightest=0.0)


def test_images_of_one_noise_start_as_far_apart_as_their_lenses(folder):
    generator = LensGenerator.from_pretrained(folder)
    asked = dict(zip(*_first_lens(generator), strict=True))
    one, other = (
        next(generator.trajectory(generator.request(1, parameters=asked | {"theta_E": radius})))
        for radius in (1.0, 1.3)
    )
    given = torch.tensor([[*asked.values()]] * 2, dtype=torch.float64)
    given[:, [*asked].index("theta_E")] = torch.tensor([1.0, 1.3])
    condition = Condition(label=torch.full((2,), -1), parameters=given)
    mean, _, _ = generator.model.expected(condition, one.x_t.expand(2, -1, -1, -1))
    apart = one.alpha_t * (mean[0] - mean[1])
    assert apart.abs().max() > 0.01
    assert (one.x_t - other.x_t - apart).abs().max() < 0.05 * apart.abs().max()


def _first_lens(generator):
    """Return names and values of the parameters of the first training image."""
    names = [each.name for each in generator.config.parameters]
    return names, generator.model.prior[0, 1:].tolist()


@pytest.mark.parametrize("order", ["as it is", "by class"])
def test_the_order_of_the_set_changes_no_spread(order, lenses, tmp_path, monkeypatch):
    for name, value in (("NUM_SPREAD", 12), ("BATCH", 12), ("LEAST_COUNT", 5)):
        monkeypatch.setattr(f"gravlensdiffusion.model.expectation.{name}", value)
    rows = np.argsort(lenses.labels, kind="stable") if order == "by class" else np.arange(48)
    # By class, the first 12 would all be without substructure, and differ by nothing.
    found = trained(tmp_path, lenses.select(rows))
    assert np.mean(found.spread) > 0.01


def test_it_knows_lenses_from_the_start(lenses, tmp_path):
    config = tiny("lens64", total_images=12_000, size=SIZE)
    with open_training(config, lenses, tmp_path, device="cpu", writes=False) as training:
        assert "draw more than noise" not in training.state.doubt
    network = replace(config.model.network, lens_equation=None)
    config = replace(config, model=replace(config.model, network=network))
    with open_training(config, lenses, tmp_path, device="cpu", writes=False) as training:
        assert "draw more than noise" in training.state.doubt


@pytest.mark.parametrize("preset", ["euclid", "slacs"])
def test_lenses_that_show_more_than_a_smooth_source_are_learned_as_they_are(preset, tmp_path):
    source = simulate(preset, 24, 3, size=SIZE, noise_free=True, flux_unit="e-/s")
    known = tuple(name for name in ("theta_E", "gamma1", "source_x") if name in source.parameters)
    assert trained(tmp_path, source, parameters=known) is None


def test_a_model_adapted_to_other_images_begins_at_more_noise(folder):
    peaks = simulate("deeplense", 30, 5, size=SIZE)
    known = load_model(folder).config.schedule
    assert known.sigma_max < 6 * SIZE
    assert adapt(folder, peaks).config.model.schedule == replace(known, sigma_max=6 * SIZE)


def test_a_file_cannot_ask_for_more_than_a_machine_has():
    for wrong in (
        {"num_pixels": 10**6},
        {"zero_point": 1e6},
        {"spread": 0.0},
        {"spread": (0.1, -1.0)},
        {"spread": ()},
        {"class_spread": {"cdm": (0.1, 0.0)}, "spread": (0.1, 0.1)},
        {"class_spread": {"cdm": (0.1,)}, "spread": (0.1, 0.1)},
    ):
        with pytest.raises(GravLensError, match=next(iter(wrong))):
            SmoothLensConfig(**wrong)
