"""Noise-free twins: kept beside the images, all or none, and never lost silently."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from gravlensdiffusion.cli.main import main
from gravlensdiffusion.errors import BadFilesError, GravLensError
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.formats.writers import write_images
from gravlensdiffusion.store.reader import LensStore, validate_store
from gravlensdiffusion.store.writer import write_store
from tests.sets.files import HEADER, lens_images, lens_records, save_folder, with_twins

TWINS = lens_images(7)[:, None] / 2 - 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_store(tmp_path / "set" / "lenses.h5", with_twins(lens_records()), HEADER)


def test_twins_come_back_and_the_images_with_them(path: Path) -> None:
    validate_store(path)
    with LensStore(path) as store:
        assert store.has_noise_free
        np.testing.assert_array_equal(store.read_noise_free([5, 0, 1, 5]), TWINS[[5, 0, 1, 5]])
        np.testing.assert_array_equal(store.read(slice(None)), lens_images(7)[:, None])
        np.testing.assert_array_equal(list(store.records())[4].noise_free, TWINS[4])
    with h5py.File(path) as file:
        assert file["images_noise_free"].dtype == np.float32
        assert file["images_noise_free"].chunks == file["images"].chunks


def test_twins_pass_from_block_to_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gravlensdiffusion.store.writer._BUFFER_BYTES", 4 * 4 * 64)
    path = write_store(tmp_path / "a.h5", with_twins(lens_records()), HEADER)
    np.testing.assert_array_equal(LensStore(path).read_noise_free(slice(None)), TWINS)


def test_a_set_without_twins_says_so(tmp_path: Path) -> None:
    path = write_store(tmp_path / "a.h5", lens_records(), HEADER)
    store = LensStore(path)
    assert not store.has_noise_free
    assert next(store.records()).noise_free is None
    with pytest.raises(GravLensError, match=r"a\.h5: /images_noise_free: missing"):
        store.read_noise_free([0])
    with h5py.File(path) as file:
        assert "images_noise_free" not in file


@pytest.mark.parametrize(("first", "what"), [(True, "lacks"), (False, "has")])
def test_twins_of_some_images_only_are_refused(tmp_path: Path, first: bool, what: str) -> None:
    plain, paired = list(lens_records()), list(with_twins(lens_records()))
    records = [*paired[:3], *plain[3:]] if first else [*plain[:3], *paired[3:]]
    with pytest.raises(GravLensError, match=f"/images_noise_free: image 3 {what} a noise-free"):
        write_store(tmp_path / "a.h5", records, HEADER)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("twin", "message"),
    [
        (np.ones((1, 9, 8), np.float32), r"image 2 has shape \(1, 9, 8\)"),
        (np.full((1, 8, 8), np.inf, np.float32), "image 2 .* not finite"),
    ],
)
def test_a_bad_twin_is_named(tmp_path: Path, twin: np.ndarray, message: str) -> None:
    records = list(with_twins(lens_records()))
    records[2] = replace(records[2], noise_free=twin)
    with pytest.raises(GravLensError, match=f"/images_noise_free: {message}"):
        write_store(tmp_path / "a.h5", records, HEADER)


def _set(data: np.ndarray) -> Callable[[h5py.File], object]:
    def change(file: h5py.File) -> None:
        del file["images_noise_free"]
        file["images_noise_free"] = data

    return change


def _link(file: h5py.File) -> None:
    del file["images_noise_free"]
    file["images_noise_free"] = h5py.SoftLink("/images")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set(np.ones((7, 1, 8, 8))), "must be float32 of shape"),
        (_set(np.ones((6, 1, 8, 8), "f4")), "must be float32 of shape"),
        (_set(np.ones((7, 1, 8, 9), "f4")), "must be float32 of shape"),
        (_link, "is a link"),
        (
            lambda file: file["images_noise_free"].__setitem__((3, 0, 1, 1), np.nan),
            "image 3 has a value that is not finite",
        ),
    ],
)
def test_a_breach_of_the_specification_is_named(
    path: Path, change: Callable[[h5py.File], object], message: str
) -> None:
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(GravLensError, match=f"/images_noise_free: {message}"):
        validate_store(path)


class TestShards:
    def test_twins_of_all_shards_are_one_set(self, tmp_path: Path) -> None:
        records = list(with_twins(lens_records()))
        write_store(tmp_path / "2.h5", records[3:], HEADER)
        write_store(tmp_path / "1.h5", records[:3], HEADER)
        validate_store(tmp_path)
        store = LensStore(tmp_path)
        assert store.has_noise_free
        assert store.notes == ()
        np.testing.assert_array_equal(store.read_noise_free([6, 2, 3]), TWINS[[6, 2, 3]])

    def test_twins_of_some_shards_are_left_alone_and_told(self, tmp_path: Path) -> None:
        write_store(tmp_path / "1.h5", with_twins(lens_records(3)), HEADER)
        write_store(tmp_path / "2.h5", lens_records(3, seed=5), HEADER)
        store = open_set(tmp_path)
        assert not store.has_noise_free
        assert store.notes == ("noise-free images are in 1 of 2 files only: left alone",)
        with pytest.raises(GravLensError, match=r"2\.h5: /images_noise_free: missing"):
            store.read_noise_free([0])


class TestOpenLenses:
    def test_a_store_is_opened_with_its_twins(self, path: Path) -> None:
        for place in (path, path.parent):
            source = open_set(place)
            assert isinstance(source, LensStore)
            np.testing.assert_array_equal(source.read_noise_free([3, 1]), TWINS[[3, 1]])

    def test_bad_images_and_bad_twins_are_left_out_of_both(self, path: Path) -> None:
        with h5py.File(path, "r+") as file:
            file["images"][1] = 0.0
            file["images_noise_free"][4, 0, 2, 2] = np.nan
        with pytest.raises(BadFilesError) as caught:
            open_set(path)
        assert [line.split("]: ")[1] for line in caught.value.problems] == [
            "is constant: every pixel is 0",
            "has a noise-free image that is not finite",
        ]
        source = open_set(path, skip_bad=True)
        assert source.has_noise_free
        assert source.num_skipped == 2
        kept = [0, 2, 3, 5, 6]
        np.testing.assert_array_equal(source.read_noise_free(slice(None)), TWINS[kept])
        np.testing.assert_array_equal(source.read_noise_free([3]), TWINS[[5]])

    def test_other_files_have_none(self, tmp_path: Path) -> None:
        source = open_set(save_folder(tmp_path / "set", lens_images(3)))
        assert not source.has_noise_free
        with pytest.raises(GravLensError, match="has no noise-free images"):
            source.read_noise_free([0])


def test_inspect_mentions_twins(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["inspect", str(path)]) == 0
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    assert ["noise-free", "a twin of each image"] in lines
    plain = write_store(tmp_path / "plain.h5", lens_records(), HEADER)
    assert main(["inspect", str(plain)]) == 0
    assert "noise-free" not in capsys.readouterr().out


def test_written_sets_keep_twins_in_the_store_and_not_in_single_files(tmp_path: Path) -> None:
    records = with_twins(lens_records())
    write_images(tmp_path, records, HEADER, ("h5", "npy"), model="m")
    np.testing.assert_array_equal(
        LensStore(tmp_path / "lenses.h5").read_noise_free(slice(None)), TWINS
    )
    np.testing.assert_array_equal(np.load(tmp_path / "npy" / "00002.npy"), lens_images(7)[2:3])
