"""Starting a network that has more than another, or draws larger images."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from gravlensdiffusion.codec import to_json
from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.config.model import DenoiserConfig, ScheduleConfig
from gravlensdiffusion.config.network import LensEquationConfig, UNetConfig
from gravlensdiffusion.model.build import Model, build_model
from gravlensdiffusion.model.checkpoint import write_folder
from gravlensdiffusion.model.folders import CONFIG, WEIGHTS
from gravlensdiffusion.presets.training import PRESETS
from gravlensdiffusion.training.start import start_from
from tests.models import LEARNED, ORDERED, awake
from tests.sources import tiny

EQUATION = LensEquationConfig(pixel_scale_arcsec=0.25)
PLAIN = UNetConfig(channels=(8,), attention_levels=(), embedding_dim=8, patch=2)


def save(model: Model, tmp_path: Path) -> None:
    """Write a model into the folder `old`."""
    files = {WEIGHTS: model.state_dict(), CONFIG: to_json(model.config).encode()}
    write_folder(tmp_path / "old", files)


def test_a_frame_of_another_size_goes_on_with_the_network_and_keeps_its_own_mean_image(
    tmp_path: Path,
) -> None:
    old = awake(replace(ORDERED, network=PLAIN))
    old.transform.mean.fill_(2.0)
    save(old, tmp_path)
    larger = build_model(replace(old.config, image_size=12), prior=old.prior)
    start_from(larger, tmp_path / "old")
    assert larger.transform.mean.shape[-1] == 12
    assert not larger.transform.mean.any()
    same = build_model(old.config, prior=old.prior)
    start_from(same, tmp_path / "old")
    assert torch.equal(same.transform.mean, old.transform.mean)
    for name, weight in larger.network.state_dict().items():
        assert torch.equal(weight, old.network.state_dict()[name])


@pytest.mark.parametrize(
    "changes",
    [
        {"refine_channels": 4},
        {"lens_equation": EQUATION},
        {"refine_channels": 4, "lens_equation": EQUATION, "patch": 4},
    ],
)
def test_what_a_network_has_in_addition_starts_without_effect(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    old = awake(replace(ORDERED, network=PLAIN))
    save(old, tmp_path)
    fresh = build_model(replace(ORDERED, network=replace(PLAIN, **changes)), prior=old.prior)
    start_from(fresh, tmp_path / "old")
    torch.manual_seed(0)
    x = torch.randn(1, 1, 8, 8)
    condition = Condition(label=torch.tensor([1]), parameters=torch.tensor([[1.1, 0.2, 9.0]]))
    if "patch" in changes:
        large = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        out = fresh.network(large, torch.zeros(1), condition)
        out = torch.nn.functional.avg_pool2d(out, 2)
    else:
        out = fresh.network(x, torch.zeros(1), condition)
    expected = old.network(x, torch.zeros(1), condition)
    assert float(expected.detach().std()) > 1e-2
    torch.testing.assert_close(out, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("changes", [{}, {"lens_equation": EQUATION}])
def test_a_refinement_that_becomes_wider_draws_what_it_drew_and_goes_on_from_there(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    network = replace(PLAIN, refine_channels=4, **changes)
    old = awake(replace(ORDERED, network=network))
    save(old, tmp_path)
    wide = replace(ORDERED, network=replace(network, refine_channels=6))
    fresh = build_model(wide, prior=old.prior)
    start_from(fresh, tmp_path / "old")
    torch.manual_seed(0)
    x = torch.randn(1, 1, 8, 8)
    condition = Condition(label=torch.tensor([1]), parameters=torch.tensor([[1.1, 0.2, 9.0]]))
    out = fresh.network(x, torch.zeros(1), condition)
    expected = old.network(x, torch.zeros(1), condition)
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)
    out.square().sum().backward()
    gradients = fresh.network.refine.conv_out.weight.grad
    assert gradients[:, 4:].abs().min() > 0


@pytest.mark.parametrize(
    ("features", "highest"), [("log", 1.0), ("index", 999.0)], ids=["log", "index"]
)
def test_a_deeper_network_has_the_levels_of_the_other_within_its_own(
    features: Any, highest: float, tmp_path: Path
) -> None:
    network = replace(PLAIN, channels=(8, 16), attention_levels=(1,), num_blocks=2)
    network = replace(network, noise_features=features)
    old = awake(replace(ORDERED, network=network))
    with torch.no_grad():  # a trained network does not follow the fastest sines
        old.network.noise_embedding[0].weight.unflatten(1, (2, -1))[:, :, 4:] = 0
    save(old, tmp_path)
    deeper = replace(network, patch=1, channels=(24, 8, 16), attention_levels=(2,))
    fresh = build_model(
        replace(ORDERED, network=replace(deeper, refine_channels=4)), prior=old.prior
    )
    start_from(fresh, tmp_path / "old")
    inner, whole = old.network, fresh.network
    pairs = (
        (inner.down, whole.down[2:]),
        (inner.downsample[1:], whole.downsample[2:]),
        (inner.middle, whole.middle),
        (inner.up, whole.up[: len(inner.up)]),
        (inner.upsample, whole.upsample[:-1]),
        ([inner.parameter_embedding], [whole.parameter_embedding]),
    )
    for before, after in pairs:
        for one, other in zip(before, after, strict=True):
            kept, found = one.state_dict(), other.state_dict()
            assert kept.keys() == found.keys()
            assert all(torch.equal(found[name], kept[name]) for name in kept)
    levels = torch.linspace(0, highest, 101)
    known, found = (
        each.noise_embedding[0](each.noise_features(levels)).detach() for each in (inner, whole)
    )
    assert float((found - known).std()) < 0.05 * float(known.std(dim=0).mean())
    condition = Condition(label=torch.tensor([1]), parameters=torch.tensor([[1.1, 0.2, 9.0]]))
    drawn = whole(torch.randn(1, 1, 8, 8), torch.zeros(1), condition)
    assert not drawn.any()
    drawn.sum().backward()
    assert whole.head.weight.grad.any()


def test_channels_of_the_lens_equation_are_carried_to_other_patches(tmp_path: Path) -> None:
    network = replace(PLAIN, lens_equation=EQUATION)
    old = awake(replace(ORDERED, network=network))
    save(old, tmp_path)
    fresh = build_model(replace(ORDERED, network=replace(network, patch=4)), prior=old.prior)
    start_from(fresh, tmp_path / "old")
    # A channel that is the same in all pixels of a patch says what it said before.
    before, after = (
        each.network.lens_stem.weight.detach().unflatten(1, (5, -1)).sum(dim=2)
        for each in (old, fresh)
    )
    torch.testing.assert_close(after, before)


@pytest.mark.parametrize("preset", PRESETS)
def test_each_kind_of_network_starts_from_its_own(preset: str, tmp_path: Path) -> None:
    if preset == "unet2d":
        pytest.importorskip("diffusers")
    network = tiny(preset).model.network
    denoiser = DenoiserConfig(prediction="v")
    plain = replace(
        LEARNED,
        image_size=12,
        class_names=(),
        network=network,
        denoiser=denoiser,
        schedule=ScheduleConfig(),
    )
    old, new = awake(plain), build_model(plain)
    save(old, tmp_path)
    start_from(new, tmp_path / "old")
    for name, weight in old.network.state_dict().items():
        assert torch.equal(new.network.state_dict()[name], weight), name
