import copy
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gravlensdiffusion.config.classifier import EncoderConfig
from gravlensdiffusion.model.checkpoint import load_encoder, save_model
from gravlensdiffusion.presets.simulation import simulation_preset
from gravlensdiffusion.simulation.generate import select
from gravlensdiffusion.simulation.render import Renderer
from gravlensdiffusion.simulation.simulated_set import simulate
from gravlensdiffusion.simulation.substructure import Substructure

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    from encoder_training import (
        TARGETS,
        EncoderSet,
        encode,
        train_encoder,
        truth,
        turn,
        whiten,
    )

CONFIG = EncoderConfig(
    name="test",
    image_size=16,
    channels=(8, 16),
    strides=(2, 2),
    num_features=8,
    targets=TARGETS,
    target_means=(0.0,) * len(TARGETS),
    target_stds=(1.0,) * len(TARGETS),
    class_names=("small", "large"),
)


def rings(num, seed):
    """Rings of a radius that is theta_E, off the middle by the source's position."""
    rng = np.random.default_rng(seed)
    radius, x0, y0 = rng.uniform(3, 6, num), rng.uniform(-1, 1, num), rng.uniform(-1, 1, num)
    y, x = np.mgrid[:16, :16] - 7.5
    distance = np.hypot(x - x0[:, None, None], y - y0[:, None, None])
    images = np.exp(-0.5 * ((distance - radius[:, None, None]) / 1.2) ** 2)
    images += 0.01 + 0.003 * rng.normal(size=images.shape)
    nothing = rng.normal(0, 0.1, (2, num))
    parameters = {
        "theta_E": radius,
        "source_x": x0,
        "source_y": y0,
        "gamma1": nothing[0],
        "gamma2": nothing[1],
        "signal_to_noise": rng.uniform(50, 100, num),
    }
    labels = (radius > 4.5).astype(np.int64)
    targets = truth(parameters, images.mean((1, 2)))
    return EncoderSet(images=images.astype(np.float32), targets=targets, labels=labels)


@pytest.fixture(scope="module")
def trained():
    return train_encoder(CONFIG, rings(1500, 0), epochs=12, batch_size=50)


@torch.no_grad()
def test_it_learns_where_a_ring_is_and_how_large(trained):
    held_out = rings(300, 1)
    targets, logits = trained.estimate(encode(trained, held_out.images))
    for name in ("theta_E", "source_x", "source_y"):
        column = TARGETS.index(name)
        true = held_out.targets[:, column]
        error = targets.numpy()[:, column] - true
        assert error.std() < 0.4 * true.std(), name
    guessed = logits.numpy().argmax(1)
    assert (guessed == held_out.labels).mean() > 0.9


def test_training_is_a_function_of_its_seed():
    one, two, other = (
        train_encoder(CONFIG, rings(100, 0), epochs=1, batch_size=50, seed=seed)
        for seed in (0, 0, 1)
    )
    assert torch.equal(one.features.weight, two.features.weight)
    assert not torch.equal(one.features.weight, other.features.weight)


def test_training_begins_with_an_encoder_of_its_size_or_the_convolutions_of_another(trained):
    same = train_encoder(CONFIG, rings(100, 0), epochs=0, init=trained)
    assert all(
        torch.equal(value, trained.state_dict()[name]) for name, value in same.state_dict().items()
    )
    larger = replace(CONFIG, image_size=2 * CONFIG.image_size)
    begun = train_encoder(larger, rings(100, 0), epochs=0, init=trained)
    for name, value in begun.stages.state_dict().items():
        assert torch.equal(value, trained.stages.state_dict()[name]), name
    assert not torch.equal(begun.features.weight, trained.features.weight)


@torch.no_grad()
def test_whitened_features_have_unit_covariance_and_say_the_same(trained):
    encoder, images = copy.deepcopy(trained), rings(200, 3).images
    before = encoder.estimate(encode(encoder, images))
    whiten(encoder, encode(encoder, images))
    after = encode(encoder, images)
    torch.testing.assert_close(after.mean(0), torch.zeros(8), atol=1e-3, rtol=0)
    torch.testing.assert_close(torch.cov(after.T), torch.eye(8), atol=1e-3, rtol=0)
    torch.testing.assert_close(encoder.estimate(after), before, atol=1e-3, rtol=1e-3)


@torch.no_grad()
def test_half_precision_on_disk_changes_little(trained, tmp_path):
    images = rings(50, 2).images
    save_model(tmp_path / "encoder16", trained, half=True)
    loaded = load_encoder(tmp_path / "encoder16")
    before, after = encode(trained, images), encode(loaded, images)
    assert loaded.config == trained.config
    assert (before - after).abs().max() < 0.01 * before.std()


@pytest.mark.parametrize("symmetry", range(8))
def test_turned_lenses_are_the_lenses_of_turned_parameters(symmetry):
    """Turn a simulated image; render the lens whose parameters were turned; compare."""
    config = select(simulation_preset("deeplense-wide"), classes=("no_sub",))
    imaging = replace(config.imaging, num_pixels=40, size=None)
    values = dict(next(simulate(config, 1, seed=3).records()).parameters)
    values |= {"lens_e1": 0.0, "lens_e2": 0.0, "lens_x": 0.0, "lens_y": 0.0}
    values |= {"source_e1": 0.0, "source_e2": 0.0}
    renderer = Renderer(config.cosmology, imaging)
    smooth = Substructure(parameters={"vortex_length": math.nan})
    image = renderer.image(values, smooth)
    targets = torch.tensor([[values.get(name, 0.0) for name in TARGETS]])
    turned, new = turn(torch.from_numpy(image)[None], targets, symmetry)
    names = ("source_x", "source_y", "gamma1", "gamma2")
    moved = {name: float(new[0, TARGETS.index(name)]) for name in names}
    again = renderer.image(values | moved, smooth)
    np.testing.assert_allclose(turned[0].numpy(), again, rtol=0, atol=1e-6 * image.max())


def test_truth_takes_logarithms():
    parameters = {
        name: np.array([0.5]) for name in ("theta_E", "source_x", "source_y", "gamma1", "gamma2")
    } | {"signal_to_noise": np.array([100.0])}
    found = truth(parameters, np.array([0.05]))[0]
    assert found[TARGETS.index("log_signal_to_noise")] == pytest.approx(2)
    assert found[TARGETS.index("log_mean_flux")] == pytest.approx(math.log10(0.05))
