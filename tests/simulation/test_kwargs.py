"""Images made again by lenstronomy alone, from the tables of arguments."""

import json
from dataclasses import replace

import numpy as np
import pytest
from lenstronomy.Util.class_creator import create_image_model

from gravlensdiffusion import GravLensError, LensStore, lenstronomy_kwargs, simulate, write_store
from gravlensdiffusion.presets.simulation import SIMULATION_PRESETS, simulation_preset
from gravlensdiffusion.sets.records import GENERATED

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
