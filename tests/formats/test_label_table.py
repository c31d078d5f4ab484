"""Classes from a CSV file beside the images."""

from pathlib import Path

import numpy as np
import pytest

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.formats.open import open_set
from tests.sets.files import lens_images


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for k, image in enumerate(lens_images(4)):
        np.save(tmp_path / "images" / f"{k}.npy", image)
    return tmp_path


@pytest.mark.parametrize("beside", ["images/labels.csv", "labels.csv"])
@pytest.mark.parametrize(
    "text",
    [
        "file,label\n0.npy,cdm\n1.npy,no\n3.npy,cdm\n2.npy,no\n",
        "\ufeffid,Class, FileName\r\n9,cdm,0\r\n8,no,1\r\n7,cdm,3\r\n6,no,2\r\n",
    ],
)
def test_a_table_gives_the_classes(folder: Path, text: str, beside: str) -> None:
    (folder / beside).write_text(text, encoding="utf-8", newline="")
    source = open_set((folder / beside).parent)
    assert source.header.class_names == ("cdm", "no")
    assert source.labels.tolist() == [0, 1, 1, 0]
    assert source.notes == ("classes of 4 files from labels.csv",)


def test_what_does_not_match_is_told(folder: Path) -> None:
    (folder / "labels.csv").write_text("file,label\nimages/0.npy,a\n1,b\n2,\n7.npy,a\n")
    source = open_set(folder)
    assert source.labels.tolist() == [0, 1, -1, -1]
    assert source.notes[1:] == (
        "files that labels.csv names and that are not here: 7.npy",
        "files that labels.csv gives no class: 2.npy, 3.npy",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"ra,dec\n1,2\n", "first line is 'file,label'; its columns are ra, dec"),
        (b"", "its columns are none"),
        (b"file,label\n0,a\n0,b\n", "gives 0 two classes"),
        (b"file,label\nx,a\n", "names none of the images"),
        (b"file,label\n0,\xff\n", "is a damaged table"),
        (b"file,label\n0,any\n", "any"),
    ],
)
def test_a_table_that_cannot_be_used_is_one_line(folder: Path, text: bytes, message: str) -> None:
    (folder / "labels.csv").write_bytes(text)
    with pytest.raises(GravLensError, match=message):
        open_set(folder)


def test_two_tables_are_refused(folder: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (folder / name).write_text("file,label\n0,a\n1,b\n")
    with pytest.raises(GravLensError, match=r"b\.csv: is a second table beside"):
        open_set(folder)
