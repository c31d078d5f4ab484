"""Every command says a cause once, however many files share it."""

from pathlib import Path

import numpy as np
import pytest

from gravlensdiffusion.cli.main import main
from gravlensdiffusion.errors import by_cause, listed
from tests.sets.files import lens_images, save_folder


def test_causes_that_differ_in_numbers_and_names_are_alike() -> None:
    problems = [
        *(f"set/a{k}.npy: is not finite in {k} of 256 pixels" for k in range(1, 1201)),
        "set/b.npy: is empty: 0 bytes",
        "set/c.npy: has flux unit 'e-/s' where most have flux unit 'nJy'",
        "set/d.npy: has flux unit 'peak' where most have flux unit 'nJy'",
        "J1: holds 3 images, x_sci.fits first",
        "J2: holds 12 images, y.fits first",
    ]
    assert by_cause(problems) == [
        f"{problems[0]} (the first of 1,200 alike)",
        *problems[1200:1203],
        f"{problems[1203]} (the first of 2 alike)",
    ]
    assert by_cause([]) == []
    assert by_cause(["no name", "another"]) == ["no name", "another"]


def test_many_names_are_not_all_listed() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed([str(k) for k in range(4005)]) == "0, 1, 2, 3, 4 and 4,000 more"


@pytest.mark.parametrize(
    "words",
    [
        ["inspect", "set"],
        ["train", "--out", "run", "--data", "set"],
        ["balance", "set", "--model", "lens28", "--out", "b.h5"],
        ["evaluate", "set", "set", "--out", "e"],
        ["classify", "train", "set", "--out", "c"],
    ],
    ids=lambda words: words[0],
)
def test_a_cause_is_said_once_by_every_command(
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    images = np.tile(lens_images(1), (6, 1, 1))
    images[:5] = np.arange(5)[:, None, None]
    folder = save_folder(tmp_path / "set" / "lens", images)
    for k in range(4):
        (folder / f"note{k}.xyz").write_text("mine")
    assert main(words) == 2
    told = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[2].partition(" (")[0] for line in told[:-1]] == [
        "set/lens/note0.xyz: is no image",
        "set/lens/sample1.npy: is constant: every pixel is 0",
    ]
    assert [line[-21:] for line in told[:-1]] == [
        " (the first of 4 alike)"[-21:],
        " (the first of 5 alike)"[-21:],
    ]
    assert told[-1].startswith("gravlens: error: set: 9 files or images cannot be used")
