"""The models that come with the package."""

import numpy as np
import pytest

from gravlensdiffusion.evaluation.measure import Encoder, measure_images
from gravlensdiffusion.evaluation.preparation import PreparedSource
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.metrics.einstein import einstein_radius
from gravlensdiffusion.metrics.sky import measure_sky
from gravlensdiffusion.model.folders import MODELS_FOLDER, bundled_models
from gravlensdiffusion.presets.simulation import simulation_preset
from gravlensdiffusion.simulation.generate import select, set_header
from gravlensdiffusion.simulation.simulated_set import simulate
from gravlensdiffusion.store.writer import write_store
from tests.evaluation.sets import prepared

MIB = 2**20


def test_weights_stay_small() -> None:
    sizes = [path.stat().st_size for path in MODELS_FOLDER.rglob("*.safetensors")]
    assert max(sizes) < 12 * MIB
    assert sum(sizes) < 48 * MIB


@pytest.mark.parametrize("name", bundled_models())
def test_images_have_a_dark_sky_and_a_bright_lens(name: str) -> None:
    samples = LensGenerator.from_pretrained(name, device="cpu").sample(6, seed=1)
    images = samples.images[:, 0]
    size, sky = images.shape[-1], np.quantile(images, 0.1, axis=(1, 2))
    peak = images.max((1, 2)) - sky
    assert (peak > 20 * images[:, : size // 8, : size // 8].std((1, 2))).all()
    middle = images[:, size // 4 : -size // 4, size // 4 : -size // 4]
    light = (images - sky[:, None, None]).sum((1, 2))
    assert ((middle - sky[:, None, None]).sum((1, 2)) > 0.5 * light).all()


@pytest.mark.parametrize(("name", "size"), [("lens28", 28), ("lens64", 64), ("lens150", 150)])
def test_a_larger_ring_is_drawn_where_one_is_ordered(tmp_path, name: str, size: int) -> None:
    generator = LensGenerator.from_pretrained(name, device="cpu")
    ordered = {"source_x": 0.1, "source_y": 0.0}
    found = {}
    for theta_e in (1.1, 1.5):
        order = ordered | {"theta_E": theta_e}
        samples = generator.sample(8, label="no_sub", parameters=order, seed=2)
        found[theta_e] = measured(tmp_path, samples.images[:, 0], size)["theta_E"]
    assert found[1.5].mean() - found[1.1].mean() == pytest.approx(0.4, abs=0.08)


def test_a_larger_ring_is_drawn_around_a_galaxy() -> None:
    generator = LensGenerator.from_pretrained("slacs96", device="cpu")
    seen = {"source_x": 0.05, "source_y": 0.0, "source_magnitude": 22.5}
    seen |= {"lens_light_magnitude": 18.0}
    found = {}
    for theta_e in (0.9, 1.5):
        order = seen | {"theta_E": theta_e}
        images = generator.sample(8, label="no_sub", parameters=order, seed=3).images[:, 0]
        # Low by a fifth where a galaxy outshines the arcs; see `einstein_radius`.
        found[theta_e] = np.nanmedian(0.05 * einstein_radius(images, measure_sky(images).rms))
        flux = images.sum((1, 2))
        assert 25.94 - 2.5 * np.log10(np.median(flux)) == pytest.approx(18.0, abs=0.3)
    assert found[1.5] - found[0.9] > 0.25


@pytest.mark.parametrize("steps", [1, 2])
def test_distilled_weights_draw_the_lens_that_is_ordered(tmp_path, steps: int) -> None:
    generator = LensGenerator.from_pretrained("lens28", device="cpu")
    assert generator.sampling(None, steps) == ("consistency", steps)
    assert generator.sampling(None, 8) == generator.sampling(None, None) == ("dpmpp", 8)
    wanted = np.linspace(1.1, 1.5, 12)
    order = {"theta_E": wanted, "source_x": 0.1, "source_y": 0.0, "gamma1": 0.1}
    samples = generator.sample(12, num_steps=steps, parameters=order, seed=2)
    found = measured(tmp_path, samples.images[:, 0], 28)["theta_E"]
    assert np.corrcoef(found, wanted)[0, 1] > 0.7
    assert (found - wanted).mean() == pytest.approx(0, abs=0.05)
    # The same order from other noise gives another lens.
    again = generator.sample(12, num_steps=steps, parameters=order, seed=3)
    assert samples.noise_free is not None
    assert again.noise_free is not None
    apart = np.abs(samples.noise_free - again.noise_free).mean()
    assert apart > 0.02 * samples.noise_free.mean()


def test_images_without_substructure_are_those_of_the_simulation() -> None:
    generator = LensGenerator.from_pretrained("lens64", device="cpu")
    lenses = simulate(
        "deeplense", 12, 4, size=64, noise_free=True, classes=("no_sub",), flux_unit="e-/s"
    )
    given = {each.name: lenses.parameters[each.name] for each in generator.config.parameters}
    drawn = generator.sample(12, label="no_sub", parameters=given, seed=5, noise_free=True)
    known = lenses.read_noise_free(range(12))
    peak = known.max((1, 2, 3), keepdims=True)
    # The noise of the sky is 0.12% of a peak.
    assert drawn.noise_free is not None
    assert (np.abs(drawn.noise_free - known) / peak).max() < 0.0012


def measured(tmp_path, images: np.ndarray, size: int) -> dict[str, np.ndarray]:
    """Return what the lens encoder says of images in e-/s."""
    config = select(simulation_preset("deeplense"), size=size, flux_unit="e-/s")
    path = tmp_path / f"reference{len(list(tmp_path.iterdir()))}.h5"
    write_store(path, simulate(config, 8, 3).records(), set_header(config, 3))
    reference = PreparedSource(open_set(path), path.name)
    source = prepared([reference, reference])[0]
    return dict(measure_images(images, source, Encoder(size)).estimates)
