"""What is written to `lenses.h5`, in the examples of docs/data-format.md too, and what is refused before anything is left."""

import re
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.records import LensRecord, SetHeader
from gravlensdiffusion.store.reader import LensStore, validate_store
from gravlensdiffusion.store.writer import write_store
from tests.sets.files import HEADER, lens_images, lens_records


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
            ({"parameters": {"a\0b": 1.0}}, r"/parameters: image 2 .*'a\\x00b'"),
            ({"parameters": {"z": "high"}}, "cannot hold what was given"),
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

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"pixel_scale_arcsec": -0.05}, "pixel_scale_arcsec: must be positive"),
            ({"pixel_scale_arcsec": np.nan}, "pixel_scale_arcsec: must be positive"),
            ({"flux_unit": "e" * 1001}, "flux_unit: has 1001 letters"),
            ({"flux_unit": 3}, "flux_unit: must be text"),
            ({"flux_unit": "a\0b"}, "cannot hold what was given: .*NULL"),
            ({"preset": "a\udc80"}, "cannot hold what was given: .*surrogates"),
            ({"seed": 2**70}, "cannot hold what was given"),
            ({"seed": 1.5}, "seed: must be a whole number"),
            ({"parameter_units": {"theta_E": "a" * 1001}}, "/parameters/theta_E .* 1001 letters"),
        ],
    )
    def test_a_header_that_could_not_be_read_again_is_named(
        self, tmp_path: Path, changes: dict[str, object], message: str
    ) -> None:
        with pytest.raises(GravLensError, match=f"^{tmp_path}/a.h5: .*{message}"):
            write_store(tmp_path / "a.h5", lens_records(4), replace(HEADER, **changes))
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


PAGE = Path(__file__).parents[2] / "docs" / "data-format.md"


def run_example(number: int) -> None:
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    exec(compile(examples[number], f"example {number}", "exec"), {})


def test_reading_with_h5py(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_store("lenses.h5", lens_records(), HEADER)
    run_example(0)
    assert capsys.readouterr().out.splitlines() == [
        "image 3: no_sub, (8, 8) pixels of 0.05 arcsec",
        "Einstein radius 1.30 arcsec, 0 subhaloes, 0.00e+00 M_sun",
    ]


def test_writing_and_reading_with_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run_example(1)
    assert capsys.readouterr().out == "10 (1, 64, 64) e-/s\n"
    validate_store("mine.h5")
