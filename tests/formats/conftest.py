"""A reader without child processes, and a set in all formats, for the tests that ask for them."""

from pathlib import Path

import pytest

from tests.formats.writing import write


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try no file out in a child process, whose start takes its time."""
    monkeypatch.setattr("gravlensdiffusion.formats.fits.refuse_bad", lambda *_: None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve images in every format."""
    write(tmp_path / "out")
    return tmp_path / "out"
