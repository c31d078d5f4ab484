"""A model that the tests of this folder share."""

from pathlib import Path

import pytest

from gravlensdiffusion.model.checkpoint import save_model
from tests.models import awake


@pytest.fixture(scope="module")
def ordered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a model that takes orders and leaves the noise to the instrument."""
    folder = tmp_path_factory.mktemp("models") / "ordered"
    save_model(folder, awake())
    return folder
