"""Which files of a folder are its images, and classes from a CSV file beside them."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from gravlensdiffusion.errors import BadFilesError, GravLensError
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.store.writer import write_store
from tests.sets.files import HEADER, lens_images, lens_records, save_folder


class TestFolders:
    def test_an_empty_folder(self, tmp_path: Path) -> None:
        with pytest.raises(GravLensError, match="holds no images"):
            open_set(tmp_path)

    def test_no_such_folder(self, tmp_path: Path) -> None:
        with pytest.raises(GravLensError, match="no such file or folder"):
            open_set(tmp_path / "none")

    def test_an_empty_class(self, tmp_path: Path) -> None:
        save_folder(tmp_path / "cdm", lens_images(2))
        (tmp_path / "axion").mkdir()
        (tmp_path / "__MACOSX").mkdir()
        (tmp_path / "no_sub").mkdir()
        (tmp_path / "no_sub" / ".DS_Store").touch()
        source = open_set(tmp_path)
        assert source.header.class_names == ("cdm",)
        assert "folders without images, left out: axion, no_sub" in source.notes

    def test_a_class_without_a_readable_image(self, tmp_path: Path) -> None:
        save_folder(tmp_path / "cdm", lens_images(2))
        (tmp_path / "axion").mkdir()
        (tmp_path / "axion" / "a.npy").write_bytes(b"no array")
        with pytest.raises(BadFilesError):
            open_set(tmp_path)
        assert open_set(tmp_path, skip_bad=True).header.class_names == ("cdm",)

    def test_a_folder_in_a_class(self, tmp_path: Path) -> None:
        save_folder(tmp_path / "cdm", lens_images(2))
        save_folder(tmp_path / "cdm" / "more", lens_images(2))
        with pytest.raises(BadFilesError, match="more: is a folder, expected an image"):
            open_set(tmp_path)

    def test_images_and_folders_side_by_side(self, tmp_path: Path) -> None:
        save_folder(tmp_path, lens_images(2))
        save_folder(tmp_path / "cdm", lens_images(2))
        with pytest.raises(GravLensError, match=r"images \(sample1.npy, ...\) and folders \(cdm"):
            open_set(tmp_path, skip_bad=True)

    def test_a_store_and_images_side_by_side(self, tmp_path: Path) -> None:
        save_folder(tmp_path, lens_images(2))
        write_store(tmp_path / "lenses.h5", lens_records(), HEADER)
        with pytest.raises(GravLensError, match=r"HDF5 files \(lenses.h5, ...\) and images"):
            open_set(tmp_path, skip_bad=True)

    def test_hidden_entries_are_mentioned(self, tmp_path: Path) -> None:
        save_folder(tmp_path, lens_images(2))
        (tmp_path / ".DS_Store").write_bytes(b"x")
        source = open_set(tmp_path)
        assert len(source) == 2
        assert source.notes == (
            "hidden entries, whose names begin with a dot or __MACOSX, left alone: 1",
        )


class TestLinks:
    def _set_with(self, tmp_path: Path, make: Callable[[Path], object]) -> Path:
        folder = save_folder(tmp_path / "set", lens_images(2))
        make(folder)
        return folder

    def test_a_link_inside_the_folder_is_followed(self, tmp_path: Path) -> None:
        folder = self._set_with(
            tmp_path, lambda folder: (folder / "a.npy").symlink_to(folder / "sample2.npy")
        )
        np.testing.assert_array_equal(open_set(folder).read([0])[0, 0], lens_images(2)[1])

    @pytest.mark.parametrize("is_folder", [False, True])
    def test_a_link_that_leaves_the_folder_is_refused(
        self, tmp_path: Path, is_folder: bool
    ) -> None:
        outside = save_folder(tmp_path / "outside", lens_images(1, seed=4))
        target = outside if is_folder else outside / "sample1.npy"
        folder = self._set_with(tmp_path, lambda folder: (folder / "a.npy").symlink_to(target))
        with pytest.raises(BadFilesError, match="is a link that leaves"):
            open_set(folder)
        assert len(open_set(folder, skip_bad=True)) == 2

    def test_a_link_that_leaves_the_folder_is_followed_when_asked(self, tmp_path: Path) -> None:
        outside = save_folder(tmp_path / "outside", lens_images(1, seed=4))
        target = outside / "sample1.npy"
        folder = self._set_with(tmp_path, lambda folder: (folder / "a.npy").symlink_to(target))
        assert len(open_set(folder, follow_links=True)) == 3

    def test_a_link_to_nothing(self, tmp_path: Path) -> None:
        folder = self._set_with(
            tmp_path, lambda folder: (folder / "a.npy").symlink_to(folder / "none")
        )
        with pytest.raises(BadFilesError, match=r"a\.npy: cannot be read"):
            open_set(folder)

    def test_a_link_in_a_circle(self, tmp_path: Path) -> None:
        folder = self._set_with(
            tmp_path, lambda folder: (folder / "a.npy").symlink_to(folder / "a.npy")
        )
        with pytest.raises(BadFilesError, match=r"a\.npy: cannot be read"):
            open_set(folder)

    def test_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        folder = self._set_with(tmp_path, lambda folder: os.mkfifo(folder / "a.npy"))
        with pytest.raises(BadFilesError, match=r"a\.npy: is no regular file"):
            open_set(folder)
        with pytest.raises(GravLensError, match="is no regular file"):
            open_set(folder / "a.npy")

    def test_the_folder_itself_may_be_a_link(self, tmp_path: Path) -> None:
        folder = self._set_with(tmp_path, lambda _: None)
        (tmp_path / "link").symlink_to(folder)
        assert len(open_set(tmp_path / "link")) == 2


def test_the_size_that_most_files_have_is_the_right_one(tmp_path: Path) -> None:
    save_folder(tmp_path, lens_images(2, size=9), "a{}.npy")
    save_folder(tmp_path, lens_images(3), "b{}.npy")
    source = open_set(tmp_path, skip_bad=True)
    assert source.image_shape == (1, 8, 8)
    assert source.num_skipped == 2


@pytest.fixture
def stamps(tmp_path: Path) -> Path:
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
def test_a_table_gives_the_classes(stamps: Path, text: str, beside: str) -> None:
    (stamps / beside).write_text(text, encoding="utf-8", newline="")
    source = open_set((stamps / beside).parent)
    assert source.header.class_names == ("cdm", "no")
    assert source.labels.tolist() == [0, 1, 1, 0]
    assert source.notes == ("classes of 4 files from labels.csv",)


def test_a_table_may_leave_out_that_a_file_is_packed(tmp_path: Path) -> None:
    for name, image in zip(("a.fits.gz", "b.fits", "c.fits.gz"), lens_images(3), strict=True):
        fits.writeto(tmp_path / name, image)
    (tmp_path / "labels.csv").write_text("file,label\na,cdm\nb,no\nc.fits.gz,cdm\n")
    assert open_set(tmp_path).labels.tolist() == [0, 1, 0]


def test_what_does_not_match_is_told(stamps: Path) -> None:
    (stamps / "labels.csv").write_text("file,label\nimages/0.npy,a\n1,b\n2,\n7.npy,a\n")
    source = open_set(stamps)
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
def test_a_table_that_cannot_be_used_is_one_line(stamps: Path, text: bytes, message: str) -> None:
    (stamps / "labels.csv").write_bytes(text)
    with pytest.raises(GravLensError, match=message):
        open_set(stamps)


def test_two_tables_are_refused(stamps: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (stamps / name).write_text("file,label\n0,a\n1,b\n")
    with pytest.raises(GravLensError, match=r"b\.csv: is a second table beside"):
        open_set(stamps)
