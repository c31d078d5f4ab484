"""Adapting a model to a set: what becomes of the noise in its images."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gravlensdiffusion.codec import to_json
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.model.checkpoint import load_model, save_model
from gravlensdiffusion.presets.simulation import simulation_preset
from gravlensdiffusion.sets.images import as_indices
from gravlensdiffusion.training.adapt import FEW_PASSES, adapt
from gravlensdiffusion.training.counters import Progress
from gravlensdiffusion.training.diffusion import train
from tests.models import ORDERED, SKY, awake
from tests.sources import ArraySource, rings
from tests.training.adapting import CLEAN, SCHEDULE, SIZE, own_set, quick

pytestmark = pytest.mark.usefixtures("few_draws")


@dataclass
class Twinned(ArraySource):
    """A set with noise-free twins."""

    has_noise_free: bool = True

    def read_noise_free(self, indices: Any) -> NDArray[np.float32]:
        return self.images[as_indices(indices, len(self))]


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
    sky = replace(SKY, num_pixels=size, resize="bilinear")
    theirs = awake(
        replace(
            ORDERED,
            image_size=size,
            observation=sky,
            resize="bilinear",
            denoiser=CLEAN,
            schedule=SCHEDULE,
        )
    )
    save_model(simulated, theirs)
    source = rings(20, size=size)
    source.header = replace(source.header, flux_unit="unknown", pixel_scale_arcsec=None)
    source.images = np.random.default_rng(0).normal(0, 0.1, source.images.shape).astype(np.float32)
    source.images[..., 6:10, 6:10] += source.images[..., :1, :1] + 2
    found = adapt(simulated, source)
    assert found.config.noise == "removed"
    assert found.config.total_images == 20 * FEW_PASSES
    state = Progress(total_images=20 * FEW_PASSES, num_different=20)
    assert not state.doubt_about(found.config, starts_from_model=True)
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
    # The reduction is that of the other model, whatever the set says of its own.
    assert model.config.resize == theirs.config.observation.resize == "bilinear"
    # A model that is adapted from this one to other noise takes that as it is.
    elsewhere = replace(source, header=replace(source.header, flux_unit="nJy"))
    again = adapt(tmp_path / "run", elsewhere).config
    assert again.noise == "carried"
    train(quick(again), elsewhere, tmp_path / "again", device="cpu", init=tmp_path / "run")
    assert load_model(tmp_path / "again").config.denoiser.keeps_noise
    # Another unit, other pixels, another size, another sky: another instrument.
    larger = np.pad(source.images, ((0, 0), (0, 0), (4, 4), (4, 4)), mode="reflect")
    assert adapt(simulated, replace(source, images=larger), 24).config.noise == "carried"
    for header in ({"flux_unit": "peak"}, {"pixel_scale_arcsec": 0.2}):
        other = replace(source, header=replace(source.header, **header))
        assert adapt(simulated, other).config.noise == "carried"
    source.images = (5 * source.images).astype(np.float32)
    assert adapt(simulated, source).config.noise == "carried"


def test_twins_are_learned_without_noise_after_a_model_that_had_removed_it(tmp_path: Path) -> None:
    learned = replace(CLEAN, noise=0.1, keeps_noise=False)
    sky = replace(SKY, num_pixels=SIZE)
    save_model(tmp_path / "old", awake(replace(ORDERED, observation=sky, denoiser=learned)))
    found = adapt(tmp_path / "old", twinned())
    assert found.config.noise == "split"
    train(quick(found.config), twinned(), tmp_path / "run", device="cpu", init=tmp_path / "old")
    denoiser = load_model(tmp_path / "run").config.denoiser
    assert (denoiser.noise, denoiser.keeps_noise) == (0.0, True)


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
