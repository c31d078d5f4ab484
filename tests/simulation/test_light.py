"""The light of galaxies with more than one component, and of those beside the lens."""

import math
from dataclasses import replace

import numpy as np
import pytest
from lenstronomy.LightModel.light_model import LightModel
from lenstronomy.Util.class_creator import create_image_model

from gravlensdiffusion import lenstronomy_kwargs, simulate
from gravlensdiffusion.codec import from_json, to_json
from gravlensdiffusion.config.galaxies import (
    Disc,
    Envelope,
    GalaxyLight,
    Neighbours,
    Source,
    StructuredDisc,
)
from gravlensdiffusion.config.priors import Constant, TruncatedNormal, Uniform
from gravlensdiffusion.config.simulation import SimulationConfig, symmetries
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.presets.simulation import simulation_preset
from gravlensdiffusion.simulation.generate import select, set_header, simulate_one
from gravlensdiffusion.simulation.light import STEP, _disc_image, _interpolated, _sersic_ellipse
from gravlensdiffusion.simulation.population import _draw_light, draw_neighbours
from gravlensdiffusion.simulation.render import LIGHT, components

PIXEL = 0.05
X, Y = (each.ravel() for each in np.meshgrid(*[(np.arange(240) - 119.5) * PIXEL] * 2))
CENTRE = {"center_x": 0.0, "center_y": 0.0}


def fixed(value):
    return Constant(value=value)


ENVELOPE = Envelope(
    fraction=fixed(0.4), relative_radius=fixed(2.0), sersic_index=fixed(1.0), twist=fixed(0.5)
)
DISC = StructuredDisc(
    bulge_fraction=fixed(0.2),
    bar_fraction=fixed(0.1),
    ring_fraction=fixed(0.1),
    clump_fraction=fixed(0.2),
    arm_contrast=fixed(0.8),
    lopsidedness=fixed(0.3),
)


def light(structure, **priors):
    smooth = {"magnitude": 22.0, "effective_radius": 0.5, "sersic_index": 1.0, "e1": 0.2, "e2": 0.1}
    chosen = {name: fixed(value) for name, value in smooth.items()} | priors
    return GalaxyLight(structure=structure, **chosen)


def drawn(structure, seed=0):
    values = _draw_light("lens_light", light(structure), np.random.default_rng(seed))
    return values | {"lens_x": 0.0, "lens_y": 0.0}


def brightness(values):
    """Return what galaxies of unit flux look like at X and Y."""
    found = components(values, lambda _: 1.0)[2]
    return sum(LIGHT[each.name, each.quick](X, Y, **each.arguments) for each in found)


def direction(image):
    """Return twice the angle of the long axis [rad]."""
    xx, yy, xy = (float((image * each).sum()) for each in (X * X, Y * Y, X * Y))
    return math.atan2(2 * xy, xx - yy)


@pytest.mark.parametrize("index", [0.8, 4.0])
def test_the_quick_profile_is_that_of_lenstronomy(index):
    shape = {"amp": 2.0, "R_sersic": 0.6, "n_sersic": index, "e1": -0.2, "e2": 0.3}
    arguments = shape | {"center_x": 0.31, "center_y": -0.2}
    theirs = LightModel(["SERSIC_ELLIPSE"]).surface_brightness(X, Y, [arguments])
    ours = _sersic_ellipse(X, Y, **arguments)
    np.testing.assert_allclose(ours, theirs, rtol=5e-5, atol=1e-6)


def test_the_quick_interpolation_is_that_of_lenstronomy():
    image = np.random.default_rng(0).uniform(size=(12, 20)).astype(np.float32)
    arguments = {"image": image, "amp": 2.0, "center_x": 0.3, "center_y": -0.2}
    arguments |= {"phi_G": 0.6, "scale": 0.2}
    theirs = LightModel(["INTERPOL"]).surface_brightness(X, Y, [arguments])
    ours = _interpolated(X, Y, **arguments)
    inside = ours > 0
    assert 0.04 < inside.mean() < 0.08
    np.testing.assert_allclose(ours[inside], theirs[inside], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("structure", [None, ENVELOPE, DISC])
def test_the_flux_of_a_galaxy_is_that_of_its_magnitude(structure):
    assert brightness(drawn(structure)).sum() * PIXEL**2 == pytest.approx(1, abs=0.01)


def test_an_envelope_twists_the_isophotes():
    values = drawn(ENVELOPE)
    image, radius = brightness(values), np.hypot(X, Y)
    inner, outer = (direction(image * part) for part in (radius < 0.3, radius > 2))
    whole = math.atan2(0.1, 0.2)
    assert whole < inner < whole + 0.3
    assert outer == pytest.approx(whole + 2 * 0.5, abs=0.15)
    straight = brightness(values | {"lens_light_envelope_twist": 0.0})
    assert direction(straight * (radius > 2)) == pytest.approx(whole, abs=0.02)


def test_a_disc_without_structure_is_a_sersic_profile():
    smooth, plain = brightness(drawn(StructuredDisc())), brightness(drawn(None))
    inside = (np.hypot(X, Y) > 0.05) & (np.hypot(X, Y) < 1)
    np.testing.assert_allclose(smooth[inside], plain[inside], rtol=0.03)


@pytest.mark.parametrize(
    "name", ["bar_fraction", "ring_fraction", "clump_fraction", "arm_contrast", "lopsidedness"]
)
@pytest.mark.parametrize("ratio", [1.0, 0.2])
def test_each_part_of_a_disc_shows(name, ratio):
    pictures = []
    for structure in (StructuredDisc(), StructuredDisc(**{name: fixed(0.5)})):
        own = {key.removeprefix("lens_light_"): each for key, each in drawn(structure).items()}
        pictures.append(_disc_image(own | {"texture": 1.0}, ratio))
    assert [each.sum() * STEP**2 for each in pictures] == pytest.approx([1, 1], abs=1e-3)
    assert np.abs(pictures[1] - pictures[0]).sum() * STEP**2 > 0.1
    assert all(picture.min() >= 0 for picture in pictures)


def test_a_disc_depends_on_its_parameters_alone():
    values = drawn(DISC, seed=3)
    again = brightness(dict(values))
    np.testing.assert_array_equal(brightness(values), again)
    other = brightness(values | {"lens_light_texture": 5.0})
    assert np.abs(other - again).sum() / again.sum() > 0.1


def test_a_disc_lies_as_its_ellipticity_says():
    whole = sum(brightness(drawn(DISC, seed=k)) for k in range(8))
    assert direction(whole) == pytest.approx(math.atan2(0.1, 0.2), abs=0.2)


def test_a_disc_holds_no_more_than_all_its_light():
    with pytest.raises(GravLensError, match="more than all its light"):
        StructuredDisc(bulge_fraction=fixed(0.6), clump_fraction=Uniform(low=0.0, high=0.6))


NEAR = Source(light=light(None), position=Disc(radius=Uniform(low=1.0, high=2.0)))


@pytest.fixture(scope="module")
def config():
    """Structured lens and source, with neighbours, in few rays."""
    preset = simulation_preset("euclid")
    return replace(
        preset,
        lens=replace(preset.lens, light=replace(preset.lens.light, structure=ENVELOPE)),
        source=replace(preset.source, light=replace(preset.source.light, structure=DISC)),
        neighbours=(Neighbours(most=4, chance=0.5, galaxy=NEAR),),
        imaging=replace(preset.imaging, num_pixels=50, supersampling=1, noise_free_twin=True),
    )


def test_all_that_is_drawn_has_a_unit_and_none_is_forgotten(config):
    units = set_header(config, 0).parameter_units
    for index in range(4):
        assert set(simulate_one(config, 0, index).parameters) == set(units)
    assert units["lens_light_envelope_twist"] == "rad"
    assert units["neighbour3_x"] == "arcsec"
    assert from_json(SimulationConfig, to_json(config)) == config


def test_lenstronomy_makes_the_images_again(config):
    lenses = simulate(select(config, classes=("no_sub", "no_lens")), 4, seed=1)
    for index in range(4):
        table = lenstronomy_kwargs(lenses, index)
        params = table.pop("kwargs_params")
        theirs = create_image_model(**table).image(**params)
        ours = lenses.read_noise_free([index])[0, 0]
        # Wings reach beyond lenstronomy's kernel.
        np.testing.assert_allclose(theirs, ours, atol=4e-3 * ours.max(), rtol=0)


def test_structure_is_added_to_the_galaxies_of_a_set_without_it(config):
    bare = select(simulation_preset("euclid"), classes=("no_sub",))
    for index in range(3):
        plain = simulate_one(bare, 1, index).parameters
        rich = simulate_one(select(config, classes=("no_sub",)), 1, index).parameters
        for name in ("theta_E", "lens_light_magnitude", "lens_light_R_sersic", "lens_light_e1"):
            assert rich[name] == plain[name]


def test_neighbours_are_as_many_as_their_population_says(config):
    rng = np.random.default_rng(2)
    drawn_ones = [draw_neighbours(config.neighbours, rng) for _ in range(300)]
    counts = [sum(name.endswith("_magnitude") for name in each) for each in drawn_ones]
    assert np.bincount(counts) / 300 == pytest.approx(np.array([1, 4, 6, 4, 1]) / 16, abs=0.09)


def test_a_neighbour_adds_its_flux_where_it_lies(config):
    galaxy = _draw_light("neighbour2", light(None), np.random.default_rng(0))
    alone = brightness(galaxy | {"neighbour2_x": 1.0, "neighbour2_y": -2.0})
    assert alone.sum() * PIXEL**2 == pytest.approx(1, abs=0.01)
    assert (X * alone).sum() / alone.sum() == pytest.approx(1.0, abs=0.01)
    assert (Y * alone).sum() / alone.sum() == pytest.approx(-2.0, abs=0.01)


def test_a_twist_of_one_sense_breaks_the_mirror_symmetry(config):
    assert symmetries(config) == ("half_turn",)
    even = replace(ENVELOPE, twist=TruncatedNormal(mean=0.0, std=0.2, low=-0.5, high=0.5))
    balanced = replace(
        config, lens=replace(config.lens, light=replace(config.lens.light, structure=even))
    )
    assert symmetries(balanced) == ("half_turn",)
    round_ones = replace(NEAR, light=light(None, e1=fixed(0.0), e2=fixed(0.0)))
    neighbours = (Neighbours(most=1, chance=1.0, galaxy=round_ones),)
    assert symmetries(replace(balanced, neighbours=neighbours)) == ("half_turn", "flips", "d4")
    assert symmetries(replace(config, neighbours=neighbours)) == ("half_turn",)
