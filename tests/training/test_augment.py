"""Mirrored and turned lenses are the lenses of mirrored and turned parameters."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gravlensdiffusion.config.simulation import LensClass
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.presets.simulation import simulation_preset
from gravlensdiffusion.simulation.generate import select, set_header, simulate_one
from gravlensdiffusion.simulation.render import Renderer
from gravlensdiffusion.simulation.substructure import Substructure
from gravlensdiffusion.training.augment import (
    ANGLES,
    DIRECTED,
    GROUPS,
    INVARIANTS,
    augment,
    check_names,
    turn_lenses,
)
from tests.sources import smooth

WIDE = simulation_preset("deeplense-wide")
EUCLID = simulation_preset("euclid")
POPULATIONS = {
    "smooth": select(WIDE, classes=("no_sub",)),
    "vortex": select(WIDE, classes=("axion",)),
    "lens light": select(smooth(EUCLID), classes=("no_sub",)),
    # All but the texture of discs, which is at random.
    "envelope": replace(select(EUCLID, classes=("no_sub",)), source=smooth(EUCLID).source),
    "pair": replace(
        smooth(EUCLID),
        classes=(
            LensClass(name="pair", lensed=False, scenes=(smooth(EUCLID).classes[3].scenes[4],)),
        ),
        mix=(1.0,),
    ),
}
ROUNDING = dict.fromkeys(POPULATIONS, 1e-10) | {"envelope": 1e-6}
"""Galaxies of several components are rendered in 32 bits."""


def render(
    name: str, values: Mapping[str, float], subhaloes: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    config = POPULATIONS[name]
    imaging = replace(config.imaging, num_pixels=40, size=None)
    renderer = Renderer(config.cosmology, imaging)
    clumps = Substructure.of(dict(values), subhaloes)
    return renderer.image(values, clumps)


def as_tensors(values: Mapping[str, float]) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()}


@pytest.mark.parametrize("symmetry", range(8))
@pytest.mark.parametrize("name", POPULATIONS)
def test_the_turned_image_is_that_of_the_turned_parameters(name: str, symmetry: int) -> None:
    for index in range(3):
        values = simulate_one(POPULATIONS[name], 5, index).parameters
        image = render(name, values)
        turned, moved = turn_lenses(torch.from_numpy(image), as_tensors(values), symmetry)
        again = render(name, {key: value.item() for key, value in moved.items()})
        np.testing.assert_allclose(turned.numpy(), again, rtol=0, atol=ROUNDING[name] * image.max())
        if symmetry:
            # The lens has no symmetry of its own that would hide a wrong sign.
            assert np.abs(again - image).max() > 0.01 * image.max()


def test_half_a_turn_leaves_shear_and_ellipticity() -> None:
    values = as_tensors({"source_x": 0.1, "source_y": 0.2, "gamma1": 0.03, "lens_e2": 0.04})
    _, moved = turn_lenses(torch.zeros(4, 4), values, 3)
    assert {name: value.item() for name, value in moved.items()} == {
        "source_x": -0.1,
        "source_y": -0.2,
        "gamma1": 0.03,
        "lens_e2": 0.04,
    }


def test_a_quarter_turn_takes_x_to_y() -> None:
    """Mirror y, then exchange: (x, y) -> (-y, x)."""
    image = torch.zeros(5, 5)
    image[2, 4] = 1  # at x = 2, y = 0
    values = as_tensors({"source_x": 2.0, "source_y": 0.0, "gamma1": 0.3, "gamma2": 0.1})
    turned, moved = turn_lenses(image, values, 2 | 4)
    assert torch.nonzero(turned).tolist() == [[4, 2]]  # at x = 0, y = 2
    shown = [moved[name].item() for name in ("source_x", "source_y", "gamma1", "gamma2")]
    assert shown == [0.0, 2.0, -0.3, -0.1]


def test_every_parameter_of_the_simulator_is_known() -> None:
    for config in (WIDE, EUCLID):
        names = set_header(config, 0).parameter_units
        assert set(names) == set(simulate_one(config, 0, 0).parameters)
        for kind in GROUPS:
            # What is at random in a disc is not mirrored with its image.
            check_names(kind, {each for each in names if not each.endswith("_texture")})
    assert not INVARIANTS & DIRECTED
    assert not (INVARIANTS | DIRECTED) & set(ANGLES)


@pytest.mark.parametrize(("kind", "size"), [("half_turn", 2), ("flips", 4), ("d4", 8)])
def test_each_image_is_turned_by_its_own_number(kind: str, size: int) -> None:
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.normal(size=(2 * size, 1, 6, 6)))
    values = {
        name: torch.from_numpy(rng.normal(size=2 * size))
        for name in ("source_x", "source_y", "gamma1", "theta_E")
    }
    u = (torch.arange(2 * size, dtype=torch.float64) + 0.5) / (2 * size)
    before = images.clone()
    turned, moved = augment(kind, images, values, u)
    for k in range(2 * size):
        part = {name: value[k] for name, value in values.items()}
        image, expected = turn_lenses(images[k], part, GROUPS[kind][k // 2])
        assert torch.equal(turned[k], image)
        assert all(torch.equal(moved[name][k], expected[name]) for name in values)
    assert len({tuple(image.flatten().tolist()) for image in turned}) == 2 * size
    assert torch.equal(images, before)
    # Alone, an image is turned as it is within the batch.
    alone = augment(kind, images[3:4], {name: v[3:4] for name, v in values.items()}, u[3:4])
    assert torch.equal(alone[0], turned[3:4])
    assert torch.equal(alone[1]["source_x"], moved["source_x"][3:4])


def test_kinds_are_groups() -> None:
    """Two symmetries after each other are one of the same kind: seen on a lopsided picture."""
    image = torch.arange(9.0).reshape(3, 3)
    for kind, group in GROUPS.items():
        pictures = {tuple(turn_lenses(image, {}, s)[0].flatten().tolist()) for s in group}
        twice = {
            tuple(turn_lenses(turn_lenses(image, {}, a)[0], {}, b)[0].flatten().tolist())
            for a in group
            for b in group
        }
        assert len(pictures) == len(group), kind
        assert twice == pictures


def test_none_changes_nothing_and_needs_to_know_nothing() -> None:
    images, values = torch.rand(3, 1, 4, 4), {"colour": torch.rand(3)}
    same, unmoved = augment("none", images, values, torch.rand(3))
    assert torch.equal(same, images)
    assert torch.equal(unmoved["colour"], values["colour"])


def test_what_is_left_out_stays_left_out() -> None:
    values = {"source_x": torch.tensor([math.nan]), "source_y": torch.tensor([0.2])}
    u = torch.tensor([0.99])
    _, moved = augment("d4", torch.zeros(1, 1, 4, 4), values, u)
    assert moved["source_x"].tolist() == pytest.approx([-0.2])
    assert math.isnan(moved["source_y"].item())


def test_what_would_be_left_wrong_is_refused() -> None:
    with pytest.raises(GravLensError, match="flips does not know how parameter 'colour' turns"):
        check_names("flips", ["theta_E", "colour"])
    with pytest.raises(GravLensError, match="d4 exchanges parameter 'source_x' with 'source_y'"):
        augment("d4", torch.zeros(1, 1, 4, 4), {"source_x": torch.zeros(1)}, torch.zeros(1))
    check_names("flips", ["source_x", "gamma2"])
    check_names("d4", ["gamma2", "theta_E"])
