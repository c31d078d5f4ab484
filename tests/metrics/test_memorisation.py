"""Copies of the training set are found, and honest images are left in peace."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.metrics import memorisation
from gravlensdiffusion.metrics.memorisation import (
    Memorisation,
    Nearest,
    find_nearest,
    pixel_vectors,
)

Vectors = NDArray[np.float32]


def vectors(num: int, seed: int, dimensions: int = 12) -> Vectors:
    return np.random.default_rng(seed).normal(size=(num, dimensions)).astype(np.float32)


def blocks(training: Vectors, size: int = 300) -> Iterator[Vectors]:
    for start in range(0, len(training), size):
        yield training[start : start + size]


TRAINING, HELD_OUT = vectors(1000, 0), vectors(1000, 1)


def judge(generated: Vectors) -> Memorisation:
    return Memorisation.of(*find_nearest(generated, HELD_OUT, blocks(TRAINING)))


def test_neighbours_are_those_of_all_distances() -> None:
    generated = vectors(50, 2)
    near, far = find_nearest(generated, HELD_OUT[:70], blocks(TRAINING))
    for queries, found in ((generated, near), (HELD_OUT[:70], far)):
        distances = np.linalg.norm(queries[:, None] - TRAINING[None], axis=2)
        assert np.array_equal(found.indices, distances.argmin(1))
        ordered = np.sort(distances, axis=1)
        assert np.allclose(found.distances, ordered[:, 0], rtol=1e-5)
        assert np.allclose(found.second_distances, ordered[:, 1], rtol=1e-5)


def test_copies_are_at_distance_zero_whatever_the_offset() -> None:
    training = TRAINING + 1000
    near, _ = find_nearest(training[[5, 900]], HELD_OUT, blocks(training))
    assert near.indices.tolist() == [5, 900]
    assert near.distances.tolist() == [0, 0]
    assert near.ratios.tolist() == [0, 0]


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_one_per_cent_of_copies_is_found(noise: float) -> None:
    generated = vectors(1000, 3)
    generated[:10] = TRAINING[200:210] + noise * vectors(10, 4)
    found = judge(generated)
    assert found.memorised
    assert {tuple(pair) for pair in found.closest_pairs} <= {(k, 200 + k) for k in range(10)}
    assert found.median_ratio == pytest.approx(1, abs=0.05)


def test_held_out_real_images_are_not_flagged() -> None:
    found = judge(vectors(800, 5))
    assert not found.memorised
    assert found.close_fraction_expected == pytest.approx(10 / 1001)
    assert found.close_fraction == pytest.approx(0.01, abs=0.012)


def test_a_set_that_closes_in_as_a_whole_shows_in_median_and_auc() -> None:
    generated = (TRAINING + 0.4 * vectors(1000, 6)).astype(np.float32)
    found = judge(generated)
    assert found.median_ratio < 0.9


def test_chance_of_all_being_nearer_is_counted_out() -> None:
    held_out = np.arange(1.0, 21.0)
    near, far = (
        Nearest(
            distances=distances,
            second_distances=2 * distances,
            indices=np.zeros(20, dtype=np.int64),
        )
        for distances in (held_out / 100, held_out)
    )
    found = Memorisation.of(near, far)
    # All 20 come first in a random order of 40; four tests share the false-positive rate.
    assert found.tail_p_value == pytest.approx(4 / math.comb(40, 20))
    assert found.close_fraction == 1


def test_false_positive_rate_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memorisation, "FALSE_POSITIVE_RATE", 0.1)
    rng = np.random.default_rng(7)
    flagged = 0
    for _ in range(300):
        sets = []
        for num in (60, 90):
            distances = np.sort(rng.exponential(size=(num, 2)), axis=1)
            sets.append(
                Nearest(
                    distances=distances[:, 0],
                    second_distances=distances[:, 1],
                    indices=np.zeros(num, dtype=np.int64),
                )
            )
        flagged += Memorisation.of(sets[0], sets[1]).memorised
    # At most 10% by the union bound; the tests overlap and counts are discrete.
    assert 2 < flagged < 45


def test_pixels_are_shrunk_by_area() -> None:
    images = np.random.default_rng(8).normal(size=(3, 1, 64, 64))
    assert np.allclose(
        pixel_vectors(images).reshape(3, 32, 32),
        images.reshape(3, 32, 2, 32, 2).mean((2, 4)),
        atol=1e-6,
    )
    assert pixel_vectors(images[..., :28, :28]).shape == (3, 784)


def test_mistakes_are_named() -> None:
    with pytest.raises(GravLensError, match="the training set to compare with is empty"):
        find_nearest(HELD_OUT, HELD_OUT, [])
    with pytest.raises(GravLensError, match="differ in length of their vectors: 12 and 13"):
        find_nearest(HELD_OUT, HELD_OUT, [vectors(9, 0, 13)])
    alone, _ = find_nearest(HELD_OUT[:3], HELD_OUT, [TRAINING[:1]])
    assert np.isinf(alone.second_distances).all()
