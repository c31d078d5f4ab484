import json
import math
from dataclasses import replace

import numpy as np
import pytest
from lenstronomy.Data.imaging_data import ImageData
from lenstronomy.Data.psf import PSF
from lenstronomy.ImSim.image_model import ImageModel
from lenstronomy.LensModel.lens_model import LensModel
from lenstronomy.LightModel.light_model import LightModel
from lenstronomy.Util.class_creator import create_image_model

from gravlensdiffusion import GravLensError, LensStore, lenstronomy_kwargs, simulate, write_store
from gravlensdiffusion.presets.simulation import SIMULATION_PRESETS, simulation_preset
from gravlensdiffusion.sets.records import GENERATED
from gravlensdiffusion.simulation.generate import select, simulate_one
from gravlensdiffusion.simulation.population import draw_lens, draw_source
from gravlensdiffusion.simulation.render import Renderer, components
from gravlensdiffusion.simulation.substructure import Substructure, draw_substructure

DEEPLENSE = simulation_preset("deeplense")
FINE = replace(DEEPLENSE.imaging, supersampling=4)

ROUND = {
    "theta_E": 1.2,
    "lens_e1": 0.0,
    "lens_e2": 0.0,
    "lens_x": 0.0,
    "lens_y": 0.0,
    "gamma1": 0.0,
    "gamma2": 0.0,
    "source_magnitude": 22.0,
    "source_R_sersic": 0.03,
    "source_n_sersic": 1.0,
    "source_e1": 0.0,
    "source_e2": 0.0,
    "source_x": 0.0,
    "source_y": 0.0,
}
UNLENSED = {"theta_E": math.nan}


@pytest.fixture(scope="module")
def renderer():
    return Renderer(DEEPLENSE.cosmology, FINE)


@pytest.fixture(scope="module")
def smooth(renderer):
    return draw_substructure(None, 1.2, renderer.geometry, np.random.default_rng(0))


def mass(renderer, values):
    return components(values, renderer.instrument.counts)[0]


def test_point_source_on_axis_makes_a_ring_of_the_einstein_radius(renderer, smooth):
    image = renderer.image(ROUND, smooth)
    axis = (np.arange(150) - 74.5) * 0.05
    radius = np.hypot(*np.meshgrid(axis, axis))
    mean = (image * radius).sum() / image.sum()
    spread = math.sqrt((image * (radius - mean) ** 2).sum() / image.sum())
    assert mean == pytest.approx(1.2, abs=0.01)
    assert spread < 0.1


def test_round_isothermal_lens_deflects_by_its_einstein_radius_everywhere(renderer, smooth):
    x, y = np.array([0.3, -2.0, 0.0, 1.1]), np.array([0.1, 0.5, -1.3, 1.7])
    alpha = np.stack(renderer.deflection(x, y, mass(renderer, ROUND), smooth))
    np.testing.assert_allclose(np.hypot(*alpha), 1.2, rtol=1e-8)
    np.testing.assert_allclose(alpha * np.hypot(x, y), 1.2 * np.stack([x, y]), rtol=1e-8)


def test_ellipsoid_and_shear_agree_with_lenstronomy(renderer, smooth):
    values = ROUND | {
        "lens_e1": -0.2,
        "lens_e2": 0.1,
        "lens_x": 0.05,
        "gamma1": 0.2,
        "gamma2": -0.1,
    }
    x, y = np.random.default_rng(1).uniform(-3, 3, (2, 500))
    theirs = LensModel(["SIE", "SHEAR"]).alpha(
        x,
        y,
        [
            {"theta_E": 1.2, "e1": -0.2, "e2": 0.1, "center_x": 0.05, "center_y": 0.0},
            {"gamma1": 0.2, "gamma2": -0.1},
        ],
    )
    ours = renderer.deflection(x, y, mass(renderer, values), smooth)
    np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_unlensed_source_has_the_flux_of_its_magnitude(renderer, smooth):
    values = ROUND | {"source_R_sersic": 0.3, "source_e1": 0.2, "source_e2": -0.1}
    image = renderer.image(values | UNLENSED, smooth)
    assert image.sum() == pytest.approx(10 ** (0.4 * (25 - 22.0)), rel=2e-3)


@pytest.mark.parametrize("offset", [0.2, 0.4, 0.8])
def test_magnification_of_an_isothermal_lens(renderer, smooth, offset):
    values = ROUND | {"source_x": offset * 0.6, "source_y": -offset * 0.8}
    plain = renderer.image(values | UNLENSED, smooth).sum()
    lensed = renderer.image(values, smooth).sum()
    # Both images of a small source within the Einstein radius: 2 theta_E / beta.
    assert lensed / plain == pytest.approx(2 * 1.2 / offset, rel=0.02)


def test_lens_light_adds_its_flux_at_the_lens():
    config = simulation_preset("euclid")
    renderer = Renderer(config.cosmology, replace(config.imaging, num_pixels=200))
    smooth = draw_substructure(None, 1.2, renderer.geometry, np.random.default_rng(0))
    light = {
        "lens_light_magnitude": 20.0,
        "lens_light_R_sersic": 0.5,
        "lens_light_n_sersic": 2.0,
        "lens_light_e1": 0.0,
        "lens_light_e2": 0.0,
    }
    values = ROUND | {"lens_x": 0.3, "lens_y": -0.6}
    added = renderer.image(values | light, smooth) - renderer.image(values, smooth)
    assert added.sum() == pytest.approx(renderer.instrument.counts(20.0), rel=0.01)
    row, column = np.unravel_index(added.argmax(), added.shape)
    assert (column - 99.5) * 0.1 == pytest.approx(0.3, abs=0.06)
    assert (row - 99.5) * 0.1 == pytest.approx(-0.6, abs=0.06)


def plain_image(config, values, points):
    """Render with lenstronomy's ImageModel, the substructure as point masses (x, y, theta_E)."""
    num, scale = config.imaging.num_pixels, 0.05
    corner = -(num - 1) / 2 * scale
    data = ImageData(
        image_data=np.zeros((num, num)),
        ra_at_xy_0=corner,
        dec_at_xy_0=corner,
        transform_pix2angle=np.eye(2) * scale,
    )
    lens = {
        "theta_E": values["theta_E"],
        "e1": values["lens_e1"],
        "e2": values["lens_e2"],
        "center_x": values["lens_x"],
        "center_y": values["lens_y"],
    }
    shear = {"gamma1": values["gamma1"], "gamma2": values["gamma2"]}
    masses = [{"theta_E": t, "center_x": x, "center_y": y} for x, y, t in points]
    source = {name: values[f"source_{name}"] for name in ("R_sersic", "n_sersic", "e1", "e2")}
    source |= {"amp": 1.0, "center_x": values["source_x"], "center_y": values["source_y"]}
    light = LightModel(["SERSIC_ELLIPSE"])
    source["amp"] = 10 ** (0.4 * (25 - values["source_magnitude"])) / light.total_flux([source])[0]
    model = ImageModel(
        data,
        PSF(psf_type="GAUSSIAN", fwhm=0.087, truncation=5),
        lens_model_class=LensModel(["SIE", "SHEAR"] + ["POINT_MASS"] * len(masses)),
        source_model_class=light,
    )
    return model.image([lens, shear, *masses], [source])


@pytest.mark.parity
@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("name", ["no_sub", "cdm"])
def test_images_are_those_of_plain_lenstronomy(name, index):
    config = select(DEEPLENSE, classes=(name,))
    record, (clean, geometry) = simulate_one(config, 7, index), clean_image(config, 7, index)
    points = np.empty((0, 3)) if record.subhaloes is None else record.subhaloes.copy()
    points[:, 2] = np.sqrt(points[:, 2] / geometry.mass_scale)
    theirs = plain_image(config, record.parameters, points)
    np.testing.assert_allclose(clean, theirs, atol=1e-9 * theirs.max())


@pytest.mark.parity
@pytest.mark.parametrize("index", [0, 1, 2])
def test_vortex_is_that_of_plain_lenstronomy_with_a_dense_string(index):
    config = select(DEEPLENSE, classes=("axion",))
    values, (clean, geometry) = (
        simulate_one(config, 7, index).parameters,
        clean_image(config, 7, index),
    )
    num = 1500
    along = ((np.arange(num) + 0.5) / num - 0.5) * values["vortex_length"]
    radius = math.sqrt(values["substructure_mass"] / num / geometry.mass_scale)
    points = np.stack(
        [
            along * math.cos(values["vortex_angle"]),
            along * math.sin(values["vortex_angle"]),
            np.full(num, radius),
        ],
        axis=1,
    )
    theirs = plain_image(config, values, points)
    # A ray within a spacing of the string sees its lumps: few pixels, and far off.
    off = np.abs(clean - theirs) / theirs.max()
    assert np.quantile(off, 0.99) < 2e-3
    assert np.median(off) < 1e-5


def clean_image(config, seed, index):
    """Return the noise-free image of a record, rendered from its truth, and the geometry."""
    imaging = replace(config.imaging, flux_unit="e-/s")
    renderer = Renderer(config.cosmology, imaging)
    record = simulate_one(replace(config, imaging=imaging), seed, index)
    clumps = Substructure.of(dict(record.parameters), record.subhaloes)
    return renderer.image(record.parameters, clumps), renderer.geometry


def test_parameters_are_drawn_before_and_apart_from_the_substructure():
    rng = np.random.default_rng(0)
    values = draw_lens(DEEPLENSE.lens, rng) | draw_source(DEEPLENSE.source, rng)
    assert set(ROUND) == set(values)


CASES = [
    (preset, each.name)
    for preset in SIMULATION_PRESETS
    for each in simulation_preset(preset).classes
]


def again(lenses, index):
    """Return an image of nothing but lenstronomy and the table, shape ``(H, W)`` [e- / s]."""
    table = lenstronomy_kwargs(lenses, index)
    params = table.pop("kwargs_params")
    return create_image_model(**table).image(**params)


@pytest.mark.parity
@pytest.mark.parametrize(("preset", "name"), CASES)
def test_lenstronomy_makes_every_kind_of_image_again(preset, name):
    options = {"num_pixels": 40, "flux_unit": "e-/s", "noise_free": True}
    lenses = simulate(preset, 3, seed=5, classes=[name], **options)
    theirs, ours = again(lenses, 2), lenses.read_noise_free([2])[0, 0]
    assert ours.max() > 0
    # Wings reach beyond the kernel, which is as wide as the image.
    camera = simulation_preset(preset).imaging.instrument
    tolerance = 1e-6 if camera.psf is None else 4e-3
    np.testing.assert_allclose(theirs, ours, atol=tolerance * ours.max(), rtol=0)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A set as it lies on a disk, its images each scaled to [0, 1]."""
    path = tmp_path_factory.mktemp("stored") / "lenses.h5"
    lenses = simulate("deeplense", 6, seed=2, num_pixels=40, noise_free=True)
    with LensStore(write_store(path, lenses)) as store:
        yield store


@pytest.mark.parametrize("index", range(3))
def test_image_of_a_file_is_made_again(stored, index):
    low, high = (stored.parameters[name][index] for name in ("flux_min", "flux_max"))
    theirs = (again(stored, index) - low) / (high - low)
    np.testing.assert_allclose(theirs, stored.read_noise_free([index])[0, 0], atol=1e-6)


def test_table_has_the_stored_image_and_its_noise_as_lenstronomy_takes_them(stored):
    table = lenstronomy_kwargs(stored, 0)
    data = table["kwargs_data"]
    noise = data["image_data"] - again(stored, 0)
    assert noise.std() == pytest.approx(data["background_rms"], rel=0.1)
    assert data["background_rms"] == 0.00172
    assert data["exposure_time"] is None
    telescope = lenstronomy_kwargs(simulate("hst", 1, num_pixels=20), 0)["kwargs_data"]
    assert telescope["exposure_time"] == 1150
    reduced = lenstronomy_kwargs(simulate("deeplense", 1, num_pixels=40, size=20), 0)
    assert reduced["kwargs_data"]["image_data"].shape == (40, 40)
    assert np.isnan(reduced["kwargs_data"]["image_data"]).all()


def test_some_of_a_set_keep_their_tables(stored):
    part = stored.select([4, 1])
    wanted = lenstronomy_kwargs(stored, 1)
    assert repr(lenstronomy_kwargs(part, 1)) == repr(wanted)
    as_text = json.dumps(wanted, default=np.ndarray.tolist)
    assert json.loads(as_text)["kwargs_params"]["kwargs_source"][0]["amp"] > 0


def test_what_was_not_simulated_has_no_table(stored, tmp_path):
    with pytest.raises(GravLensError, match=r"\[0\]: nothing tells how it was simulated"):
        lenstronomy_kwargs(stored.crop(20), 0)
    header = replace(
        stored.header, parameter_units={**stored.header.parameter_units, GENERATED: ""}
    )
    records = [
        replace(each, parameters={**each.parameters, GENERATED: float(k == 1)})
        for k, each in enumerate(stored.records())
    ]
    with LensStore(write_store(tmp_path / "filled.h5", records, header)) as filled:
        assert lenstronomy_kwargs(filled, 0)
        with pytest.raises(GravLensError, match=r"filled.h5\[1\]: nothing tells"):
            lenstronomy_kwargs(filled, 1)
    with pytest.raises(IndexError):
        lenstronomy_kwargs(stored, 6)
