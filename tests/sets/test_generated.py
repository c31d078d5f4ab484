"""Which images of a set are generated, and how a file says so."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.records import GENERATED, FilledClass, Filling
from gravlensdiffusion.store.reader import LensStore
from gravlensdiffusion.store.writer import write_store
from tests.sets.files import HEADER, lens_records
from tests.sources import rings


def filling(seed: int = 0) -> Filling:
    """Return the filling of a set by some model."""
    return Filling(
        model="tiny",
        weights="5e1f",
        seed=seed,
        sampler="dpmpp",
        num_steps=4,
        guidance=1.5,
        classes=(
            FilledClass(name="cdm", first=2, num=3),
            FilledClass(name="axion", first=0, num=0),
        ),
        resample="area, middle 8 pixels to 4",
    )


def test_flags_say_which_images_are_generated() -> None:
    source = rings(5)
    source.parameters[GENERATED] = np.array([0.0, 1.0, np.nan, 1.0, 0.0])
    assert source.is_generated.tolist() == [False, True, False, True, False]


def test_a_set_without_flags_has_originals_only() -> None:
    assert rings(3).is_generated.tolist() == [False, False, False]


def test_fillings_come_back(tmp_path: Path) -> None:
    # The largest seed there is has more digits than a double.
    header = replace(HEADER, fillings=(filling(), filling(2**64 - 1)))
    store = LensStore(write_store(tmp_path / "a.h5", lens_records(), header))
    assert store.header == header
    assert store.header.fillings[0].num == 3
    assert store.notes == (
        "filled up by model tiny, seed 0: cdm 3",
        "filled up by model tiny, seed 18446744073709551615: cdm 3",
    )


def test_shards_have_the_fillings_of_all_of_them(tmp_path: Path) -> None:
    for name, fillings in (("1", (filling(1),)), ("2", ()), ("3", (filling(1), filling(2)))):
        header = replace(HEADER, fillings=fillings)
        write_store(tmp_path / f"{name}.h5", lens_records(), header)
    assert LensStore(tmp_path).header.fillings == (filling(1), filling(2))


def test_a_number_below_zero_is_refused() -> None:
    with pytest.raises(GravLensError, match="class 'cdm' cannot have 3 from -1 on"):
        FilledClass(name="cdm", first=-1, num=3)
