"""`gravlens inspect`: what it prints, writes and refuses."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gravlensdiffusion.cli.main import main
from gravlensdiffusion.store.writer import write_store
from tests.sets.files import HEADER, lens_images, lens_records, save_folder, survey_folder


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_store(tmp_path / "lenses.h5", lens_records(), HEADER)


def rows(text: str) -> dict[str, str]:
    pairs = [line.strip().split(None, 1) for line in text.splitlines() if line.strip()]
    return {pair[0]: pair[-1] for pair in pairs}


def test_a_picture_of_the_set_is_not_replaced_by_its_preview(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for k, image in enumerate(lens_images(4)):
        Image.fromarray((255 * image / image.max()).astype(np.uint8)).save(folder / f"{k}.png")
    picture = folder / "0.png"
    before = picture.read_bytes()
    assert main(["inspect", str(folder), "--out", str(picture), "--overwrite"]) == 2
    assert "is part of what is read, or holds it" in capsys.readouterr().err
    assert picture.read_bytes() == before


def test_numbers_and_preview(
    path: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(path)]) == 0
    out = capsys.readouterr().out
    told = rows(out)
    images = lens_images(7)
    assert told["images"] == "7"
    assert told["shape"].startswith("1 x 8 x 8")
    assert told["pixel"].split() == ["scale", "0.05", "arcsec"]
    assert told["cdm"] == "2"
    assert told["theta_E"] == "1 to 1.6 arcsec"
    assert told["axion_mass"] == "1e-23 to 1e-23 eV (2 images)"
    assert told["duplicates"] == "none"
    assert told["range"] == f"{images.min():.5g} to {images.max():.5g}"
    assert "--transform asinh" in out
    assert out.splitlines()[-1] == ("wrote a preview of 7 of 7 images to lenses-preview.png")
    with Image.open(elsewhere / "lenses-preview.png") as picture:
        assert min(picture.size) > 3 * 8


def test_the_preview_is_not_replaced_unasked(path: Path, elsewhere: Path) -> None:
    out = elsewhere / "mine.png"
    out.write_text("mine")
    assert main(["inspect", str(path), "--out", str(out)]) == 2
    assert out.read_text() == "mine"
    assert main(["inspect", str(path), "--out", str(out), "--overwrite"]) == 0
    with Image.open(out) as picture:
        assert picture.format == "PNG"


def test_the_same_set_twice_has_one_preview(
    path: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_store(elsewhere / "other" / path.name, lens_records(5), HEADER)
    told = []
    for each in (path, path, other, path, other):
        assert main(["inspect", str(each)]) == 0
        told.append(capsys.readouterr().out.splitlines()[-1].split()[-1])
    first, second = "lenses-preview.png", "lenses-preview-2.png"
    assert told == [first, first, second, first, second]
    assert sorted(entry.name for entry in elsewhere.glob("*.png")) == [second, first]


def test_a_picture_of_the_user_stays_where_the_preview_would_be(
    path: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (elsewhere / "lenses-preview.png").write_text("mine")
    for _ in range(2):
        assert main(["inspect", str(path)]) == 0
        assert capsys.readouterr().out.endswith("images to lenses-preview-2.png\n")
    assert (elsewhere / "lenses-preview.png").read_text() == "mine"
    assert main(["inspect", str(path), "--overwrite"]) == 0
    assert capsys.readouterr().out.endswith("images to lenses-preview.png\n")


def test_where_nothing_can_be_written_the_summary_is_all(
    path: Path,
    elsewhere: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("gravlensdiffusion.reports.mosaics.save_grid", refuse)
    assert main(["inspect", str(path)]) == 0
    said = capsys.readouterr()
    assert rows(said.out)["images"] == "7"
    assert said.err == (
        "gravlens: no preview was written; --out names another place: lenses-preview.png: cannot be "
        "written: Permission denied\n"
    )
    assert not list(elsewhere.iterdir())
    assert main(["inspect", str(path), "--out", "asked.png"]) == 2


def test_the_previews_beside_a_set_are_no_images_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    for k, image in enumerate(lens_images(3)):
        Image.fromarray((100 * image).astype(np.uint8)).save(folder / f"{k}.png")
    for name in ("set-preview.png", "set-preview-2.png"):
        Image.new("L", (40, 40)).save(folder / name)
    assert main(["inspect", str(folder)]) == 0


def test_the_preview_must_be_a_png(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(path), "--out", "mine.txt"]) == 2
    assert "must end in .png" in capsys.readouterr().err


def test_every_bad_file_has_its_line(
    tmp_path: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save_folder(tmp_path / "set", lens_images(3))
    np.save(folder / "big.npy", lens_images(1, size=9)[0])
    (folder / "empty.npy").write_bytes(b"")
    assert main(["inspect", str(folder)]) == 2
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert captured.out == ""
    assert len(lines) == 3
    assert any(line.startswith(f"gravlens: {folder / 'empty.npy'}: ") for line in lines)
    assert any(line.startswith(f"gravlens: {folder / 'big.npy'}: ") for line in lines)
    assert lines[-1].startswith("gravlens: error: ")
    assert "2 files or images cannot be used" in lines[-1]
    assert list(elsewhere.iterdir()) == []

    assert main(["inspect", str(folder), "--skip-bad"]) == 0
    captured = capsys.readouterr()
    assert captured.err.splitlines()[:2] == lines[:2]
    assert captured.err.splitlines()[2] == "gravlens: skipped 2, go on with 3"
    assert rows(captured.out)["images"] == "3"
    assert rows(captured.out)["skipped"] == "2"


def test_object_arrays_need_a_flag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    array = np.empty(2, object)
    array[0], array[1] = lens_images(1)[0], 1e-23
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    assert main(["inspect", str(tmp_path / "a.npy")]) == 2
    captured = capsys.readouterr()
    assert len(captured.err.splitlines()) == 1
    assert "--allow-object-arrays" in captured.err
    assert main(["inspect", str(tmp_path / "a.npy"), "--allow-object-arrays"]) == 0
    assert rows(capsys.readouterr().out)["axion_mass"] == "1e-23 to 1e-23 eV"


def test_duplicates_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save_folder(tmp_path / "set", lens_images(3)[[0, 1, 0]])
    assert main(["inspect", str(folder)]) == 0
    out = capsys.readouterr().out
    assert rows(out)["duplicates"] == "1"
    assert f"{folder / 'sample1.npy'} = {folder / 'sample3.npy'}" in out


@pytest.mark.parametrize("words", [[], ["nowhere"], ["a", "b"], ["--bad", "a"]])
def test_bad_requests_are_one_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1


def test_a_survey_folder_is_taken_as_it_is(
    tmp_path: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = survey_folder(tmp_path)
    assert main(["inspect", str(folder)]) == 0
    captured = capsys.readouterr()
    misfit = f"{folder / 'ID_1.fits'}: has 11 x 11 pixels where most have 16 x 16 pixels"
    assert captured.err.splitlines() == [
        f"gravlens: {misfit}; --crop 11 takes the middle of each",
        "gravlens: skipped 1, go on with 2",
    ]
    told = captured.out.splitlines()
    images = lens_images(3, size=16)[1:]
    for name, image in zip(("J1+2.5_vis", "J3+4.5_vis"), images, strict=True):
        # The noise map flags the first pixel, which does not count.
        seen = image.ravel()[1:]
        numbers = f"{seen.min():.5g}, {seen.mean(dtype=np.float64):.5g}, {seen.max():.5g}"
        assert any(line.strip() == f"{name}_data.fits: {numbers}" for line in told)
    assert sum(line.startswith("note") for line in told) == 5
    assert (elsewhere / "survey-preview.png").is_file()


def test_the_middle_of_each_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = survey_folder(tmp_path)
    assert main(["inspect", str(folder / "ID_1.fits"), "--crop", "8"]) == 0
    told = rows(capsys.readouterr().out)
    assert told["shape"].startswith("1 x 8 x 8")
    assert told["zero_point"] == "30.132 to 30.132 mag"
    assert main(["inspect", str(folder), "--band", "vis", "--crop", "12", "--out", "b.png"]) == 2
    assert "has 11 x 11 pixels, fewer than the 12 to crop to" in capsys.readouterr().err
