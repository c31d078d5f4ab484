"""Images without a lens: what they show, and what is known of them."""

import math
from dataclasses import replace

import numpy as np
import pytest
from lenstronomy.Data.imaging_data import ImageData
from lenstronomy.Data.psf import PSF
from lenstronomy.ImSim.image_model import ImageModel
from lenstronomy.LightModel.light_model import LightModel
from lenstronomy.SimulationAPI.ObservationConfig.Euclid import Euclid
from lenstronomy.SimulationAPI.ObservationConfig.HST import HST

from gravlensdiffusion.codec import from_json, to_json
from gravlensdiffusion.config.instrument import Telescope
from gravlensdiffusion.config.simulation import LensClass, Scene, SimulationConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.presets.simulation import simulation_preset
from gravlensdiffusion.sets.inspection import inspect_lenses
from gravlensdiffusion.simulation.generate import select, set_header, simulate_one
from gravlensdiffusion.simulation.population import LENSING, UNITS, _light_units
from gravlensdiffusion.simulation.simulated_set import simulate
from gravlensdiffusion.simulation.substructure import UNITS as SUBSTRUCTURE
from gravlensdiffusion.store.writer import write_store
from tests.sources import smooth

LENS_LIGHT = [name for name in _light_units("lens_light") if not name.endswith(("_x", "_y"))]
COMPANION = list(_light_units("companion"))
SOURCE = list(_light_units("source"))


@pytest.fixture(scope="module")
def config():
    """No lens, in few rays, so that many images are quick."""
    whole = select(simulation_preset("euclid"), classes=("no_lens",))
    return replace(whole, imaging=replace(whole.imaging, supersampling=1))


@pytest.fixture(scope="module")
def records(config):
    return list(simulate(config, 400, seed=3).records())


def only(config, name):
    """Return the configuration with one of its scenes."""
    (chosen,) = config.classes
    scenes = tuple(scene for scene in chosen.scenes if scene.name == name)
    return replace(config, classes=(replace(chosen, scenes=scenes),))


def known(record, names):
    return [math.isfinite(record.parameters[name]) for name in names]


def test_nothing_of_a_lens_is_known(records):
    for record in records:
        assert not any(known(record, [*LENSING, *SOURCE, *SUBSTRUCTURE]))
        assert record.subhaloes is None
        assert all(known(record, ["background_rms", "exposure_time", "scene"]))
        has_light = any(known(record, [n for n in record.parameters if n.endswith("magnitude")]))
        assert known(record, ["signal_to_noise"]) == [has_light]


def test_scenes_are_as_frequent_as_their_weights_say(config, records):
    (chosen,) = config.classes
    weights = np.array([scene.weight for scene in chosen.scenes])
    names = ["early_type", "spiral", "edge_on", "ring", "pair", "merger", "empty"]
    assert [scene.name for scene in chosen.scenes] == names
    counts = np.bincount([int(r.parameters["scene"]) for r in records], minlength=7)
    expected = len(records) * weights / weights.sum()
    assert (np.abs(counts - expected) < 4 * np.sqrt(expected)).all()
    assert weights.sum() == pytest.approx(1)


def test_each_scene_knows_the_light_of_what_it_shows(records):
    by_scene = [[r for r in records if r.parameters["scene"] == k] for k in range(7)]
    shown = [(True, False)] * 4 + [(True, True)] * 2 + [(False, None)]
    for scene, (galaxy, companion) in zip(by_scene, shown, strict=True):
        for record in scene:
            assert known(record, LENS_LIGHT) == [galaxy] * len(LENS_LIGHT)
            assert known(record, ["lens_x", "lens_y"]) == [galaxy] * 2
            assert companion in (None, record.parameters["companion_x"] < np.inf)
            assert len(set(known(record, COMPANION))) == 1
    with_background = np.mean([known(r, COMPANION)[0] for r in by_scene[6]])
    assert 0.25 < with_background < 0.75


def test_an_isolated_galaxy_is_the_lens_galaxy_of_the_same_image(config):
    alone = only(config, "early_type")
    lensing = select(simulation_preset("euclid"), classes=("no_sub",))
    for index in range(5):
        one, other = simulate_one(alone, 8, index), simulate_one(lensing, 8, index)
        for name in (*LENS_LIGHT, "lens_x", "lens_y"):
            assert one.parameters[name] == other.parameters[name]
        assert one.image.sum() < other.image.sum()


def test_empty_sky_is_noise_and_has_no_signal(config):
    (chosen,) = only(config, "empty").classes
    bare = replace(chosen, scenes=(replace(chosen.scenes[0], companion=None),))
    record = simulate_one(replace(config, classes=(bare,), neighbours=()), 0, 0)
    rms = record.parameters["background_rms"]
    assert math.isnan(record.parameters["signal_to_noise"])
    assert record.image.std() == pytest.approx(rms, rel=0.05)
    assert abs(record.image.mean()) < 4 * rms / 100


def test_a_companion_lies_where_it_is_said_to_be(config):
    config = smooth(config)
    record = simulate_one(select(only(config, "pair"), noise_free=True), 2, 0)
    without = replace(
        config, classes=(replace(only(config, "early_type").classes[0], name="no_lens"),)
    )
    light = record.noise_free[0] - simulate_one(select(without, noise_free=True), 2, 0).noise_free
    total = light.sum()
    axis = (np.arange(100) - 49.5) * 0.1
    x, y = (light[0] * axis).sum() / total, (light[0] * axis[:, None]).sum() / total
    assert x == pytest.approx(record.parameters["companion_x"], abs=0.1)
    assert y == pytest.approx(record.parameters["companion_y"], abs=0.1)
    zero_point = -2.5 * math.log10(total) - record.parameters["companion_magnitude"]
    assert zero_point == pytest.approx(-25.72, abs=0.15)


@pytest.mark.parity
@pytest.mark.parametrize("name", ["early_type", "spiral", "pair", "empty"])
@pytest.mark.parametrize("preset", ["euclid", "hst"])
def test_images_are_those_of_plain_lenstronomy(preset, name):
    config = only(select(gaussian(preset), classes=("no_lens",), noise_free=True), name)
    scene = config.classes[0].scenes[0]
    config = replace(
        config,
        classes=(replace(config.classes[0], scenes=(replace(scene, companion_chance=1.0),)),),
    )
    record = simulate_one(config, 4, 1)
    theirs = plain_image(set_header(config, 4).pixel_scale_arcsec, record.parameters, preset)
    np.testing.assert_allclose(record.noise_free[0], theirs, atol=2e-7 * theirs.max())


def gaussian(preset):
    """Return a preset with the telescope as lenstronomy has it."""
    telescopes = {
        "euclid": Telescope(name="Euclid", band="VIS"),
        "hst": Telescope(name="HST", band="WFC3_F160W"),
    }
    config = smooth(simulation_preset(preset))
    imaging = replace(config.imaging, instrument=telescopes[preset], supersampling=3)
    return replace(config, imaging=imaging)


def plain_image(scale, values, preset):
    """Render with lenstronomy's ImageModel what the parameters say is there."""
    band = {"euclid": Euclid("VIS"), "hst": HST("WFC3_F160W", psf_type="GAUSSIAN")}[preset]
    settings = band.kwargs_single_band()
    fwhm, zero_point = settings["seeing"], settings["magnitude_zero_point"]
    corner = -99 / 2 * scale
    data = ImageData(
        image_data=np.zeros((100, 100)),
        ra_at_xy_0=corner,
        dec_at_xy_0=corner,
        transform_pix2angle=np.eye(2) * scale,
    )
    galaxies = []
    for prefix, place in (("lens_light", "lens"), ("companion", "companion")):
        if math.isfinite(values[f"{prefix}_magnitude"]):
            shape = {key: values[f"{prefix}_{key}"] for key in ("R_sersic", "n_sersic", "e1", "e2")}
            centre = {"center_x": values[f"{place}_x"], "center_y": values[f"{place}_y"]}
            shape |= centre | {"amp": 1.0}
            flux = LightModel(["SERSIC_ELLIPSE"]).total_flux([shape])[0]
            shape["amp"] = 10 ** (0.4 * (zero_point - values[f"{prefix}_magnitude"])) / flux
            galaxies.append(shape)
    model = ImageModel(
        data,
        PSF(psf_type="GAUSSIAN", fwhm=fwhm, truncation=5),
        lens_light_model_class=LightModel(["SERSIC_ELLIPSE"] * len(galaxies)),
        kwargs_numerics={"supersampling_factor": 3, "supersampling_convolution": True},
    )
    return model.image(kwargs_lens_light=galaxies)


def test_half_of_a_telescope_set_are_lenses():
    config = simulation_preset("euclid")
    assert [each.name for each in config.classes] == ["no_sub", "cdm", "axion", "no_lens"]
    config = replace(config, imaging=replace(config.imaging, num_pixels=16, supersampling=1))
    labels = [record.label for record in simulate(config, 60, seed=0).records()]
    np.testing.assert_array_equal(np.bincount(labels), [10, 10, 10, 30])


def test_a_set_goes_into_a_file_and_is_told_with_what_it_lacks(config, tmp_path):
    mixed = select(simulation_preset("hst"), classes=("no_lens", "no_sub"))
    mixed = replace(mixed, imaging=replace(mixed.imaging, supersampling=1))
    path = write_store(
        tmp_path / "a.h5", simulate(mixed, 12, seed=0).records(), set_header(mixed, 0)
    )
    source = open_set(path)
    found = inspect_lenses(source)
    assert found.class_counts == {"no_lens": 6, "no_sub": 6}
    assert found.parameters["theta_E"][3] == found.parameters["scene"][3] == 6
    assert from_json(SimulationConfig, source.header.config) == mixed


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda s: replace(s, name=""), "cannot be the name of a scene"),
        (lambda s: replace(s, weight=0.0), "scene weight must be positive, got 0.0"),
        (lambda s: replace(s, companion_chance=0.0), "companion_chance must lie between"),
        (lambda s: LensClass(name="a", scenes=(s,)), "has scenes without a lens, but lenses"),
        (lambda s: LensClass(name="a", lensed=False, scenes=(s, s)), "names a scene twice: s, s"),
        (
            lambda s: replace(
                simulation_preset("deeplense"),
                classes=(LensClass(name="a", lensed=False, scenes=(s,)),),
                mix=(1.0,),
            ),
            "the lens is dark",
        ),
    ],
)
def test_scenes_that_make_no_sense_are_refused(make, message):
    with pytest.raises(GravLensError, match=message):
        make(Scene(name="s", weight=1.0, galaxy="lens"))


def test_an_unknown_galaxy_is_refused_in_json(config):
    text = to_json(config)
    assert from_json(SimulationConfig, text) == config
    with pytest.raises(GravLensError, match="galaxy"):
        from_json(SimulationConfig, text.replace('"galaxy": "lens"', '"galaxy": "moon"', 1))


def test_a_dark_lens_may_have_galaxies_of_its_scenes(config):
    disc = only(smooth(config), "spiral").classes[0]
    dark = replace(simulation_preset("deeplense"), classes=(disc,), mix=(1.0,))
    record = simulate_one(dark, 0, 0)
    assert set(record.parameters) == set(set_header(dark, 0).parameter_units)
    assert known(record, [*LENS_LIGHT, *UNITS]) == [True] * 5 + [False, True, True] + [False] * 4


def test_flat_empty_sky_stays_finite_in_peak(config):
    empty = replace(only(config, "empty").classes[0].scenes[0], companion=None)
    camera = replace(simulation_preset("deeplense").imaging.instrument, background_rms=0.0)
    flat = replace(
        config,
        neighbours=(),
        classes=(LensClass(name="no_lens", lensed=False, scenes=(empty,)),),
        imaging=replace(simulation_preset("deeplense").imaging, instrument=camera),
    )
    assert (simulate_one(flat, 0, 0).image == 0).all()
