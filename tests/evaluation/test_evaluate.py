"""Planted failures, each caught by the metric that is meant for it; equal sets are at the floor."""

from dataclasses import replace

import numpy as np
import pytest

from gravlensdiffusion.evaluation import by_class
from gravlensdiffusion.evaluation.evaluate import evaluate_sets
from gravlensdiffusion.evaluation.result import EvaluationSettings
from gravlensdiffusion.evaluation.sets import Sets
from gravlensdiffusion.metrics.defects import plant
from gravlensdiffusion.sets.records import GENERATED
from tests.evaluation.sets import opened, pixels, records

NUM = 300
SETTINGS = EvaluationSettings(protocol="none", pixel_test=False, num_seeds=3)
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sets")


@pytest.fixture(scope="module")
def real(folder):
    return {
        "reference": opened(folder / "reference.h5", records(NUM, NUM)),
        "reference2": opened(folder / "second.h5", records(NUM, 2 * NUM)),
    }


@pytest.fixture(scope="module")
def judged(folder, real):
    """Return a function that evaluates images of the simulated set with something done to them."""

    def judge(name, change=None, of=None, **more):
        chosen = records(NUM) if of is None else of
        images = None if change is None else change(pixels(chosen))
        generated = opened(folder / f"{name}.h5", chosen, images)
        found = evaluate_sets(Sets(generated=generated, **real, **more), SETTINGS)
        return {row.name: row for row in found.rows}, found

    return judge


@pytest.fixture(scope="module")
def honest(judged):
    return judged("honest")


def test_a_set_of_the_same_kind_is_at_the_floor(honest):
    rows, found = honest
    assert rows["lens Fréchet distance"].ratio == pytest.approx(1, abs=0.3)
    assert rows["coverage"].value == pytest.approx(rows["coverage"].floor, abs=0.06)
    for name in ("total_flux", "sky_rms", "gini", "quadrupole_plus", "einstein_radius"):
        assert rows[name].p_value > 1e-3, name
        assert rows[name].ratio < 4, name
    assert found.facts["encoder"]["name"] == "encoder28"
    assert len(found.facts["encoder"]["sha256"]) == 64


@pytest.mark.parametrize(
    ("name", "change", "caught_by"),
    [
        ("blurred", lambda x: plant(x, "blur", 0.6, RNG), ("gini", "sky_whiteness")),
        ("bright", lambda x: plant(x, "flux", 0.1, RNG), ("total_flux", "maximum")),
        ("noiseless", lambda x: np.where(x < 0.05, 0.1 * x, x), ("sky_rms",)),
        ("rotated", lambda x: plant(x, "turned", 1, RNG), ("quadrupole_plus", "ellipticity_1")),
    ],
)
def test_planted_defects_are_caught(judged, honest, name, change, caught_by):
    rows, _ = judged(name, change)
    for metric in caught_by:
        assert rows[metric].p_value < 1e-3, metric
        assert rows[metric].value > 3 * honest[0][metric].value, metric
    assert rows["lens Fréchet distance"].z > 2


def test_a_fault_of_one_class_shows_in_its_own_distance_alone(judged, monkeypatch):
    of = records(NUM)
    is_cdm = np.array([record.label for record in of]) == 1

    def blurred(images):
        return np.where(is_cdm[:, None, None], plant(images, "blur", 1.0, RNG), images)

    rows, _ = judged("one class blurred", blurred)
    distances = {
        name: rows[f"lens Fréchet distance, {name}"] for name in ("no_sub", "cdm", "axion")
    }
    assert distances["cdm"].z > 4
    assert distances["cdm"].ratio > 1.3
    for name in ("no_sub", "axion"):
        assert distances[name].ratio == pytest.approx(1, abs=0.2)
        assert not distances[name].stands_out
    monkeypatch.setattr(by_class, "MIN_OF_CLASS", NUM // 3 + 1)
    assert not any("distance, " in name for name in judged("too few of each class")[0])


def test_a_flux_error_is_told_as_one(judged):
    rows, _ = judged("brighter", lambda x: plant(x, "flux", 0.1, RNG))
    assert rows["total_flux"].shift == pytest.approx(0.1, abs=0.03)
    assert rows["total_flux"].equivalent.startswith("like a ")
    percent = float(rows["total_flux"].equivalent.removeprefix("like a ").split("%")[0])
    assert percent == pytest.approx(10, abs=3)


def test_collapse_to_one_class_is_caught(judged):
    axions = tuple(record for record in records(3 * NUM, 3 * NUM) if record.label == 2)[:NUM]
    rows, _ = judged("axions", of=axions)
    assert rows["lens Fréchet distance"].z > 2
    assert rows["lens MMD²"].p_value < 0.01


def test_collapse_to_a_few_images_is_caught(judged):
    few = (records(10) * NUM)[:NUM]
    rows, found = judged("few", of=few)
    assert (
        "290 of the 300 images of few are copies of others among them, 10 are different"
        in found.notes
    )
    assert rows["recall"].value < rows["recall"].floor - 0.3
    assert rows["coverage"].value < rows["coverage"].floor - 0.3


def test_copies_of_the_training_set_are_caught(folder, judged):
    training = opened(folder / "training.h5", records(NUM, 4 * NUM))
    rows, found = judged("fresh", train=training)
    assert "no sign of memorisation" in rows["nearest, pixels"].note
    assert "no sign of memorisation" in rows["nearest, encoder features"].note
    mixed = records(NUM - 10) + records(10, 4 * NUM + 50)
    rng = np.random.default_rng(0)
    rows, found = judged(
        "copies",
        lambda x: x + 1e-4 * rng.normal(size=x.shape),
        of=mixed,
        train=training,
    )
    assert "MEMORISED" in rows["nearest, pixels"].note
    assert "MEMORISED" in rows["nearest, encoder features"].note
    pairs = found.neighbours[0]
    assert np.abs(pairs.generated - pairs.training).max() < 1e-3


def test_labels_bring_a_table_of_class_pairs(honest):
    pairs = honest[1].class_pairs
    assert [pair.names for pair in pairs] == [
        ("no_sub", "cdm"),
        ("no_sub", "axion"),
        ("cdm", "axion"),
    ]
    for pair in pairs:
        assert pair.real is not None
        assert 0.5 < pair.generated < 1


def test_parameters_are_compared_with_what_the_encoder_measures(honest):
    """Simulations carry the truth, so that both columns are the encoder's own."""
    found = {each.name: each for each in honest[1].requested}
    radius = found["theta_E"]
    assert abs(radius.bias) < 0.02
    assert radius.scatter == pytest.approx(radius.encoder_scatter, rel=0.3)
    assert found["log_signal_to_noise"].num == NUM


def test_numbers_do_not_depend_on_the_cache(honest, judged, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    rows, _ = judged("honest_again")
    for name, row in rows.items():
        assert row == honest[0][name]


def flagged(num, num_generated):
    """Return records as a balance leaves them: originals first."""
    return tuple(
        replace(record, parameters={GENERATED: float(k >= num - num_generated)})
        for k, record in enumerate(records(num))
    )


def test_without_a_second_reference_both_numbers_are_halved(folder, real):
    generated = opened(folder / "halved.h5", flagged(NUM, NUM - 40))
    found = evaluate_sets(Sets(generated=generated, reference=real["reference"]), SETTINGS)
    assert found.facts["num_generated"] == found.facts["num_reference"] == NUM // 2
    assert any("a second or a larger reference" in note for note in found.notes)
    assert any("40 of the 300 images of halved are originals" in note for note in found.notes)


def test_a_real_set_that_was_filled_up_is_told(tmp_path):
    clean = opened(tmp_path / "clean.h5", flagged(8, 0))
    made = opened(tmp_path / "made.h5", flagged(8, 8))
    filled = opened(tmp_path / "filled.h5", flagged(8, 3))
    assert Sets(generated=made, reference=clean, reference2=clean).notes == []
    for sets in (
        Sets(generated=clean, reference=filled),
        Sets(generated=clean, reference=clean, reference2=filled),
    ):
        (note,) = sets.notes
        assert note.startswith("3 of the 8 images of filled are flagged as generated")
