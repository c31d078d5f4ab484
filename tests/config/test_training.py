"""Recipes whose parts do not go together."""

from dataclasses import replace

import pytest

from gravlensdiffusion.config.model import TransformConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.presets.training import PRESETS


@pytest.mark.parametrize("name", ["lens28", "lens150", "slacs96"])
def test_the_noise_of_an_instrument_needs_images_that_keep_their_flux(name: str) -> None:
    recipe = PRESETS[name]()
    peak = replace(recipe.model, transform=TransformConfig(kind="peak"))
    with pytest.raises(GravLensError, match="transform peak forgets the flux"):
        replace(recipe, model=peak)
    assert replace(recipe, model=peak, noise="learned").noise == "learned"
