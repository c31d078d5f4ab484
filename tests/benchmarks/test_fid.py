"""The benchmark of FID: its ways to 299 pixels, its draws, and that it goes on where it was."""

from pathlib import Path

import numpy as np
import pytest
import torch

from gravlensdiffusion.metrics.inception import INPUT_SIZE, normalise

IMAGES = np.random.default_rng(0).random((2, 28, 28), dtype=np.float32)


def shown(images: np.ndarray) -> np.ndarray:
    """Return images as the network sees them, on [0, 1]."""
    return (normalise(torch.from_numpy(images)).numpy() + 1) / 2


def test_tensorflow_keeps_the_first_corner_and_moves_half_a_pixel() -> None:
    from fid import as_tensorflow

    found = shown(as_tensorflow(IMAGES))
    at = np.arange(INPUT_SIZE) * 28 / INPUT_SIZE
    assert np.allclose(
        found[:, 0, 0], [np.interp(at, range(28), one[0]) for one in IMAGES], atol=1e-5
    )
    assert np.allclose(
        found[:, 2, :, 0], [np.interp(at, range(28), one[:, 0]) for one in IMAGES], atol=1e-5
    )


def test_every_way_gives_what_the_network_takes() -> None:
    from fid import WAYS

    for way, prepare in WAYS.items():
        found = shown(prepare(IMAGES))
        assert found.shape == (2, 3, INPUT_SIZE, INPUT_SIZE), way
        assert -1e-5 < found.min() < found.max() < 1 + 1e-5, way


def test_draws_do_not_overlap_while_there_are_images(monkeypatch: pytest.MonkeyPatch) -> None:
    import fid

    seen: list[float] = []
    monkeypatch.setattr(fid, "frechet_distance", lambda x, _: seen.extend(x[:, 0]) or 1.0)
    numbers = np.arange(20, dtype=np.float32)[:, None]
    assert fid.drawn(numbers, numbers, 4, 5) == (1.0, 0.0)
    assert sorted(seen) == list(range(20))
    assert np.isnan(fid.drawn(numbers, numbers, 20, 5)[1])


def test_features_are_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fid

    monkeypatch.setattr(
        fid, "inception_features", lambda _, images: images.reshape(len(images), -1)
    )
    store = fid.FeatureStore(tmp_path, "hash of weights", network=None)
    first = store.of(IMAGES)
    assert store.images == 2
    assert np.array_equal(store.of(IMAGES), first)
    assert store.images == 2
    assert not np.array_equal(store.of(IMAGES, "8 bits, cut"), first)
    assert store.images == 4
