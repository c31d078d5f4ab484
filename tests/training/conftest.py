"""A faster measure of held-out images, and a model to adapt, for the tests that ask for them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gravlensdiffusion.model.checkpoint import save_model
from tests.models import ORDERED, awake
from tests.training.adapting import CLEAN, SCHEDULE


@pytest.fixture(scope="module")
def few_draws() -> Iterator[None]:
    """Measure with fewer draws, which is faster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gravlensdiffusion.training.validation.NUM_DRAWS", 128)
        yield


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of noise-free lenses that is ordered by class and physics, as lens28 is."""
    folder = tmp_path_factory.mktemp("simulated") / "model"
    model = awake(replace(ORDERED, denoiser=CLEAN, schedule=SCHEDULE))
    save_model(folder, model)
    return folder
