"""Data sets of every shape are opened, and read on demand."""

import pickle
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.store.reader import LensStore
from gravlensdiffusion.store.writer import write_store
from tests.sets.files import HEADER, SHARED_DATA, lens_images, lens_records, save_folder

needs_shared_data = pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="shared data are absent")


@pytest.mark.parametrize("shape", [(8, 9), (1, 8, 9), (8, 9, 1)])
@pytest.mark.parametrize("dtype", ["<f8", ">f4", "<f2", "u1", "i2", ">i8"])
def test_npy_files_of_every_shape_and_dtype(
    tmp_path: Path, shape: tuple[int, ...], dtype: str
) -> None:
    images = (lens_images(3, size=9)[:, :8] * 100).astype(dtype)
    save_folder(tmp_path, images.reshape(3, *shape))
    source = open_set(tmp_path)
    assert source.image_shape == (1, 8, 9)
    assert source.dtypes == (np.dtype(dtype).name,)
    assert source.labels.tolist() == [-1, -1, -1]
    white = 255 if dtype == "u1" else 1
    assert source.header.flux_unit == ("unknown" if white == 1 else "full scale")
    assert source.header.pixel_scale_arcsec is None
    images = images.astype(np.float32) / np.float32(white)
    np.testing.assert_array_equal(source.read([2, 0])[:, 0], images[[2, 0]])


def test_fortran_order(tmp_path: Path) -> None:
    image = np.asfortranarray(lens_images(1, size=9)[0, :8])
    np.save(tmp_path / "a.npy", image)
    np.testing.assert_array_equal(open_set(tmp_path).read([0])[0, 0], image)


def test_files_come_in_natural_order(tmp_path: Path) -> None:
    images = lens_images(12)
    source = open_set(save_folder(tmp_path, images))
    np.testing.assert_array_equal(source.read(slice(None))[:, 0], images)
    assert source.name(9) == str(tmp_path / "sample10.npy")


def test_class_folders_give_labels(tmp_path: Path) -> None:
    images = lens_images(6)
    save_folder(tmp_path / "no_sub", images[:3])
    save_folder(tmp_path / "axion", images[3:4])
    save_folder(tmp_path / "cdm", images[4:])
    source = open_set(tmp_path)
    assert source.header.class_names == ("axion", "cdm", "no_sub")
    assert source.labels.tolist() == [0, 1, 1, 2, 2, 2]
    np.testing.assert_array_equal(source.read([0, 3])[:, 0], images[[3, 0]])


def test_only_the_images_asked_for_are_read(tmp_path: Path) -> None:
    images = lens_images(5)
    source = open_set(save_folder(tmp_path, images))
    for k in (1, 2, 3, 5):
        (tmp_path / f"sample{k}.npy").unlink()
    np.testing.assert_array_equal(source.read([3])[0, 0], images[3])
    with pytest.raises(GravLensError, match=r"sample2\.npy: cannot be read \(No such file"):
        source.read([1])


def test_a_file_that_changes_its_size_is_told(tmp_path: Path) -> None:
    source = open_set(save_folder(tmp_path, lens_images(2)))
    np.save(tmp_path / "sample2.npy", lens_images(1, size=9)[0])
    with pytest.raises(GravLensError, match=r"sample2\.npy: has changed its size"):
        source.read([1])


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("shape", [(5, 8, 9), (5, 1, 8, 9), (5, 8, 9, 1)])
def test_npz_archives(tmp_path: Path, save: Callable[..., None], shape: tuple[int, ...]) -> None:
    images = lens_images(5, size=9)[:, :8]
    save(tmp_path / "a.npz", images=images.reshape(shape), labels=[1, 0, -1, 2, 0], extra=[1.0])
    source = open_set(tmp_path / "a.npz")
    assert source.image_shape == (1, 8, 9)
    assert source.header.class_names == ("0", "1", "2")
    assert source.labels.tolist() == [1, 0, -1, 2, 0]
    np.testing.assert_array_equal(source.read([4, 1])[:, 0], images[[4, 1]])
    assert source.name(4) == f"{tmp_path / 'a.npz'}[4]"


def test_npz_with_names_of_classes(tmp_path: Path) -> None:
    images = lens_images(3)
    np.savez(tmp_path / "a.npz", images=images, labels=["cdm", "axion", "cdm"])
    np.savez(
        tmp_path / "b.npz", images=images, labels=[2, 0, 2], class_names=["no_sub", "cdm", "axion"]
    )
    by_text, by_number = open_set(tmp_path / "a.npz"), open_set(tmp_path / "b.npz")
    assert by_text.header.class_names == ("axion", "cdm")
    assert by_text.labels.tolist() == [1, 0, 1]
    assert by_number.header.class_names == ("no_sub", "cdm", "axion")
    assert by_number.labels.tolist() == [2, 0, 2]


def test_the_only_array_of_an_archive(tmp_path: Path) -> None:
    images = lens_images(2)
    np.savez(tmp_path / "a.npz", stamps=images)
    np.testing.assert_array_equal(open_set(tmp_path / "a.npz").read([1])[0, 0], images[1])


def test_a_folder_of_archives_is_one_set(tmp_path: Path) -> None:
    images = lens_images(5)
    np.savez(tmp_path / "p1.npz", images=images[:2])
    np.savez_compressed(tmp_path / "p2.npz", images=images[2:])
    source = open_set(tmp_path)
    np.testing.assert_array_equal(source.read([4, 0, 2])[:, 0], images[[4, 0, 2]])


def test_one_npy_file_may_hold_a_stack(tmp_path: Path) -> None:
    images = lens_images(4)
    np.save(tmp_path / "all.npy", images)
    source = open_set(tmp_path / "all.npy")
    np.testing.assert_array_equal(source.read([3, 1])[:, 0], images[[3, 1]])


def test_stacks_lie_in_class_folders_as_single_images_do(tmp_path: Path) -> None:
    images = lens_images(24)
    for name, own in (("cdm", images[:11]), ("no_sub", images[11:])):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "all.npy", own)
    np.save(tmp_path / "no_sub" / "more.npy", images[:2, None])
    source = open_set(tmp_path)
    assert source.labels.tolist() == [0] * 11 + [1] * 15
    assert source.name(11) == f"{tmp_path}/no_sub/all.npy[0]"
    np.testing.assert_array_equal(source.read([11, 25])[:, 0], images[[11, 1]])


def test_three_planes_are_three_images_alone_and_colours_in_a_folder(tmp_path: Path) -> None:
    planes = lens_images(3)
    np.save(tmp_path / "a.npy", planes)
    source = open_set(tmp_path / "a.npy")
    assert (len(source), source.image_shape) == (3, (1, 8, 8))
    assert "shape (3, 8, 8), taken as 3 images; of shape (1, 3, 8, 8)" in source.notes[0]
    assert open_set(tmp_path).image_shape == (3, 8, 8)
    np.save(tmp_path / "a.npy", planes[None])
    assert open_set(tmp_path / "a.npy").image_shape == (3, 8, 8)


@pytest.mark.parametrize("kind", ["all.npy", "all.npz", "packed.npz"])
def test_a_large_stack_does_not_fill_the_memory(tmp_path: Path, kind: str) -> None:
    images = np.random.default_rng(0).random((256, 64, 64), dtype=np.float32)
    save = {"all.npy": np.save, "all.npz": np.savez, "packed.npz": np.savez_compressed}[kind]
    # Few bits, so that packing is quick.
    images = np.round(images, 1)
    save(tmp_path / kind, images)
    tracemalloc.start()
    source = open_set(tmp_path / kind)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(source) == 256
    assert images.nbytes == 4 * 2**20
    assert peak < 2**20


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "packed.npz"])
def test_a_pickled_source_reads_the_same(tmp_path: Path, name: str) -> None:
    images = lens_images(4)
    save = {"a.npy": np.save, "a.npz": np.savez, "packed.npz": np.savez_compressed}[name]
    save(tmp_path / name, images)
    source = open_set(tmp_path / name)
    source.read([0])
    content = pickle.dumps(source)
    assert len(content) < 4000
    np.testing.assert_array_equal(pickle.loads(content).read([2])[0, 0], images[2])


class TestStores:
    def test_a_good_store_is_opened_as_it_is(self, tmp_path: Path) -> None:
        source = open_set(write_store(tmp_path / "lenses.h5", lens_records(), HEADER))
        assert isinstance(source, LensStore)
        assert source.problems == ()
        assert source.header == HEADER

    def test_bad_images_in_a_store(self, tmp_path: Path) -> None:
        records = list(lens_records())
        records[1].image[:] = 0.5
        path = write_store(tmp_path / "lenses.h5", records, HEADER)
        with pytest.raises(GravLensError, match=r"1 file or image cannot be used") as caught:
            open_set(path)
        assert caught.value.problems == (f"{path}[1]: is constant: every pixel is 0.5",)
        source = open_set(path, skip_bad=True)
        assert source.num_skipped == 1
        assert len(source) == 6
        assert source.labels.tolist() == [0, 2, 0, 1, 2, 0]
        assert source.subhaloes["image"].tolist() == [3, 3, 3, 3]
        assert source.parameters["theta_E"].tolist() == [1.0, 1.2, 1.3, 1.4, 1.5, 1.6]
        assert source.name(1) == f"{path}[2]"
        np.testing.assert_array_equal(source.read([1, 5]), [records[2].image, records[6].image])

    def test_bad_shards_are_left_out_by_name(self, tmp_path: Path) -> None:
        write_store(tmp_path / "1.h5", lens_records(2), HEADER)
        write_store(tmp_path / "3.h5", lens_records(3), HEADER)
        (tmp_path / "2.h5").write_bytes((tmp_path / "3.h5").read_bytes()[:-64])
        (tmp_path / "notes.txt").write_text("mine")
        with pytest.raises(GravLensError, match="2 files or images cannot be used"):
            open_set(tmp_path)
        source = open_set(tmp_path, skip_bad=True)
        assert len(source) == 5
        assert [line.split(": ")[0] for line in source.problems] == [
            str(tmp_path / "notes.txt"),
            str(tmp_path / "2.h5"),
        ]


class TestRealData:
    @needs_shared_data
    @pytest.mark.parametrize(
        "path", sorted((SHARED_DATA / "euclid_q1").glob("*.fits")), ids=lambda path: path.name
    )
    def test_euclid_files_are_read_as_they_are(self, path: Path) -> None:
        if path.stem.endswith("_cube"):
            with pytest.raises(
                GravLensError, match=r"holds 8 images; choose one with `hdu`: .*VIS_"
            ):
                open_set(path)
        source = open_set(path, band="vis")
        assert len(source) == 1
        assert source.header.pixel_scale_arcsec == pytest.approx(0.1, rel=1e-6)
        assert np.isfinite(source.read([0])).all()

    @needs_shared_data
    def test_the_euclid_folder_holds_one_lens_in_two_bands(self) -> None:
        with pytest.raises(GravLensError, match=r"choose one with `band`: nir_h \(1\), vis \(2\)"):
            open_set(SHARED_DATA / "euclid_q1")

    @needs_shared_data
    def test_a_folder_of_folders_of_one_lens_each(self) -> None:
        source = open_set(SHARED_DATA / "slacs", mixed=True)
        assert source.image_shape == (1, 201, 201)
        assert source.header.class_names == ()
        assert all(Path(source.name(k)).name == "image.fits" for k in range(len(source)))

    @needs_shared_data
    def test_the_early_release_image_knows_its_zero_point(self) -> None:
        source = open_set(SHARED_DATA / "euclid_q1" / "ID_37174.fits", crop=64)
        assert source.image_shape == (1, 64, 64)
        assert source.header.flux_unit == "1 at 30.132 mag"
        assert source.parameters["zero_point"].tolist() == [30.132]

    @needs_shared_data
    def test_the_recovered_deeplense_images(self) -> None:
        source = open_set(SHARED_DATA / "deeplense_samples_36.npz")
        assert len(source) == 36
        assert source.image_shape == (1, 150, 150)
        assert source.read(slice(None)).mean() == pytest.approx(0.06, abs=0.005)
