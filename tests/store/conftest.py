"""A lens set that the tests of this folder share."""

from pathlib import Path

import pytest

from gravlensdiffusion.store.writer import write_store
from tests.sets.files import HEADER, lens_records


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A set of seven images in one file."""
    return write_store(tmp_path / "lenses.h5", lens_records(), HEADER)
