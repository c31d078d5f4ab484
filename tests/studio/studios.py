"""Studios with a model of random weights, for tests."""

from dataclasses import replace
from functools import cache

from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.model.build import Model
from gravlensdiffusion.simulation.simulated_set import simulate
from gravlensdiffusion.studio.drawing import Studio
from tests.models import LEARNED, ORDERED, SKY, awake

NATIVE = replace(SKY, num_pixels=150, background_rms=0.00172, resize="area")
SIMULATED = replace(
    ORDERED,
    pixel_scale_arcsec=0.05 * 150 / 8,
    observation=NATIVE,
    training_data="6 images, preset deeplense, seed 0",
)
"""A model that says which simulation it has learned."""
BEFORE = replace(LEARNED, training_data="6 images")
"""A model of images as they are, of no known simulation."""


@cache
def _model(config) -> Model:
    return awake(config)


def studio(config=SIMULATED, *, own: bool = False, report: bytes | None = None) -> Studio:
    return Studio(
        generator=LensGenerator(_model(config), "tiny"),
        model="tiny",
        lenses=simulate("deeplense", 5, size=8, flux_unit="e-/s") if own else None,
        name="mine.h5" if own else "",
        report=report,
    )
