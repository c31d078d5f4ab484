"""Classes by other names; one without images is neither learned nor drawn, in any command."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gravlensdiffusion.balancing.settings import class_targets
from gravlensdiffusion.classification.fitting import _read_classes
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.model.checkpoint import load_model
from gravlensdiffusion.sets.records import FilledClass, Filling, SetHeader, deeplense_names
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


FILLING = Filling(
    model="m",
    weights="",
    seed=0,
    sampler="ddim",
    num_steps=2,
    guidance=1.0,
    classes=(FilledClass(name="cdm", first=0, num=2), FilledClass(name="empty", first=0, num=0)),
)


def made() -> ArraySource:
    header = SetHeader(class_names=("no_sub", "cdm", "empty"), fillings=(FILLING,))
    labels = np.array([2, -1, 0, 1], np.int16)
    return ArraySource(np.zeros((4, 1, 2, 2), np.float32), labels, header)


def test_classes_of_one_name_become_one() -> None:
    source = made().relabelled({"no_sub": "lens", "cdm": "lens"})
    assert source.header.class_names == ("lens", "empty")
    assert source.labels.tolist() == [1, -1, 0, 0]
    assert source.select([3, 1]).labels.tolist() == [0, -1]


def test_names_may_be_exchanged_and_what_was_filled_goes_with_them() -> None:
    source = made().relabelled({"no_sub": "cdm", "cdm": "no_sub"})
    assert source.header.class_names == ("cdm", "no_sub", "empty")
    assert source.labels.tolist() == [2, -1, 0, 1]
    (filling,) = source.header.fillings
    assert [each.name for each in filling.classes] == ["no_sub", "empty"]


def test_a_class_that_is_not_there_is_refused() -> None:
    with pytest.raises(GravLensError, match="no class 'axion'; there are: no_sub, cdm, empty"):
        made().relabelled({"axion": "cdm"})


@pytest.mark.parametrize(
    ("own", "known", "meant"),
    [
        ("no sphere vort", "no_sub cdm axion", {"no": "no_sub", "sphere": "cdm", "vort": "axion"}),
        (
            "No_Sub CDM Axion",
            "axion cdm no_sub",
            {"No_Sub": "no_sub", "CDM": "cdm", "Axion": "axion"},
        ),
        ("no_sub cdm", "vort sphere no", {"no_sub": "no", "cdm": "sphere"}),
        ("no_sub sphere", "no_sub cdm axion", {"sphere": "cdm"}),
        ("no_sub cdm axion", "no_sub cdm axion", {}),
        ("no vort", "no_sub cdm", {"no": "no_sub"}),
        # A finder's no and yes, and names that would become one.
        ("no yes", "no_sub cdm axion", {}),
        ("no no_sub", "no_sub cdm axion", {}),
        ("no sphere vort", "", {}),
        ("", "no_sub cdm axion", {}),
    ],
)
def test_names_of_deeplense_are_known(own: str, known: str, meant: dict[str, str]) -> None:
    assert deeplense_names(own.split(), known.split()) == meant
