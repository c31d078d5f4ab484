"""Messages that name several files, which may have one name in different folders."""

from pathlib import Path

import numpy as np
import pytest

from gravlensdiffusion.classification.classifier import LensClassifier
from gravlensdiffusion.cli.main import main
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.evaluation.sets import Sets
from gravlensdiffusion.files import told_apart
from gravlensdiffusion.formats.entries import Entry, _taken
from gravlensdiffusion.formats.image import Facts
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.model.checkpoint import save_model
from gravlensdiffusion.sets.inspection import inspect_lenses
from gravlensdiffusion.sets.records import LensRecord, SetHeader
from gravlensdiffusion.store.reader import LensStore
from gravlensdiffusion.store.writer import write_store
from tests.classification.networks import untrained
from tests.classification.planted import planted
from tests.sets.files import lens_images

FIRST, SECOND = "a/lenses", "b/lenses"


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["x/a.h5", "x/b.h5"], ["a.h5", "b.h5"]),
        (["x/a.h5", "y/a.h5", "y/b.h5"], ["x/a.h5", "y/a.h5", "b.h5"]),
        (["x/z/a.h5", "y/z/a.h5"], ["x/z/a.h5", "y/z/a.h5"]),
        (["/w/x/a.h5", "/w/x/x/a.h5"], ["w/x/a.h5", "x/x/a.h5"]),
        (["/a.h5", "/x/a.h5"], ["/a.h5", "x/a.h5"]),
        (["x/a.h5", "y/../x/a.h5"], ["a.h5", "a.h5"]),
        (["."], [Path.cwd().name]),
        (["/"], ["/"]),
    ],
)
def test_as_much_of_a_path_is_told_as_tells_it_apart(paths: list[str], names: list[str]) -> None:
    assert told_apart(paths) == names


def written(folder: Path, unit: str = "e-/s", size: int = 8) -> list[Path]:
    """Write one set into two files of one name; the second is in another unit, or of another size."""
    paths = [folder / f"{name}.h5" for name in (FIRST, SECOND)]
    for path, each, side in zip(paths, ("e-/s", unit), (8, size), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        records = (LensRecord(image=image[None]) for image in lens_images(6, side))
        write_store(path, records, SetHeader(flux_unit=each))
    return paths


def of_units(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    words = ["evaluate", *map(str, written(folder, "peak")), "--out", str(folder / "report")]
    assert main(words) == 2
    return capsys.readouterr().err


def of_copies(folder: Path, _: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(GravLensError) as caught:
        Sets.of(*written(folder)).copies()
    return str(caught.value)


def of_shards(folder: Path, _: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(GravLensError) as caught:
        LensStore(folder, shards=written(folder, size=9))
    return str(caught.value)


def of_a_classifier(folder: Path, _: pytest.CaptureFixture[str]) -> str:
    source = planted(24, 1)
    write_store(folder / SECOND / "1.h5", source.records(), source.header)
    save_model(folder / FIRST, untrained())
    return LensClassifier.from_pretrained(folder / FIRST).score(folder / SECOND).title


def of_a_table(folder: Path, _: pytest.CaptureFixture[str]) -> str:
    for name, image in zip((FIRST, SECOND), lens_images(2), strict=True):
        (folder / name).parent.mkdir()
        np.save(folder / f"{name}.npy", image)
    return str(inspect_lenses(open_set(folder)).images)


def of_ways(folder: Path, _: pytest.CaptureFixture[str]) -> str:
    entries = [
        Entry(
            path=folder / f"{name}.fits",
            index=0,
            name=name,
            shape=(1, 8, 8),
            whole=(8, 8),
            dtype="float32",
            facts=Facts(taken=f"HDU {k} taken"),
            is_mask=False,
        )
        for k, name in enumerate((FIRST, SECOND))
    ]
    return "\n".join(_taken(entries))


MESSAGES = (of_units, of_copies, of_shards, of_a_classifier, of_a_table, of_ways)


@pytest.mark.parametrize("message", MESSAGES)
def test_files_of_one_name_can_be_told_apart(
    message: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = message(tmp_path, capsys)  # type: ignore[operator]
    assert FIRST in said
    assert SECOND in said
