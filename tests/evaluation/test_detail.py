"""What the eye sees in images without noise: each planted fault moves its row, and none without one."""

import numpy as np
import pytest

from gravlensdiffusion.evaluation import by_class, detail
from gravlensdiffusion.evaluation.measure import Encoder, Team, measure_images
from gravlensdiffusion.evaluation.plan import ComparisonPlan
from gravlensdiffusion.evaluation.preparation import PreparedSource
from gravlensdiffusion.evaluation.result import EvaluationSettings
from gravlensdiffusion.evaluation.sets import Sets
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.metrics.defects import plant
from gravlensdiffusion.sets.lens_set import View
from gravlensdiffusion.simulation.simulated_set import simulate
from gravlensdiffusion.store.writer import write_store
from tests.evaluation.sets import CONFIG, SEED

NUM = 150
RNG = np.random.default_rng(5)


@pytest.fixture(scope="module")
def lenses(tmp_path_factory):
    """Three sets of lenses with noise-free twins."""
    folder, sets = tmp_path_factory.mktemp("lenses"), []
    for k in range(3):
        drawn = simulate(CONFIG, NUM, SEED + k, noise_free=True, flux_unit="e-/s")
        write_store(folder / f"{k}.h5", drawn.records(), drawn.header, num=NUM)
        sets.append(open_set(folder / f"{k}.h5"))
    return sets


def judged(lenses, change=None, *, of_real=False, of_twins=True):
    """Return the rows by name, of twins or of images, after a change of the first or the real sets."""
    sets = [each if of_twins else each.twins() for each in lenses]
    if change is not None:
        for k in (1, 2) if of_real else (0,):
            sets[k] = View(sets[k], change=lambda images: change(images[:, 0])[:, None])
    sources = [PreparedSource(each, f"set {k}") for k, each in enumerate(sets)]
    ready = Sets(generated=sources[0], reference=sources[1], reference2=sources[2])
    ready = ready.prepared(EvaluationSettings())
    plan = ComparisonPlan.of(NUM, NUM, NUM, num_seeds=3, seed=0)
    encoder = Encoder(28)
    measured = [
        measure_images(each.pixels(slice(0, NUM)), each, encoder)
        for each in (ready.generated, *ready.real)
    ]
    team = Team(ready.measured, encoder)
    real = measured[1].joined(measured[2])
    rows = detail.detail_rows(ready, measured[0], real, plan, team, 0, lambda _: None)
    return {row.name: row for row in rows}


@pytest.fixture(scope="module")
def honest(lenses):
    return judged(lenses)


def test_simulations_are_at_the_floor_of_simulations(honest):
    assert honest["seams"].value == pytest.approx(honest["seams"].floor, abs=0.15)
    assert honest["negative_flux"].value == honest["negative_flux"].floor == 0
    assert not honest["negative_flux"].stands_out
    for row in honest.values():
        assert "on the noise-free twins" in row.note
        if row.ratio is not None:
            assert row.ratio < 3, row.name


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda x: plant(x, "patches", 0.02, RNG), ["seams"]),
        (
            lambda x: plant(x, "blur", 0.7, RNG),
            ["bright_points", "fine_structure_arc", "fine_structure_sky"],
        ),
        (lambda x: plant(x, "clipped", 0.05, RNG), ["negative_flux"]),
    ],
)
def test_a_planted_fault_moves_its_rows(lenses, honest, change, names):
    rows = judged(lenses, change)
    for name in names:
        assert rows[name].floor == honest[name].floor
        assert rows[name].stands_out, name
        assert rows[name].value > max(1.3 * honest[name].value, 0.04)
        assert rows[name].equivalent.startswith(("like ", "more than ")), name


def test_subhaloes_that_are_missing_show_in_the_pits(lenses, monkeypatch):
    monkeypatch.setattr(by_class, "MIN_OF_CLASS", 30)
    # Fixed places: a set is read more than once.
    rows = judged(lenses, lambda x: plant(x, "pitted", 1.0, np.random.default_rng(5)), of_real=True)
    assert rows["pits"].stands_out
    assert rows["pits"].shift < -0.1
    assert "more or less in" in rows["pits"].equivalent
    for name in ("no_sub", "cdm", "axion"):
        assert rows[f"pits, {name}"].shift < 0


def test_images_without_noise_are_measured_where_there_are_no_twins(lenses, honest):
    rows = judged(lenses, of_twins=False)
    assert rows.keys() == honest.keys()
    assert rows["pits"].value == honest["pits"].value
    assert "on the images, their noise is" in rows["pits"].note


def test_noisy_images_without_twins_have_no_rows(lenses):
    def noisy(images):
        return images + 0.05 * images.max((1, 2), keepdims=True) * RNG.standard_normal(images.shape)

    assert not judged(lenses, noisy, of_twins=False)
