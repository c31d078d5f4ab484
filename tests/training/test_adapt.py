"""Adapting a model to a small set: what follows the model, what follows the set, what is learned."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gravlensdiffusion.codec import to_json
from gravlensdiffusion.config.model import DenoiserConfig, ScheduleConfig
from gravlensdiffusion.config.training import (
    EMAConfig,
    OptimiserConfig,
    TrainingConfig,
)
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.model.checkpoint import load_model, read_tensors, save_model
from gravlensdiffusion.model.folders import checkpoints
from gravlensdiffusion.presets.simulation import simulation_preset
from gravlensdiffusion.training.adapt import FEW_PASSES, MIN_IMAGES, adapt, check_number
from gravlensdiffusion.training.counters import FROM_A_MODEL, Progress, doubt
from gravlensdiffusion.training.data import prepare_data
from gravlensdiffusion.training.diffusion import train
from gravlensdiffusion.training.start import LABELS
from gravlensdiffusion.training.validation import choose_validation
from tests.models import ORDERED, SKY, awake
from tests.sources import ArraySource, rings, tiny

SIZE = 8
STILL = OptimiserConfig(learning_rate=1e-12)
QUICK = OptimiserConfig(learning_rate=1e-2, beta2=0.95)


@pytest.fixture(scope="module", autouse=True)
def few_draws() -> Any:
    """Measure with fewer draws, which is faster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gravlensdiffusion.training.validation.NUM_DRAWS", 128)
        yield


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows small rings from large ones."""
    folder = tmp_path_factory.mktemp("known") / "run"
    average = EMAConfig(halflife_images=200, ramp=0.1)
    config = tiny(batch_size=32, total_images=3_200, checkpoint_images=10**6, ema=average)
    config = replace(config, optimiser=QUICK, log_images=10**6)
    train(config, rings(200, size=SIZE), folder, device="cpu")
    return folder


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of noise-free lenses that is ordered by class and physics, as lens28 is."""
    folder = tmp_path_factory.mktemp("simulated") / "model"
    model = awake(replace(ORDERED, denoiser=CLEAN, schedule=SCHEDULE))
    save_model(folder, model)
    return folder


CLEAN = DenoiserConfig(prediction="preconditioned", skip=False, floor=0.03)
SCHEDULE = ScheduleConfig(kind="log_snr", sigma_min=0.02, sigma_max=50)


def own_set(num: int = 240, seed: int = 3) -> ArraySource:
    """Return large rings, and blobs three times as bright, which no model here has ever seen."""
    source = rings(num, size=SIZE, seed=seed)
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    width = 2 * np.exp(random.normal(0, 0.1, num))[:, None, None]
    # None is a copy of another: their centres differ.
    dx, dy = np.random.default_rng([seed, 1]).uniform(-1, 1, (2, num, 1, 1))
    blob = 3 * np.exp(-0.5 * np.hypot(x - dx, y - dy) ** 2 / width**2) + 0.01
    blob += 0.003 * random.normal(size=blob.shape)
    is_new = source.labels == 0
    source.images[is_new, 0] = blob[is_new]
    source.header = replace(source.header, class_names=("blob", "large"))
    return source


def unlabelled(source: ArraySource) -> ArraySource:
    """Return the set without its classes."""
    header = replace(source.header, class_names=())
    return replace(source, labels=np.full(len(source), -1, dtype=np.int16), header=header)


@dataclass
class Twinned(ArraySource):
    """A set with noise-free twins."""

    has_noise_free: bool = True

    def read_noise_free(self, indices: Any) -> NDArray[np.float32]:
        return self.images[np.asarray(indices)]


def twinned(background_rms: float = 0.1) -> Twinned:
    """Return rings that pass for a simulated set with twins."""
    source = rings(12, size=SIZE)
    config = replace(
        simulation_preset("deeplense"),
        imaging=replace(simulation_preset("deeplense").imaging, num_pixels=SIZE),
    )
    header = replace(source.header, config=to_json(config))
    parameters = source.parameters | {"background_rms": np.full(12, background_rms)}
    return Twinned(source.images, source.labels, header, parameters)


def quick(config: TrainingConfig, **changes: Any) -> TrainingConfig:
    """Return a recipe that is done in a moment."""
    settings: dict[str, Any] = {
        "total_images": 64,
        "optimiser": STILL,
        "sample_images": 0,
        "checkpoint_images": 10**6,
    }
    return replace(config, **(settings | changes))


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
    held_out = choose_validation(clean.labels, 0.1, seed=0)
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


def test_noise_without_twins_goes_past_the_network(simulated: Path, tmp_path: Path) -> None:
    source = own_set()
    slope = np.linspace(0, 1, SIZE, dtype=np.float32) * source.images.mean((1, 2, 3), keepdims=True)
    source.images = slope + np.random.default_rng(0).normal(0, 0.02, source.images.shape)
    source.images = source.images.astype(np.float32)
    found = adapt(simulated, source)
    assert found.config.noise == "carried"
    assert found.config.model.sampling.num_steps == 20
    assert any("noise is learned with the images" in note for note in found.notes)
    train(quick(found.config), source, tmp_path / "run", device="cpu", init=simulated)
    model = load_model(tmp_path / "run").config
    assert model.observation is None
    sky = 0.02 * model.transform.gain / model.transform.scale
    assert model.denoiser.noise == pytest.approx(sky, rel=0.1)
    # The last step of sampling lies well below the noise, which would else be smoothed away.
    assert model.schedule.sigma_min <= model.denoiser.noise / 5
    # What has been adapted once is adapted again in the same way.
    again = adapt(tmp_path / "run", source)
    assert (again.config.noise, again.notes) == ("carried", ())


def test_noise_of_the_models_own_instrument_is_removed(tmp_path: Path) -> None:
    size, simulated = 16, tmp_path / "model"
    sky = replace(SKY, num_pixels=size)
    theirs = awake(
        replace(ORDERED, image_size=size, observation=sky, denoiser=CLEAN, schedule=SCHEDULE)
    )
    save_model(simulated, theirs)
    source = rings(20, size=size)
    source.header = replace(source.header, flux_unit="unknown", pixel_scale_arcsec=None)
    source.images = np.random.default_rng(0).normal(0, 0.1, source.images.shape).astype(np.float32)
    source.images[..., 6:10, 6:10] += source.images[..., :1, :1] + 2
    found = adapt(simulated, source)
    assert found.config.noise == "removed"
    assert found.config.total_images == 20 * FEW_PASSES
    assert not doubt(found.config, 20 * FEW_PASSES, 20, starts_from_model=True)
    assert "its own 0.1 e-/s" in found.notes[0]
    assert "classes and parameters" in found.notes[1]
    assert len(found.notes) == 2
    nameless = source.labelled(np.where(source.labels == 1, -1, 0), ["small"])
    assert "10 images without a class" in adapt(simulated, nameless).notes[-1]
    train(quick(found.config), source, tmp_path / "run", device="cpu", init=simulated)
    model = load_model(tmp_path / "run")
    assert model.config.denoiser.noise == pytest.approx(0.1, rel=0.1)
    assert not model.config.denoiser.keeps_noise
    # All that it states of its images, and how it scales them, is that of the other model.
    for name in ("observation", "transform", "pixel_scale_arcsec", "flux_unit", "sampling"):
        assert getattr(model.config, name) == getattr(theirs.config, name)
    assert torch.equal(model.transform.mean, theirs.transform.mean)
    generator = LensGenerator.from_pretrained(tmp_path / "run", device="cpu")
    assert generator.sample(2).noise_free is not None
    assert adapt(tmp_path / "run", source).config.noise == "removed"
    # So is what it can be asked for; the classes of the set are new ones.
    assert model.config.parameters == theirs.config.parameters
    assert model.config.class_names == (*theirs.config.class_names, "small", "large")
    assert torch.equal(model.prior, theirs.prior)
    asked = {"label": "axion", "parameters": {"theta_E": 1.2}}
    assert not np.array_equal(generator.sample(2, **asked).images, generator.sample(2).images)
    # Another unit, other pixels, another sky: another instrument.
    for header in ({"flux_unit": "peak"}, {"pixel_scale_arcsec": 0.2}):
        other = replace(source, header=replace(source.header, **header))
        assert adapt(simulated, other).config.noise == "carried"
    source.images = (5 * source.images).astype(np.float32)
    assert adapt(simulated, source).config.noise == "carried"


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


def test_twins_keep_the_noise_apart_and_scale_with_the_sky(simulated: Path) -> None:
    theirs = load_model(simulated).config
    same, deeper = adapt(simulated, twinned()).config, adapt(simulated, twinned(0.02)).config
    assert same.noise == deeper.noise == "split"
    assert same.model.transform.scale == pytest.approx(theirs.transform.scale)
    assert deeper.model.transform.scale == pytest.approx(0.2 * theirs.transform.scale)
    assert same.model.sampling == theirs.sampling
    larger = replace(twinned(), images=np.zeros((12, 1, 16, 16), dtype=np.float32))
    found = adapt(simulated, larger)
    assert found.config.noise == "carried"
    assert "16 pixels a side, not 8" in found.notes[-1]


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
    check_number(many.config, many.num_different)
    few = adapt(known, own_set(num=MIN_IMAGES - 1))
    assert few.config.early_stopping == replace(many.config.early_stopping, held_out=0.0)
    assert few.config.total_images == FEW_PASSES * (MIN_IMAGES - 1)
    assert adapt(known, own_set(num=20)).config.total_images == FROM_A_MODEL
    check_number(few.config, few.num_different)
    with pytest.raises(GravLensError, match=r"199 different images are too few .* 200; without"):
        check_number(many.config, few.num_different)
    # Copies make no more of them.
    source = own_set(num=MIN_IMAGES // 4)
    where = np.arange(len(source)).repeat(8)
    copies = replace(source, images=source.images[where], labels=source.labels[where])
    again = adapt(known, replace(copies, parameters={}))
    assert again.num_different == MIN_IMAGES // 4
    assert not again.config.early_stopping.held_out
