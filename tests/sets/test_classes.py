"""A class without images is neither learned nor drawn, in any command."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from gravlensdiffusion.balancing.settings import class_targets
from gravlensdiffusion.classification.fitting import _read_classes
from gravlensdiffusion.model.checkpoint import load_model
from gravlensdiffusion.training.diffusion import train
from tests.balancing.sets import save_set
from tests.sources import ArraySource, rings, tiny

NAMES = ("__MACOSX", "small", "unseen", "large", "last")


def with_absent() -> ArraySource:
    """Return rings whose header names three classes that have no image."""
    source = rings()
    source.header = replace(source.header, class_names=NAMES)
    source.labels = np.where(source.labels == 0, 1, 3).astype(np.int16)
    source.labels[0] = -1
    return source


def test_present_classes_keep_their_images() -> None:
    before = with_absent()
    source, absent = before.with_present_classes(), before.absent_classes
    assert absent == ("__MACOSX", "unseen", "last")
    assert source.header.class_names == ("small", "large")
    names = np.array([*source.header.class_names, None])[source.labels]
    assert names.tolist() == np.array([*NAMES, None])[before.labels].tolist()
    np.testing.assert_array_equal(source.read([3]), before.read([3]))
    same, none = rings().with_present_classes(), rings().absent_classes
    assert isinstance(same, ArraySource)
    assert not none


def test_absent_classes_are_not_trained(tmp_path: Path) -> None:
    train(tiny(total_images=8), with_absent(), tmp_path / "run", device="cpu")
    assert load_model(tmp_path / "run").config.class_names == ("small", "large")


def test_absent_classes_are_not_classified() -> None:
    assert _read_classes(with_absent(), {})[0].header.class_names == ("small", "large")


def test_absent_classes_are_not_filled(tmp_path: Path) -> None:
    source = save_set(tmp_path / "set.h5", labels=(2, 2, 1))
    assert class_targets(source) == {"cdm": 2, "no_sub": 2}
    assert class_targets(source, 5) == {"cdm": 5, "no_sub": 5}
    assert class_targets(source, alike=True) == {"cdm": 2, "no_sub": 3}
