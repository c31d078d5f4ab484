"""Preparing a training set."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gravlensdiffusion.data.dataset import prepare
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.resize import resize
from tests.sources import ArraySource, rings


def test_images_are_resized_once_and_then_reused(tmp_path: Path) -> None:
    source = rings()
    first = prepare(source, tmp_path, 8, "area")
    assert np.allclose(first.images, resize(source.images, 8, "area"))
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


def test_an_interrupted_preparation_is_done_again(tmp_path: Path) -> None:
    source = rings()

    class Broken(ArraySource):
        def read(self, indices: object) -> np.ndarray:  # type: ignore[override]
            if len(indices) > 20:  # type: ignore[arg-type]
                raise OSError("disk gone")
            return super().read(indices)  # type: ignore[arg-type]

    with pytest.raises(OSError, match="disk gone"):
        prepare(Broken(source.images, source.labels, source.header), tmp_path, 8, "area")
    assert not (tmp_path / "images.npy").exists()
    assert len(prepare(source, tmp_path, 8, "area")) == 40


def test_images_stay_in_the_file(tmp_path: Path) -> None:
    assert isinstance(prepare(rings(), tmp_path, 8, "area").images, np.memmap)


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
