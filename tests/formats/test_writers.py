"""What is written can be read back, and nothing is left half-written."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.formats.writers import FORMATS, write_images
from gravlensdiffusion.sets.records import LensRecord
from gravlensdiffusion.store.reader import LensStore, validate_store
from tests.formats.writing import write
from tests.sets.files import HEADER, lens_images, lens_records

PEAK = replace(HEADER, flux_unit="peak")


def stated(path: Path) -> dict[str, object]:
    with Image.open(path) as image:
        return json.loads(image.info["gravlens"])


def test_what_is_written_is_returned(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "out"
    assert write(folder, formats=("fits", "h5")) == ["fits", "lenses.h5"]
    assert sorted(path.name for path in folder.iterdir()) == ["fits", "lenses.h5"]


def test_the_store_keeps_everything(folder: Path) -> None:
    validate_store(folder / "lenses.h5")
    assert LensStore(folder / "lenses.h5").header == HEADER


@pytest.mark.parametrize("name", ["npy", "fits"])
def test_npy_and_fits_are_exact(folder: Path, name: str) -> None:
    assert (folder / name / f"00011.{name}").is_file()
    source = open_set(folder / name)
    np.testing.assert_array_equal(source.read(slice(None))[:, 0], lens_images(12))


def test_npy_files_have_the_shape_of_deeplense_files(folder: Path) -> None:
    assert np.load(folder / "npy" / "00000.npy").shape == (1, 8, 8)


@pytest.mark.parametrize("name", ["fits", "png"])
def test_scale_unit_and_classes_come_back(folder: Path, name: str) -> None:
    source = open_set(folder / name)
    assert source.header.pixel_scale_arcsec == pytest.approx(0.05, rel=1e-9)
    assert source.header.flux_unit == "e-/s"
    assert source.header.class_names == HEADER.class_names
    assert source.labels.tolist() == [0, 1, 2] * 4


def test_an_unknown_scale_stays_unknown(tmp_path: Path) -> None:
    write(tmp_path, replace(HEADER, pixel_scale_arcsec=None))
    for name in ("lenses.h5", "fits", "png"):
        assert open_set(tmp_path / name).header.pixel_scale_arcsec is None


def test_png_of_peak_scaled_images_is_linear(tmp_path: Path) -> None:
    images = lens_images(4) / 2
    records = [LensRecord(image=image[None]) for image in images]
    write_images(tmp_path, records, PEAK, model="", formats=("png",))
    with Image.open(tmp_path / "png" / "00003.png") as image:
        grey = np.asarray(image)
    np.testing.assert_array_equal(grey, np.rint(images[3] * 255))
    source = open_set(tmp_path / "png")
    assert source.header.flux_unit == "peak"
    np.testing.assert_allclose(source.read(slice(None))[:, 0], images, atol=0.5 / 255 + 1e-6)


def test_png_of_flux_has_one_stretch_for_the_set(tmp_path: Path) -> None:
    images = lens_images(5) * np.array([1, 10, 100, 1000, 3], np.float32)[:, None, None] - 1
    records = [LensRecord(image=image[None]) for image in images]
    write_images(tmp_path, records, HEADER, ("png",), model="m")
    cards = [stated(path) for path in (tmp_path / "png").iterdir()]
    assert len({(card["stretch"], card["low"], card["high"]) for card in cards}) == 1
    assert cards[0]["stretch"] == "asinh"
    assert cards[0]["low"] == images.min()
    assert cards[0]["high"] == images.max()
    again = open_set(tmp_path / "png").read(slice(None))[:, 0]
    # One grey level is 0.04% of the range at its faint end and 1.8% at its bright end.
    np.testing.assert_allclose(again, images, atol=0.01 * images.max())
    np.testing.assert_allclose(again[0], images[0], atol=0.0003 * images.max())


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"formats": ("h5", "jpg")}, "unknown format 'jpg'; choose from h5, npy, fits, png"),
            ({"formats": ()}, "no format given"),
            ({"expected": 13}, "expected 13 images, got 12"),
        ],
    )
    def test_bad_requests(self, tmp_path: Path, options: dict[str, object], message: str) -> None:
        with pytest.raises(GravLensError, match=message):
            write(tmp_path / "out", **options)
        assert not (tmp_path / "out").exists()

    def test_png_needs_one_channel(self, tmp_path: Path) -> None:
        record = LensRecord(image=lens_images(2))
        with pytest.raises(GravLensError, match="PNG needs images of one channel or three, not 2"):
            write(tmp_path / "out", records=[record], formats=("npy", "png"))
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("name", FORMATS)
    def test_nothing_existing_is_replaced_unasked(self, folder: Path, name: str) -> None:
        before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
        with pytest.raises(GravLensError, match="exists already"):
            write(folder, formats=(name,), num=3)
        assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before

    def test_an_earlier_set_is_replaced_as_a_whole(self, folder: Path) -> None:
        write(folder, num=3, overwrite=True)
        for name in ("lenses.h5", "npy", "fits", "png"):
            assert len(open_set(folder / name)) == 3

    @pytest.mark.parametrize("name", FORMATS)
    def test_nothing_of_an_earlier_set_is_left(self, folder: Path, name: str) -> None:
        for picture in ("grid.png", "denoising.gif"):
            (folder / picture).write_text("of the earlier set")
        (folder / "notes.txt").write_text("mine")
        write(folder, formats=(name,), num=3, overwrite=True)
        entry = "lenses.h5" if name == "h5" else name
        assert sorted(path.name for path in folder.iterdir()) == sorted([entry, "notes.txt"])
        assert len(open_set(folder / entry)) == 3

    def test_what_is_wrong_is_told_of_the_name_that_was_asked_for(self, tmp_path: Path) -> None:
        wrong = replace(next(iter(lens_records(1))), parameters={"a/b": 1.0})
        with pytest.raises(GravLensError, match=r"out/lenses\.h5: .*bad name 'a/b'") as caught:
            write(tmp_path / "out", formats=("h5",), records=[wrong])
        assert "partial" not in str(caught.value)

    def test_a_set_is_never_put_beside_another(self, tmp_path: Path) -> None:
        write(tmp_path / "out", formats=("npy",))
        with pytest.raises(GravLensError, match=r"npy: exists already"):
            write(tmp_path / "out", formats=("h5",))
        (tmp_path / "shards").mkdir()
        (tmp_path / "shards" / "lenses-00000.h5").write_text("a shard")
        with pytest.raises(GravLensError, match=r"holds lenses-00000\.h5"):
            write(tmp_path / "shards", overwrite=True)
        assert (tmp_path / "shards" / "lenses-00000.h5").read_text() == "a shard"

    def test_a_failure_before_the_end_keeps_a_whole_set(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Killed at any rename, the earlier set or the new one is there, or both are."""
        moves = stop_at = 0

        def stop(entry: Path, target: Path) -> Path:
            nonlocal moves
            moves += 1
            if moves == stop_at:
                raise KeyboardInterrupt
            return rename(entry, target)

        rename = Path.rename
        monkeypatch.setattr(Path, "rename", stop)
        monkeypatch.setattr(Path, "replace", lambda entry, target: stop(entry, Path(target)))
        while stop_at < 9:
            moves, stop_at = 0, stop_at + 1
            try:
                write(folder, formats=("h5", "npy"), num=3, overwrite=True)
            except KeyboardInterrupt:
                for name in ("lenses.h5", "npy"):
                    assert len(open_set(folder / name)) in (3, 12)
            else:
                break
        assert not (folder / "fits").exists()

    def test_a_folder_with_other_files_is_never_replaced(self, folder: Path) -> None:
        (folder / "npy" / "notes.txt").write_text("mine")
        with pytest.raises(GravLensError, match=r"holds other files \(notes\.txt\)"):
            write(folder, overwrite=True)
        assert (folder / "npy" / "notes.txt").read_text() == "mine"

    def test_the_target_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "out").write_text("mine")
        with pytest.raises(GravLensError, match="is a file, must be a folder"):
            write(tmp_path / "out", overwrite=True)

    @pytest.mark.parametrize("failure", [RuntimeError("broke off"), KeyboardInterrupt()])
    def test_a_broken_off_run_leaves_nothing(self, tmp_path: Path, failure: BaseException) -> None:
        def records() -> Iterator[LensRecord]:
            yield from lens_records(3)
            raise failure

        (tmp_path / "mine.txt").write_text("mine")
        with pytest.raises(type(failure)):
            write(tmp_path, records=records())
        assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]

    def test_a_failure_in_a_late_format_leaves_the_earlier_set(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("gravlensdiffusion.formats.writers._write_png", fail)
        with pytest.raises(GravLensError, match="cannot be written: No space left"):
            write(folder, num=3, overwrite=True)
        for name in ("lenses.h5", "npy", "fits", "png"):
            assert len(open_set(folder / name)) == 12
        assert not [path for path in folder.iterdir() if path.name.startswith(".")]
