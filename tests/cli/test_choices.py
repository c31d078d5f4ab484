"""Which image of a file is meant: the same flags in every command that reads images."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
from astropy.io import fits

from gravlensdiffusion.cli import (
    balance,
    classify,
    distill,
    evaluate,
    export,
    inspect,
    sample,
    simulate,
    studio,
    train,
)
from gravlensdiffusion.cli.main import main
from gravlensdiffusion.cli.options import FileOptions
from gravlensdiffusion.config.bounds import Range
from gravlensdiffusion.formats.open import open_set
from tests.sets.files import lens_images

COMMANDS = (
    *(inspect.Options, train.Options, evaluate.Options, balance.Options),
    *(classify.Train, classify.Score, classify.Predict, export.Options, studio.Options),
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_reads_images_lets_choose(command: type) -> None:
    assert {field.name: field.type for field in fields(command)}["files"] is FileOptions


@pytest.mark.parametrize(
    "words",
    [
        ["train", "--data", "preset:deeplense", "--preset", "lens28", "--out", "run"],
        ["export", "lens28", "out", "--to", "diffusers"],
        ["studio", "--no-browser"],
    ],
)
def test_options_of_files_are_refused_where_none_is_read(
    words: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    for more in (["--crop", "20"], ["--skip-bad"], ["--map", "no=no_sub"]):
        assert main([*words, *more]) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"gravlens: error: {more[0]} is for sets in files, not for ")
        assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def hints(options: type) -> Iterator[tuple[str, Any]]:
    """Yield the name and the type of each flag, those of groups too."""
    for name, hint in get_type_hints(options, include_extras=True).items():
        if is_dataclass(hint):
            assert isinstance(hint, type)
            yield from hints(hint)
        else:
            yield name, hint


def parts(hint: Any) -> Iterator[Any]:
    """Yield a type and all that it is made of."""
    yield hint
    for part in (*get_args(hint), *getattr(hint, "__metadata__", ())):
        yield from parts(part)


@pytest.mark.parametrize(
    "command",
    [*COMMANDS, distill.Options, sample.Options, simulate.Options],
)
def test_every_number_has_a_range_so_that_a_mistake_names_its_flag(command: type) -> None:
    numbers = {name: [*parts(hint)] for name, hint in hints(command)}
    numbers = {name: found for name, found in numbers.items() if int in found or float in found}
    assert numbers
    for name, found in numbers.items():
        assert any(isinstance(part, Range) for part in found), name


def test_a_mask_is_not_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # The start of a child process takes its time.
    monkeypatch.setattr("gravlensdiffusion.formats.fits.refuse_bad", lambda *_: None)
    words = ["train", "--data", str(tmp_path / "set"), "--out", str(tmp_path / "run"), "--dry-run"]
    words += ["--size", "28"]
    (tmp_path / "set").mkdir()
    mask = fits.ImageHDU(np.zeros((32, 32), np.int32), name="DQ")
    for k, image in enumerate(lens_images(9, size=32)):
        names = ("SCI",) if k else ("G", "R")
        images = [fits.ImageHDU(image + c, name=name) for c, name in enumerate(names)]
        fits.HDUList([fits.PrimaryHDU(), mask, *images]).writeto(tmp_path / f"set/{k}.fits")
    assert main(words) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "0.fits: holds 2 images; choose one with --hdu: G, R" in told
    (tmp_path / "set/0.fits").unlink()
    assert main([*words, "--band", "vis"]) == 0
    told = capsys.readouterr().err
    assert "of FITS files HDU SCI taken with the data quality in DQ: 8 images, 1.fits first" in told
    assert main([*words, "--hdu", "WHT"]) == 2
    assert "has no image in HDU 'WHT'; there are DQ, SCI" in capsys.readouterr().err
    assert main(["inspect", str(tmp_path / "set/1.fits"), "--hdu", "dq"]) == 2
    assert "is constant: every pixel is 0" in capsys.readouterr().err


def test_a_choice_that_plays_no_part_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", lens_images(9, size=28))
    asked = {"hdu": "SCI", "band": "g"}
    line = "a.npy: holds nothing that {} could choose from, so it plays no part"
    flags = [word for name, value in asked.items() for word in (f"--{name}", value)]
    told = [line.format(f"--{name}") for name in asked]
    assert main(["inspect", "a.npy", *flags]) == 0
    shown = capsys.readouterr().out
    assert [each in shown for each in told] == [True, True]
    assert main(["train", "--data", "a.npy", "--out", "run", "--dry-run", *flags]) == 0
    shown = capsys.readouterr().err
    assert [each in shown for each in told] == [True, True]
    noted = [line.format(f"`{name}`") for name in asked]
    assert list(open_set("a.npy", **asked).notes[-2:]) == noted
