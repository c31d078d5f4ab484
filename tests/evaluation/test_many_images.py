"""Comparisons of large sets work on a part of fixed size; smaller sets take part as a whole."""

import numpy as np
import pytest

from gravlensdiffusion.evaluation import held_out
from gravlensdiffusion.evaluation.measure import Encoder, Measurements, Team
from gravlensdiffusion.evaluation.plan import ComparisonPlan
from tests.evaluation.sets import opened, records

NUM = 60


@pytest.fixture
def search(tmp_path, monkeypatch):
    """Return a function that looks for copies with at most so many queries in feature space."""
    sets = [opened(tmp_path / f"{k}.h5", records(NUM, k * NUM)) for k in range(3)]
    encoder = Encoder(28)
    team = Team(sets, encoder)
    measured = (team.measure(sets[0]), team.measure(sets[1]))

    def run(most):
        monkeypatch.setattr(held_out, "MAX_FEATURE_QUERIES", most)
        rows, neighbours = held_out.memorisation_rows(*sets, measured, team, 0)
        return rows, neighbours[1]

    return run, sets, encoder


def test_copies_are_looked_for_among_a_part_of_many_images(search, monkeypatch):
    run, (generated, *_, training), encoder = search
    sizes = []
    find = held_out.find_nearest

    def note(near, far, blocks):
        sizes.append((len(near), len(far)))
        return find(near, far, blocks)

    monkeypatch.setattr(held_out, "find_nearest", note)
    _, pairs = run(45)
    assert sizes == [(NUM, NUM), (45, 45)]
    # The pairs that are shown are those whose distances are told.
    ours, theirs = (encoder(images)[0] for images in (pairs.generated, pairs.training))
    assert np.linalg.norm(ours - theirs, axis=1) == pytest.approx(pairs.distances, rel=1e-4)
    everything = generated.pixels(slice(None))
    assert all((each == everything).all((1, 2)).any() for each in pairs.generated)
    assert len(training) == NUM


def test_a_set_of_the_largest_size_takes_part_as_a_whole(search):
    run, _, _ = search
    whole, limited = run(10_000), run(NUM)
    assert whole[0] == limited[0]
    assert np.array_equal(whole[1].generated, limited[1].generated)


def test_the_classifier_sees_a_part_of_many_features(monkeypatch):
    rng = np.random.default_rng(0)
    generated, real = (Measurements.of(rng.normal(size=(n, 3))) for n in (80, 160))
    plan = ComparisonPlan.of(80, 80, 80, num_seeds=1, seed=0)
    seen = []
    compare = held_out.compare_features

    def note(one, two, seed):
        seen.append((one, two))
        return compare(one, two, seed)

    monkeypatch.setattr(held_out, "compare_features", note)
    held_out.two_sample_rows([], generated, real, plan, 0, has_pixels=False)
    assert np.array_equal(seen[0][0], generated.features[plan.splits[0].generated])
    monkeypatch.setattr(held_out, "MAX_CLASSIFIED", 30)
    held_out.two_sample_rows([], generated, real, plan, 0, has_pixels=False)
    assert [(len(one), len(two)) for one, two in seen[2:]] == [(30, 30), (30, 30)]
