"""`lenses.h5`, in one file or several: what is written comes back, what is damaged is refused."""

import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.records import LensRecord, SetHeader
from gravlensdiffusion.store.reader import LensStore, validate_store
from gravlensdiffusion.store.writer import write_store
from tests.sets.files import HEADER, lens_images, lens_records


def test_everything_comes_back(path: Path) -> None:
    validate_store(path)
    records = list(lens_records())
    with LensStore(path) as store:
        assert len(store) == 7
        assert store.image_shape == (1, 8, 8)
        assert store.header == HEADER
        assert store.labels.dtype == np.int16
        assert store.labels.tolist() == [0, 1, 2, 0, 1, 2, 0]
        np.testing.assert_array_equal(store.read(slice(None)), [r.image for r in records])
        np.testing.assert_array_equal(
            store.parameters["theta_E"], [r.parameters["theta_E"] for r in records]
        )
        mass = store.parameters["axion_mass"]
        assert np.isnan(mass).tolist() == [True, True, False, True, True, False, True]
        assert store.subhaloes["image"].tolist() == [1, 4, 4, 4, 4]
        np.testing.assert_array_equal(store.subhaloes["mass"][1:], records[4].subhaloes[:, 2])


def test_a_record_comes_back_as_it_was(path: Path) -> None:
    store = LensStore(path)
    for again, record in zip(store.records(), lens_records(), strict=True):
        np.testing.assert_array_equal(again.image, record.image)
        assert again.label == record.label
        assert dict(again.parameters) == dict(record.parameters)
        if record.subhaloes is None:
            assert again.subhaloes is None
        else:
            np.testing.assert_array_equal(again.subhaloes, record.subhaloes)


def test_unknown_things_stay_unknown(tmp_path: Path) -> None:
    header = SetHeader()
    records = [LensRecord(image=image[None]) for image in lens_images(2)]
    store = LensStore(write_store(tmp_path / "a.h5", records, header))
    assert store.header == header
    assert store.labels.tolist() == [-1, -1]
    assert len(store.subhaloes) == 0
    assert store.parameters == {}


@pytest.mark.parametrize(
    "indices", [[], [0], [6], [2, 3, 4], [5, 0, 5, 1], slice(1, 6, 2), np.array([6, 5, 4])]
)
def test_images_are_read_in_the_order_asked_for(path: Path, indices: object) -> None:
    wanted = np.arange(7)[indices] if isinstance(indices, slice) else np.array(indices, int)
    images = lens_images(7)[:, None]
    np.testing.assert_array_equal(LensStore(path).read(indices), images[wanted])


@pytest.mark.parametrize("index", [-1, 7])
def test_an_image_that_is_not_there(path: Path, index: int) -> None:
    with pytest.raises(IndexError, match="0 to 6"):
        LensStore(path).read([index])


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty"), (b"no HDF5 at all" * 99, "is no readable HDF5 file")],
)
def test_a_file_that_is_no_hdf5(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.h5").write_bytes(content)
    with pytest.raises(GravLensError, match=message):
        LensStore(tmp_path / "a.h5")


def test_a_truncated_file(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(GravLensError, match="truncated"):
        LensStore(path)


def test_damaged_pixels(tmp_path: Path) -> None:
    path = write_store(tmp_path / "a.h5", lens_records(), HEADER)
    with h5py.File(path, "r+") as file:
        del file["images"]
        images = lens_images(7)[:, None]
        file.create_dataset("images", data=images, chunks=(1, 1, 8, 8), compression="gzip")
        place = file["images"].id.get_chunk_info(4).byte_offset
    content = bytearray(path.read_bytes())
    content[place : place + 8] = bytes(8)
    path.write_bytes(content)
    with pytest.raises(GravLensError, match="/images: damaged"):
        LensStore(path)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(GravLensError, match="no such file"):
        LensStore(tmp_path / "none.h5")


class TestShards:
    def test_shards_are_one_set_in_natural_order(self, tmp_path: Path) -> None:
        records = list(lens_records(7))
        for name, part in (("p10", records[5:]), ("p2", records[2:5]), ("p1", records[:2])):
            write_store(tmp_path / f"{name}.h5", part, HEADER)
        validate_store(tmp_path)
        whole = LensStore(write_store(tmp_path / "one" / "all.h5", records, HEADER))
        store = LensStore(tmp_path)
        np.testing.assert_array_equal(store.labels, whole.labels)
        np.testing.assert_array_equal(store.subhaloes, whole.subhaloes)
        np.testing.assert_array_equal(store.read([6, 0, 2, 1]), whole.read([6, 0, 2, 1]))
        np.testing.assert_array_equal(
            store.parameters["axion_mass"], whole.parameters["axion_mass"]
        )
        assert store.header == whole.header
        assert store.name(5) == f"{tmp_path / 'p10.h5'}[0]"

    def test_what_differs_between_shards_is_unknown_for_the_set(self, tmp_path: Path) -> None:
        write_store(tmp_path / "1.h5", lens_records(2), HEADER)
        write_store(tmp_path / "2.h5", lens_records(2), replace(HEADER, seed=4))
        assert LensStore(tmp_path).header == replace(
            HEADER, seed=None, parameter_units={"theta_E": "arcsec"}
        )

    @pytest.mark.parametrize(
        "change",
        [
            {"class_names": ("a", "b", "c")},
            {"pixel_scale_arcsec": 0.1},
            {"flux_unit": "peak"},
            {"resize": None},
        ],
    )
    def test_shards_that_mean_different_things(
        self, tmp_path: Path, change: dict[str, object]
    ) -> None:
        write_store(tmp_path / "1.h5", lens_records(2), HEADER)
        write_store(tmp_path / "2.h5", lens_records(2), replace(HEADER, **change))
        with pytest.raises(GravLensError, match=rf"2\.h5: {next(iter(change))}"):
            LensStore(tmp_path)

    def test_shards_of_different_sizes(self, tmp_path: Path) -> None:
        write_store(tmp_path / "1.h5", lens_records(2), HEADER)
        write_store(tmp_path / "2.h5", lens_records(2, size=9), HEADER)
        with pytest.raises(GravLensError, match=r"2\.h5: /images"):
            LensStore(tmp_path)

    def test_more_shards_than_files_may_be_open(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gravlensdiffusion.store.reader._MAX_OPEN_FILES", 2)
        for k, record in enumerate(lens_records(5)):
            write_store(tmp_path / f"{k}.h5", [record], HEADER)
        store = LensStore(tmp_path)
        np.testing.assert_array_equal(store.read([4, 3, 2, 1, 0])[:, 0], lens_images(7)[4::-1])
        assert len(store._handles) <= 2

    def test_a_folder_without_shards(self, tmp_path: Path) -> None:
        with pytest.raises(GravLensError, match=r"holds no \.h5"):
            LensStore(tmp_path)


class TestProcesses:
    def test_opening_leaves_no_file_open(self, path: Path) -> None:
        store = LensStore(path)
        assert store._handles == {}
        store.read([0])
        assert len(store._handles) == 1
        store.close()
        assert store._handles == {}
        assert store.read([1]).shape == (1, 1, 8, 8)

    def test_a_pickled_store_reads_the_same(self, path: Path) -> None:
        store = LensStore(path)
        first = store.read([3])
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(store)).read([3]), first)

    @pytest.mark.parametrize("method", ["fork", "spawn"])
    def test_other_processes_read_the_same(self, path: Path, method: str) -> None:
        script = f"""
import multiprocessing, operator
import numpy as np
from gravlensdiffusion.store.reader import LensStore
if __name__ == "__main__":
    store = LensStore({str(path)!r})
    expected = store.read([5, 1])
    read = operator.methodcaller("read", [5, 1])
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        for images in pool.map(read, [store] * 6):
            np.testing.assert_array_equal(images, expected)
    np.testing.assert_array_equal(store.read([5, 1]), expected)
"""
        file = path.with_name("other.py")
        file.write_text(script)
        subprocess.run([sys.executable, file], check=True)


@pytest.mark.parametrize("error", [AttributeError, KeyError, RuntimeError, TypeError])
@pytest.mark.parametrize("place", [h5py.File, h5py.Dataset], ids=["closed", "read"])
def test_whatever_the_library_raises_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: type, error: type[Exception]
) -> None:
    path = write_store(tmp_path / "a.h5", lens_records(), HEADER)

    def fail(*_: object, **__: object) -> None:
        raise error("cannot decrement")

    monkeypatch.setattr(place, "close" if place is h5py.File else "__getitem__", fail)
    with pytest.raises(GravLensError, match=r"a\.h5: .*damaged.*: .*cannot decrement"):
        LensStore(path)
