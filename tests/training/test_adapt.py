"""Adapting a model to a small set: what follows the model, what follows the set, what is learned."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gravlensdiffusion.config.training import EMAConfig, OptimiserConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.model.checkpoint import load_model, read_tensors
from gravlensdiffusion.model.folders import checkpoints
from gravlensdiffusion.training.adapt import FEW_PASSES, MIN_IMAGES, adapt
from gravlensdiffusion.training.counters import FROM_A_MODEL, Progress
from gravlensdiffusion.training.data import prepare_data
from gravlensdiffusion.training.diffusion import train
from gravlensdiffusion.training.start import LABELS
from gravlensdiffusion.training.validation import _choose_validation
from tests.models import ORDERED
from tests.sources import ArraySource, rings, tiny
from tests.training.adapting import SIZE, own_set, quick

pytestmark = pytest.mark.usefixtures("few_draws")

QUICK = OptimiserConfig(learning_rate=1e-2, beta2=0.95)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows small rings from large ones."""
    folder = tmp_path_factory.mktemp("known") / "run"
    average = EMAConfig(halflife_images=200, ramp=0.1)
    config = tiny(batch_size=32, total_images=3_200, checkpoint_images=10**6, ema=average)
    config = replace(config, optimiser=QUICK, log_images=10**6)
    train(config, rings(200, size=SIZE), folder, device="cpu")
    return folder


def unlabelled(source: ArraySource) -> ArraySource:
    """Return the set without its classes."""
    header = replace(source.header, class_names=())
    return replace(source, labels=np.full(len(source), -1, dtype=np.int16), header=header)


def rows(run: Path) -> dict[str | None, torch.Tensor]:
    """Return the embedding of each class, and under None that of any class."""
    model = load_model(run)
    names = (None, *model.config.class_names)
    return dict(zip(names, model.state_dict()[LABELS], strict=True))


@pytest.fixture(scope="module")
def adapted(known: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Progress]:
    """The model of rings, adapted to a set with blobs."""
    folder = tmp_path_factory.mktemp("adapted") / "run"
    config = adapt(known, own_set()).config
    stopping = replace(config.early_stopping, every_images=640)
    average = EMAConfig(halflife_images=200, ramp=0.1)
    config = quick(config, total_images=3_200, optimiser=QUICK, early_stopping=stopping)
    progress = train(replace(config, ema=average), own_set(), folder, device="cpu", init=known)
    return folder, progress


def test_a_class_that_no_model_has_seen_is_learned(adapted: tuple[Path, Progress]) -> None:
    run, progress = adapted
    assert progress.best_loss < 0.8 * progress.start_loss
    generator = LensGenerator.from_pretrained(run, device="cpu")
    centre = slice(SIZE // 2 - 1, SIZE // 2 + 1)
    found = {}
    for name in ("blob", "large"):
        images = generator.sample(24, label=name, seed=1, sampler="dpmpp", num_steps=10).images
        found[name] = np.median(images[:, 0, centre, centre].mean((1, 2)))
    truth = own_set()
    for label, name in enumerate(truth.header.class_names):
        expected = np.median(truth.images[truth.labels == label, 0, centre, centre].mean((1, 2)))
        assert found[name] == pytest.approx(expected, rel=0.35, abs=0.3), name
    assert found["blob"] > 5 * found["large"]


def test_known_classes_keep_their_embedding_and_a_new_one_gets_its_own(
    known: Path, adapted: tuple[Path, Progress], tmp_path: Path
) -> None:
    config = quick(adapt(known, own_set()).config)
    train(config, own_set(), tmp_path / "start", device="cpu", init=known)
    before, start, after = rows(known), rows(tmp_path / "start"), rows(adapted[0])
    assert list(start) == [None, "blob", "large"]
    assert torch.allclose(start[None], before[None], atol=1e-6)
    assert torch.allclose(start["large"], before["large"], atol=1e-6)
    assert torch.allclose(start["blob"], before[None], atol=1e-6)
    assert (before["large"] - before["small"]).norm() > 0.1
    assert (after["blob"] - after[None]).norm() > 0.1
    assert (after["blob"] - after["large"]).norm() > 0.1


def test_the_recipe_follows_the_model(simulated: Path) -> None:
    model = load_model(simulated).config
    source = own_set()
    found = adapt(simulated, source)
    config = found.config
    assert (config.preset, config.size) == ("adapt", model.image_size)
    assert config.model.network == model.network
    assert config.model.transform.kind == model.transform.kind
    assert config.optimiser.learning_rate <= 1e-3
    assert config.early_stopping.held_out == 0.1
    # What the set does not have, or has once for all, cannot be learned.
    assert config.parameters == ("theta_E", "source_x", "signal_to_noise")
    source.parameters["source_x"][:] = 0.1
    del source.parameters["signal_to_noise"]
    less = adapt(simulated, source)
    assert less.config.parameters == ("theta_E",)
    assert (
        f"classes of {simulated} that your images lack are lost: no_sub, cdm, axion" in less.notes
    )
    lost = "that your images lack are lost: source_x, signal_to_noise"
    assert f"parameters of {simulated} {lost}" in less.notes
    assert not any("parameters" in note for note in found.notes)


def test_a_set_without_labels_makes_a_model_without_classes(known: Path, tmp_path: Path) -> None:
    source = unlabelled(own_set())
    found = adapt(known, source)
    assert found.notes == (f"classes of {known} that your images lack are lost: small, large",)
    train(quick(found.config), source, tmp_path / "run", device="cpu", init=known)
    model = load_model(tmp_path / "run")
    assert model.config.class_names == ()
    assert LABELS not in model.state_dict()
    assert LensGenerator(model).sample(2, num_steps=2).images.shape == (2, 1, SIZE, SIZE)


def test_a_model_without_classes_learns_those_of_the_set(known: Path, tmp_path: Path) -> None:
    plain = unlabelled(own_set())
    bare = tmp_path / "bare"
    train(quick(adapt(known, plain).config), plain, bare, device="cpu", init=known)
    config = quick(adapt(bare, own_set()).config, optimiser=QUICK)
    train(config, own_set(), tmp_path / "run", device="cpu", init=bare)
    assert list(rows(tmp_path / "run")) == [None, "blob", "large"]


@pytest.mark.parametrize("noise", ["learned", "carried"])
def test_held_out_images_leave_no_trace(
    noise: str, known: Path, simulated: Path, tmp_path: Path
) -> None:
    init = known if noise == "learned" else simulated
    clean, poisoned = own_set(), own_set()
    held_out = _choose_validation(clean.labels, 0.1, seed=0)
    assert [int(held_out[clean.labels == label].sum()) for label in (0, 1)] == [12, 12]
    poisoned.images[held_out] = np.random.default_rng(0).normal(50, 5, (24, 1, SIZE, SIZE))
    weights, configs, losses = [], [], []
    for name, source in (("clean", clean), ("poisoned", poisoned)):
        config = quick(adapt(init, clean).config, optimiser=QUICK, total_images=320)
        assert config.noise == noise
        progress = train(config, source, tmp_path / name, device="cpu", init=init)
        folder = checkpoints(tmp_path / name)[-1].folder
        weights.append(read_tensors(folder / "model.safetensors"))
        configs.append(load_model(folder).config)
        losses.append(progress.start_loss)
    assert configs[0] == configs[1]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert losses[1] > 2 * losses[0]


def test_values_that_the_kept_parameters_do_not_know_are_hidden() -> None:
    source = rings(6)
    source.parameters = {
        "theta_E": np.array([1.0, 1.2, 9.0, np.nan, 1.6, 0.8]),
        "source_x": np.zeros(6),
    }
    units = {"theta_E": "arcsec", "source_x": "pixel"}
    source.header = replace(source.header, parameter_units=units)
    config = tiny(parameters=tuple(each.name for each in ORDERED.parameters))
    config = replace(config, model=replace(config.model, parameters=ORDERED.parameters))
    found = prepare_data(config, source, Path("nowhere"), writes=False, keeps=False)
    wanted = [1.0, 1.2, np.nan, np.nan, 1.6, 0.8]
    np.testing.assert_array_equal(found.parameters[:, 0], wanted)
    assert np.isnan(found.parameters[:, 1:]).all()


def test_parameters_are_kept_of_a_model_alone(tmp_path: Path) -> None:
    config = tiny(parameters=tuple(each.name for each in ORDERED.parameters))
    model = replace(config.model, parameters=ORDERED.parameters, prior_size=6)
    with pytest.raises(GravLensError, match="name it with `init`"):
        train(replace(config, model=model), rings(), tmp_path / "run", device="cpu")
    with pytest.raises(GravLensError, match="must be those of the model"):
        replace(config, model=model, parameters=("theta_E",))
    assert not (tmp_path / "run").exists()


def test_images_that_do_not_fit_are_refused(known: Path) -> None:
    source = own_set()
    small = replace(source, images=source.images[..., 1:, 1:])
    with pytest.raises(GravLensError, match=r"7 pixels a side, fewer than the 8 .* `size` 7"):
        adapt(known, small)
    assert adapt(known, small, size=7).config.model.network == load_model(known).config.network
    colours = replace(source, images=source.images.repeat(3, axis=1))
    with pytest.raises(GravLensError, match="3 channels"):
        adapt(known, colours)
    # Larger ones are reduced.
    assert adapt(known, rings(10, size=16)).config.size == SIZE
    with pytest.raises(GravLensError, match="lens29"):
        adapt("lens29", source)


def test_few_images_are_all_trained_on(known: Path) -> None:
    many = adapt(known, own_set())
    many.check(many.config)
    few = adapt(known, own_set(num=MIN_IMAGES - 1))
    assert few.config.early_stopping == replace(many.config.early_stopping, held_out=0.0)
    assert few.config.total_images == FEW_PASSES * (MIN_IMAGES - 1)
    assert adapt(known, own_set(num=20)).config.total_images == FROM_A_MODEL
    few.check(few.config)
    with pytest.raises(GravLensError, match=r"199 different images are too few .* 200; without"):
        few.check(many.config)
    # Copies make no more of them.
    source = own_set(num=MIN_IMAGES // 4)
    where = np.arange(len(source)).repeat(8)
    copies = replace(source, images=source.images[where], labels=source.labels[where])
    again = adapt(known, replace(copies, parameters={}))
    assert again.num_different == MIN_IMAGES // 4
    assert not again.config.early_stopping.held_out
