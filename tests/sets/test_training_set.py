"""Preparing a training set."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.flux import resize_flux
from gravlensdiffusion.sets.images import Indices
from gravlensdiffusion.sets.training_set import prepare
from tests.sources import ArraySource, rings


def test_images_are_resized_once_and_then_reused(tmp_path: Path) -> None:
    source = rings()
    first = prepare(source, tmp_path, 8, "area")
    assert np.allclose(first.images[:], resize_flux(source.images, 8, "area"))
    written = (tmp_path / "images.npy").stat().st_mtime_ns
    second = prepare(source, tmp_path, 8, "area")
    assert (tmp_path / "images.npy").stat().st_mtime_ns == written
    assert second.fingerprint == first.fingerprint


def test_other_images_labels_size_or_method_are_prepared_anew(tmp_path: Path) -> None:
    source = rings()
    prints = {prepare(source, tmp_path, 8, "area").fingerprint}
    prints.add(prepare(source, tmp_path, 5, "bilinear").fingerprint)
    prints.add(prepare(source, tmp_path, 5, "area").fingerprint)
    prints.add(prepare(rings(seed=2), tmp_path, 8, "area").fingerprint)
    relabelled = replace(source, labels=1 - source.labels)
    prints.add(prepare(relabelled, tmp_path, 8, "area").fingerprint)
    assert len(prints) == 5


def test_any_image_of_a_set_in_memory_that_changes_is_noticed(tmp_path: Path) -> None:
    source = rings()
    prints = {prepare(source, tmp_path, 8, "area").fingerprint}
    for k in range(5):
        source.images[k] *= 2
        prints.add(prepare(source, tmp_path, 8, "area").fingerprint)
    assert len(prints) == 6


def test_a_process_that_does_not_write_takes_what_another_has_prepared(tmp_path: Path) -> None:
    with pytest.raises(GravLensError, match="all processes need the same data"):
        prepare(rings(), tmp_path / "new", 8, "area", writes=False)
    assert not (tmp_path / "new").exists()
    first = prepare(rings(), tmp_path, 8, "area")
    assert prepare(rings(), tmp_path, 8, "area", writes=False).fingerprint == first.fingerprint
    with pytest.raises(GravLensError, match="holds other images than this process reads"):
        prepare(rings(seed=2), tmp_path, 8, "area", writes=False)
    assert prepare(rings(), tmp_path, 8, "area").fingerprint == first.fingerprint


def test_an_interrupted_preparation_is_done_again(tmp_path: Path) -> None:
    source = rings()

    class Broken(ArraySource):
        def read(self, indices: Indices) -> np.ndarray:
            if isinstance(indices, slice):
                raise GravLensError("disk gone")
            return super().read(indices)

    with pytest.raises(GravLensError, match="disk gone"):
        prepare(Broken(source.images, source.labels, source.header), tmp_path, 8, "area")
    assert not (tmp_path / "images.npy").exists()
    assert len(prepare(source, tmp_path, 8, "area")) == 40


def test_images_are_read_from_the_file_as_they_are_asked_for(tmp_path: Path) -> None:
    images = prepare(rings(), tmp_path, 8, "area").images
    written = np.load(tmp_path / "images.npy")
    assert images.shape == written.shape == (40, 1, 8, 8)
    for where in ([3, 4, 5, 39, 0], [7, 7, 6], [12], []):
        chosen = np.array(where, dtype=np.int64)
        assert np.array_equal(images[chosen], written[chosen])
    for part in (slice(None), slice(5, 9), slice(30, 99), slice(9, 5)):
        assert np.array_equal(images[part], written[part])
    assert np.array_equal(
        np.concatenate(list(prepare(rings(), tmp_path, 8, "area").images.blocks(7))), written
    )


def test_images_that_are_not_there_are_refused(tmp_path: Path) -> None:
    images = prepare(rings(), tmp_path, 8, "area").images
    for place in (40, -1):
        with pytest.raises(IndexError, match="0 to 39"):
            images[np.array([place])]
    with (tmp_path / "images.npy").open("r+b") as file:
        file.truncate(5000)
    with pytest.raises(GravLensError, match=r"images\.npy: damaged"):
        images[np.array([39])]


def test_reading_all_images_leaves_none_of_them_in_memory(tmp_path: Path) -> None:
    pixels = np.ones((2000, 1, 32, 32), np.float32)
    data = prepare(ArraySource(pixels, np.zeros(2000, np.int16)), tmp_path, 32, "area")
    tracemalloc.start()
    total = sum(float(batch.sum()) for batch in data.images.blocks(50))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == pixels.size
    assert peak < pixels.nbytes / 5
    maps = Path("/proc/self/maps")
    assert not maps.is_file() or str(tmp_path) not in maps.read_text()


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((0, 1, 8, 8), np.float32), "empty"),
        (np.zeros((2, 1, 8, 9), np.float32), "square, these are 8 by 9"),
        (np.zeros((2, 1, 4, 4), np.float32), "4 pixels a side, fewer than 8"),
    ],
)
def test_sets_that_cannot_be_trained_on(images: np.ndarray, message: str, tmp_path: Path) -> None:
    source = ArraySource(images, np.zeros(len(images), np.int16))
    with pytest.raises(GravLensError, match=message):
        prepare(source, tmp_path, 8, "area")
