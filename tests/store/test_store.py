"""`lenses.h5`: what is written comes back, and what breaks the specification is refused."""

import pickle
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.records import LensRecord, SetHeader
from gravlensdiffusion.store.reader import LensStore, validate_store, write_store
from gravlensdiffusion.store.schema import SUBHALO_DTYPE
from tests.sets.files import HEADER, lens_images, lens_records


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_store(tmp_path / "lenses.h5", lens_records(), HEADER)


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


def test_the_same_records_make_the_same_bytes(tmp_path: Path, path: Path) -> None:
    again = write_store(tmp_path / "again.h5", iter(list(lens_records())), HEADER, num=7)
    assert again.read_bytes() == path.read_bytes()


def test_a_parameter_that_first_appears_late_is_missing_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gravlensdiffusion.store.writer._BUFFER_BYTES", 2 * 4 * 64)
    images = lens_images(6)[:, None]
    records = [
        LensRecord(image=image, parameters={"late": 5.0} if k == 3 else {})
        for k, image in enumerate(images)
    ]
    values = LensStore(write_store(tmp_path / "a.h5", records, SetHeader())).parameters["late"]
    np.testing.assert_array_equal(values, [np.nan] * 3 + [5.0] + [np.nan] * 2)


def test_writing_keeps_few_records_in_memory(tmp_path: Path) -> None:
    def records() -> Iterator[LensRecord]:
        image = np.ones((1, 256, 256), np.float32)
        for k in range(256):
            yield LensRecord(image=image * k)

    tracemalloc.start()
    write_store(tmp_path / "a.h5", records(), SetHeader())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "a.h5").stat().st_size > 64 * 2**20
    assert peak < 32 * 2**20


class TestRefusalsOfTheWriter:
    def test_an_existing_file_is_kept(self, path: Path) -> None:
        before = path.read_bytes()
        with pytest.raises(GravLensError, match="exists already"):
            write_store(path, lens_records(2), HEADER)
        assert path.read_bytes() == before
        write_store(path, lens_records(2), HEADER, overwrite=True)
        assert len(LensStore(path)) == 2

    def test_a_folder_is_never_replaced(self, tmp_path: Path) -> None:
        with pytest.raises(GravLensError, match="is a folder"):
            write_store(tmp_path, lens_records(2), HEADER, overwrite=True)

    @pytest.mark.parametrize("failure", [RuntimeError("broke off"), KeyboardInterrupt()])
    def test_a_broken_off_run_leaves_nothing(self, tmp_path: Path, failure: BaseException) -> None:
        def records() -> Iterator[LensRecord]:
            yield from lens_records(3)
            raise failure

        with pytest.raises(type(failure)):
            write_store(tmp_path / "a.h5", records(), HEADER)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"image": np.ones((1, 9, 8), np.float32)}, r"/images: image 2 has shape \(1, 9, 8\)"),
            ({"image": np.full((1, 8, 8), np.nan, np.float32)}, "/images: image 2 .* not finite"),
            ({"image": np.full((1, 8, 8), 1e300)}, "/images: image 2 .* not finite"),
            ({"label": 3}, "/labels: image 2 has label 3"),
            ({"label": -2}, "/labels: image 2 has label -2"),
            ({"parameters": {"a/b": 1.0}}, "/parameters: image 2 .*'a/b'"),
            ({"parameters": {"z": np.inf}}, "/parameters/z: image 2 .* infinite"),
            ({"subhaloes": np.ones((2, 2))}, "/subhaloes: image 2"),
            ({"subhaloes": np.full((2, 3), np.nan)}, "/subhaloes: image 2"),
        ],
    )
    def test_a_bad_record_is_named(
        self, tmp_path: Path, changes: dict[str, object], message: str
    ) -> None:
        records = list(lens_records(4))
        records[2] = replace(records[2], **changes)
        with pytest.raises(GravLensError, match=message):
            write_store(tmp_path / "a.h5", records, HEADER)
        assert list(tmp_path.iterdir()) == []

    def test_the_first_image_must_have_three_axes(self, tmp_path: Path) -> None:
        records = [LensRecord(image=np.ones((8, 8), np.float32))]
        with pytest.raises(GravLensError, match=r"must be \(C, H, W\)"):
            write_store(tmp_path / "a.h5", records, HEADER)

    @pytest.mark.parametrize("num", [6, 8])
    def test_a_wrong_number_of_records(self, tmp_path: Path, num: int) -> None:
        with pytest.raises(GravLensError, match=f"expected {num} images, got 7"):
            write_store(tmp_path / "a.h5", lens_records(7), HEADER, num=num)

    def test_no_records(self, tmp_path: Path) -> None:
        with pytest.raises(GravLensError, match="no images to write"):
            write_store(tmp_path / "a.h5", [], HEADER)


def _replace(file: h5py.File, name: str, data: object) -> None:
    attributes = dict(file[name].attrs)
    del file[name]
    file.create_dataset(name, data=data).attrs.update(attributes)


def _link_outside(file: h5py.File) -> None:
    del file["images"]
    file["images"] = h5py.ExternalLink("/etc/hostname", "images")


def _link_inside(file: h5py.File) -> None:
    file["elsewhere"] = file["images"]
    del file["images"]
    file["images"] = h5py.SoftLink("/elsewhere")


def _store_outside(file: h5py.File) -> None:
    del file["images"]
    file.create_dataset(
        "images", (7, 1, 8, 8), "<f4", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)]
    )


def _view_outside(file: h5py.File) -> None:
    del file["images"]
    layout = h5py.VirtualLayout((7, 1, 8, 8), "<f4")
    layout[:] = h5py.VirtualSource("/tmp/other.h5", "images", (7, 1, 8, 8))
    file.create_virtual_dataset("images", layout)


def _declare_huge(file: h5py.File) -> None:
    del file["images"]
    file.create_dataset("images", (7, 1, 10**5, 10**5), "<f4", chunks=(1, 1, 64, 64))


def _subhaloes(images: list[int]) -> np.ndarray:
    rows = np.ones(len(images), SUBHALO_DTYPE)
    rows["image"] = images
    return rows


BREACHES: dict[str, tuple[Callable[[h5py.File], object], str]] = {
    "images missing": (lambda f: f.__delitem__("images"), "/images: missing"),
    "images double": (lambda f: _replace(f, "images", np.ones((7, 1, 8, 8))), "/images: .*float32"),
    "images flat": (lambda f: _replace(f, "images", np.ones((7, 8, 8), "f4")), "/images: .*shape"),
    "no images": (lambda f: _replace(f, "images", np.ones((0, 1, 8, 8), "f4")), "/images: .*shape"),
    "images a group": (lambda f: (f.__delitem__("images"), f.create_group("images")), "/images"),
    "images huge": (_declare_huge, "/images: declares"),
    "images elsewhere": (_link_outside, "/images: is a link"),
    "images linked": (_link_inside, "/images: is a link"),
    "images external": (_store_outside, "/images: keeps its data in another file"),
    "images virtual": (_view_outside, "/images: keeps its data in another file"),
    "labels missing": (lambda f: f.__delitem__("labels"), "/labels: missing"),
    "labels wide": (lambda f: _replace(f, "labels", np.zeros(7, int)), "/labels: must be int16"),
    "labels short": (lambda f: _replace(f, "labels", np.zeros(6, "i2")), r"/labels: .*\(7,\)"),
    "label 3 of 3": (lambda f: _replace(f, "labels", np.full(7, 3, "i2")), "/labels: image 0 has"),
    "label -2": (lambda f: _replace(f, "labels", np.full(7, -2, "i2")), "/labels: image 0 has"),
    "class twice": (
        lambda f: f["labels"].attrs.__setitem__("class_names", ["a", "a", "b"]),
        "class_names: the class name 'a' is there twice",
    ),
    "class a number": (
        lambda f: f["labels"].attrs.__setitem__("class_names", [1, 2, 3]),
        "class_names: must be text",
    ),
    "parameters no group": (
        lambda f: (f.__delitem__("parameters"), f.__setitem__("parameters", 1.0)),
        "/parameters: must be a group",
    ),
    "parameter single": (
        lambda f: _replace(f, "parameters/theta_E", np.ones(7, "f4")),
        "/parameters/theta_E: must be float64",
    ),
    "parameter short": (
        lambda f: _replace(f, "parameters/theta_E", np.ones(6)),
        "/parameters/theta_E: .*shape",
    ),
    "parameter without unit": (
        lambda f: f["parameters/theta_E"].attrs.__delitem__("unit"),
        "/parameters/theta_E: has no attribute unit",
    ),
    "parameter infinite": (
        lambda f: f["parameters/theta_E"].__setitem__(2, np.inf),
        "/parameters/theta_E: image 2",
    ),
    "subhaloes plain": (lambda f: _replace(f, "subhaloes", np.ones((2, 4))), "/subhaloes: must be"),
    "subhaloes beyond": (
        lambda f: _replace(f, "subhaloes", _subhaloes([0, 7])),
        "/subhaloes: column image must lie in 0 to 6",
    ),
    "subhaloes unordered": (
        lambda f: _replace(f, "subhaloes", _subhaloes([3, 1])),
        "/subhaloes: column image must not decrease",
    ),
    "no version": (lambda f: f.attrs.__delitem__("schema_version"), "schema_version: missing"),
    "version 2": (
        lambda f: f.attrs.__setitem__("schema_version", 2),
        "schema_version: must be 1",
    ),
    "no flux unit": (lambda f: f.attrs.__delitem__("flux_unit"), "flux_unit: missing"),
    "flux unit 3": (lambda f: f.attrs.__setitem__("flux_unit", 3), "flux_unit: must be text"),
    "scale 0": (
        lambda f: f.attrs.__setitem__("pixel_scale_arcsec", 0.0),
        "pixel_scale_arcsec: must be positive",
    ),
    "scale text": (
        lambda f: f.attrs.__setitem__("pixel_scale_arcsec", "0.05"),
        "pixel_scale_arcsec: must be positive",
    ),
    "seed text": (lambda f: f.attrs.__setitem__("seed", "a"), "seed: must be a whole number"),
    "fillings text": (
        lambda f: f.attrs.__setitem__("fillings", "["),
        "attribute fillings: top level: Invalid JSON",
    ),
    "fillings number": (
        lambda f: f.attrs.__setitem__("fillings", 3),
        "attribute fillings: must be text",
    ),
    "fillings key": (
        lambda f: f.attrs.__setitem__("fillings", '[{"model": "lens28"}]'),
        "attribute fillings: 0.weights: Field required",
    ),
    "pixel missing": (
        lambda f: f["images"].__setitem__((3, 0, 1, 1), np.nan),
        "/images: image 3 has a value that is not finite",
    ),
}


@pytest.mark.parametrize("breach", BREACHES)
def test_a_breach_of_the_specification_is_named(path: Path, breach: str) -> None:
    change, message = BREACHES[breach]
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(GravLensError, match=message) as caught:
        validate_store(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty"), (b"no HDF5 at all" * 99, "not a readable HDF5 file")],
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
