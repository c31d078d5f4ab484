"""A generator that the tests of this folder share."""

import pytest

from gravlensdiffusion.generation.generator import LensGenerator
from tests.models import awake


@pytest.fixture(scope="module")
def ordering() -> LensGenerator:
    """A generator that takes orders and adds noise."""
    return LensGenerator(awake(), name="ordered")
