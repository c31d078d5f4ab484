"""Learning lenses without noise, from a small simulated set."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from gravlensdiffusion.codec import to_json
from gravlensdiffusion.config.model import ModelConfig
from gravlensdiffusion.config.simulation import SimulationConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.generation.noise import add_noise
from gravlensdiffusion.model.checkpoint import load_model
from gravlensdiffusion.model.folders import checkpoints
from gravlensdiffusion.presets.simulation import simulation_preset
from gravlensdiffusion.simulation.generate import select, set_header
from gravlensdiffusion.simulation.simulated_set import simulate
from gravlensdiffusion.store.reader import LensStore
from gravlensdiffusion.store.writer import write_store
from gravlensdiffusion.training.data import NEAR, noise_free_twins, observation_of
from gravlensdiffusion.training.diffusion import open_training, train
from tests.sources import rings, tiny
from tests.training.driving import drive

NATIVE, SIZE, NUM = 24, 12, 12
NAMES = ("theta_E", "source_x", "signal_to_noise")


def population(preset: str = "deeplense", **changes: Any) -> SimulationConfig:
    """Return a preset with a small field, reduced to half its size."""
    config = simulation_preset(preset)
    config = replace(config, imaging=replace(config.imaging, num_pixels=NATIVE))
    settings: dict[str, Any] = {"size": SIZE, "noise_free": True, "flux_unit": "e-/s"}
    return select(config, **(settings | changes))


def stored(folder: Path, config: SimulationConfig, num: int = NUM) -> LensStore:
    """Simulate a set into a file."""
    path = write_store(
        folder / "lenses.h5", simulate(config, num, 3).records(), set_header(config, 3)
    )
    return LensStore(path)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LensStore]:
    """Twelve lenses with noise-free twins."""
    store = stored(tmp_path_factory.mktemp("set"), population())
    yield store
    store.close()


def split(**changes: Any) -> Any:
    """Return a recipe that learns the twins of the set."""
    return tiny("cutouts28", size=SIZE, noise="split", parameters=NAMES, total_images=32, **changes)


@pytest.fixture(scope="module")
def run(source: LensStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short finished run."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    train(split(), source, folder, device="cpu")
    return folder


def test_twins_stand_in_for_the_images(source: LensStore) -> None:
    twins = noise_free_twins(source)
    assert len(twins) == NUM
    assert twins.image_shape == (1, SIZE, SIZE)
    assert twins.header == source.header
    assert np.array_equal(twins.labels, source.labels)
    assert twins.parameters.keys() == source.parameters.keys()
    read = twins.read([5, 2])
    assert np.array_equal(read, source.read_noise_free([5, 2]))
    assert np.abs(read - source.read([5, 2])).max() > 0.001


def test_the_observation_is_that_of_the_simulation(source: LensStore) -> None:
    observation = observation_of(source)
    assert observation.num_pixels == NATIVE
    assert observation.resize == source.header.resize == "area"
    assert observation.exposure_time is None
    rms = source.parameters["background_rms"]
    assert observation.background_rms == np.median(rms)
    # The noise that it adds to nothing is the noise between the images and their twins.
    whole = np.arange(NUM)
    simulated = source.read(whole) - source.read_noise_free(whole)
    dark = np.zeros((200, 1, SIZE, SIZE), dtype=np.float32)
    drawn = add_noise(dark, observation, range(200), seed=0)
    assert drawn.std() == pytest.approx(simulated.std(), rel=0.06)


def test_an_instrument_with_photon_noise_has_an_exposure(tmp_path: Path) -> None:
    config = population("euclid", size=NATIVE)
    observation = observation_of(stored(tmp_path, config, num=3))
    assert observation.resize is None
    assert observation.exposure_time is not None
    assert observation.exposure_time > 100


def test_where_depths_differ_the_observation_has_those_of_the_set(tmp_path: Path) -> None:
    config = population("slacs", size=NATIVE)
    set_of_all = stored(tmp_path, config, num=12)
    observation = observation_of(set_of_all)
    values = set_of_all.parameters
    pairs = {(each.background_rms, each.exposure_time) for each in observation.depths}
    assert pairs == set(zip(values["background_rms"], values["exposure_time"], strict=True))
    assert observation.background_rms == np.median(values["background_rms"])
    assert observation.sky_correlation == config.imaging.sky_correlation


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"noise_free": False}, "with noise-free images, as `gravlens simulate` with `noise_free`"),
        ({"flux_unit": "peak"}, "needs images in e-/s, these are in peak"),
    ],
)
def test_sets_without_what_it_takes_are_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    store = stored(tmp_path, population(**changes), num=2)
    with pytest.raises(GravLensError, match=message):
        train(split(), store, tmp_path / "run", device="cpu")


def test_sets_that_were_not_simulated_are_refused(source: LensStore) -> None:
    with pytest.raises(GravLensError, match="with noise-free images"):
        noise_free_twins(rings())
    foreign = rings()
    with pytest.raises(GravLensError, match="needs a training set that `gravlens simulate` made"):
        observation_of(foreign)
    # A generated set knows its noise and its model, but not the instrument.
    foreign.parameters = dict(source.parameters)
    foreign.header = replace(source.header, config=to_json(ModelConfig()))
    with pytest.raises(GravLensError, match="needs a training set that `gravlens simulate` made"):
        observation_of(foreign)
    foreign.header = replace(source.header, resize="lanczos")
    with pytest.raises(GravLensError, match="unknown resize, 'lanczos'"):
        observation_of(foreign)


def test_twins_are_not_resized(source: LensStore, tmp_path: Path) -> None:
    with pytest.raises(GravLensError, match=r"its set, 12 pixels, not at 8; make .* `size` 8"):
        train(replace(split(), size=8), source, tmp_path / "run", device="cpu")


def test_a_parameter_that_the_set_lacks_is_refused(source: LensStore, tmp_path: Path) -> None:
    config = replace(split(), parameters=("theta_E", "redshift"))
    with pytest.raises(GravLensError, match=r"no parameter 'redshift'; it has: .*theta_E"):
        train(config, source, tmp_path / "run", device="cpu")


def test_parameters_that_cannot_be_turned_are_refused_before_anything_is_written(
    source: LensStore, tmp_path: Path
) -> None:
    config = replace(split(), augment="d4", parameters=("theta_E", "source_x"))
    with pytest.raises(GravLensError, match="exchanges parameter 'source_x' with 'source_y'"):
        train(config, source, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_the_checkpoint_knows_noise_parameters_and_training_lenses(
    source: LensStore, run: Path
) -> None:
    model = load_model(run)
    config = model.config
    assert config.observation == observation_of(source)
    assert config.class_names == source.header.class_names
    assert config.flux_unit == "e-/s"
    assert [each.name for each in config.parameters] == list(NAMES)
    for each in config.parameters:
        values = source.parameters[each.name]
        slack = NEAR * (each.high - each.low)
        assert each.low <= values.min() <= each.low + slack
        assert each.high - slack <= values.max() <= each.high
    assert [each.scale for each in config.parameters] == ["linear", "linear", "log"]
    assert config.parameters[0].unit == "arcsec"
    assert config.prior_size == NUM
    table = np.column_stack([source.labels, *(source.parameters[name] for name in NAMES)])
    np.testing.assert_array_equal(model.prior.numpy(), table.astype(np.float32))
    # Trained on the twins: the transform is fitted to them.
    twins = source.read_noise_free(np.arange(NUM))
    z = model.transform(torch.from_numpy(twins))
    assert z.mean().item() == pytest.approx(0, abs=1e-4)
    assert z.std(correction=0).item() == pytest.approx(1, abs=1e-3)


def test_the_table_of_parameters_is_of_images_from_all_of_the_set(
    source: LensStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gravlensdiffusion.training.data.PRIOR_SIZE", NUM // 2)
    by_class = source.select(np.argsort(source.labels, kind="stable"))
    train(split(), by_class, tmp_path / "run", device="cpu")
    prior = load_model(tmp_path / "run").prior.numpy()
    assert len(prior) == NUM // 2
    assert set(prior[:, 0]) == set(source.labels)


def test_a_broken_run_ends_with_the_same_bits_as_an_unbroken_one(
    source: LensStore, run: Path, tmp_path: Path
) -> None:
    drive(open_training(split(), source, tmp_path / "run", device="cpu"), stop_after=2)
    assert checkpoints(tmp_path / "run")[-1].images_seen == 16
    train(split(), source, tmp_path / "run", device="cpu")
    for name in ("model.safetensors", "ema.safetensors"):
        whole, broken = (
            load_file(checkpoints(each)[-1].folder / name) for each in (run, tmp_path / "run")
        )
        assert whole.keys() == broken.keys()
        assert all(torch.equal(whole[key], broken[key]) for key in whole)


def test_lenses_of_the_run_come_with_the_noise_of_the_instrument(
    source: LensStore, run: Path
) -> None:
    samples = LensGenerator.from_pretrained(run).sample(12, seed=1)
    assert samples.header.class_names == source.header.class_names
    assert samples.noise_free is not None
    assert samples.noise_free.min() >= 0
    whole = np.arange(NUM)
    simulated = source.read(whole) - source.read_noise_free(whole)
    noise = samples.images - samples.noise_free
    assert noise.std() == pytest.approx(simulated.std(), rel=0.1)
    # Nothing was asked for, so each is like a training image of its class.
    for k, label in enumerate(samples.labels):
        near = np.isclose(source.parameters["theta_E"], samples.parameters["theta_E"][k])
        assert source.labels[near].tolist() == [label]


def test_images_without_a_lens_are_learned_beside_lenses(tmp_path: Path) -> None:
    """Their parameters are NaN, and of an image of empty sky even the signal-to-noise ratio is."""
    config = replace(population("euclid", classes=("no_sub", "no_lens")), neighbours=())
    no_sub, no_lens = config.classes
    single, *_, empty = no_lens.scenes
    few = replace(no_lens, scenes=(single, replace(empty, weight=single.weight)))
    config = replace(config, classes=(no_sub, few))
    source = stored(tmp_path, config, num=60)
    truth = source.parameters
    assert np.isnan(truth["theta_E"]).tolist() == (source.labels == 1).tolist()
    assert np.isnan(truth["signal_to_noise"]).any()
    done = train(split(), source, tmp_path / "run", device="cpu")
    assert done.num_skipped == 0
    assert np.isfinite(done.loss)
    generator = LensGenerator.from_pretrained(tmp_path / "run", device="cpu")
    for each in generator.config.parameters:
        low, high = np.nanmin(truth[each.name]), np.nanmax(truth[each.name])
        slack = NEAR * (each.high - each.low)
        assert each.low <= low <= each.low + slack
        assert each.high - slack <= high <= each.high
    samples = generator.sample(8, seed=0)
    assert np.isfinite(samples.images).all()
    # What no training image of a class has is not asked of its images.
    assert np.isnan(samples.parameters["theta_E"]).tolist() == [False, True] * 4
