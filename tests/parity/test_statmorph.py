"""The same shapes as statmorph, on its own segmentation map."""

from functools import cache

import numpy as np
import pytest

from gravlensdiffusion.metrics.morphology import asymmetry, gini, m20
from tests.metrics.lenses import gaussian, grid, ring

statmorph = pytest.importorskip("statmorph")
pytestmark = pytest.mark.parity

SIZE = 101


def threefold() -> np.ndarray:
    """Return a ring with three bright arcs: turned about its middle it is least like itself."""
    return ring(SIZE, 14, 4) * (1 + 0.4 * np.cos(3 * np.arctan2(*grid(SIZE))))


IMAGES = {
    "gaussian": gaussian(SIZE, 8, q=0.6, phi=0.5, x=1.3, y=-0.7),
    "arcs": threefold(),
    "off centre": ring(SIZE, 14, 4, x=4) * (1 + 0.5 * grid(SIZE)[0] / 50) + gaussian(SIZE, 3),
}


@cache
def statmorph_of(name: str, noise: float = 0) -> object:
    image = IMAGES[name] + np.random.default_rng(0).normal(0, noise, (SIZE, SIZE))
    return statmorph.SourceMorphology(
        image,
        (image > 0.02).astype(int),
        1,
        gain=1e4,
        cutout_extent=10,
        skybox_size=8,
        petro_extent_cas=2.4,
    )


@pytest.mark.parametrize(
    ("name", "noise"), [("gaussian", 0), ("off centre", 0), ("arcs", 0), ("arcs", 0.01)]
)
def test_gini_and_m20(name, noise):
    theirs = statmorph_of(name, noise)
    mask = theirs._segmap_gini[None]
    flux = theirs._cutout_stamp_maskzeroed[None]
    assert 100 < mask.sum() < 8000
    assert abs(gini(flux, mask)[0] - theirs.gini) < 1e-9
    assert abs(m20(flux, mask)[0] - theirs.m20) < 1e-9


@pytest.mark.parametrize("name", IMAGES)
def test_asymmetry_about_the_middle(name):
    theirs = statmorph_of(name)
    middle = ((SIZE - 1) / 2, (SIZE - 1) / 2)
    expected = theirs._asymmetry_function(middle, theirs._cutout_stamp_maskzeroed, "cas")
    assert expected > 0.2
    assert abs(asymmetry(IMAGES[name][None], np.zeros(1))[0] / expected - 1) < 1e-3


def test_asymmetry_where_the_middle_is_the_best_centre():
    theirs = statmorph_of("arcs")
    assert abs(asymmetry(threefold()[None], np.zeros(1))[0] / theirs.asymmetry - 1) < 1e-3
