"""The examples of docs/data-format.md work as they stand."""

import re
from pathlib import Path

import pytest

from gravlensdiffusion.store.reader import validate_store
from gravlensdiffusion.store.writer import write_store
from tests.sets.files import HEADER, lens_records

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
