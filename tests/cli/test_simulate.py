import json
from dataclasses import replace

import numpy as np
import pytest

from gravlensdiffusion.cli.simulate import Options, _WorkOptions
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.simulation.simulated_set import simulate
from gravlensdiffusion.store.reader import LensStore
from gravlensdiffusion.store.writer import write_store
from tests.sets.files import HEADER, lens_records

ALONE = _WorkOptions(jobs=1)


def test_file_holds_images_labels_truth_and_subhaloes(tmp_path, capsys):
    out = tmp_path / "lenses.h5"
    Options(out=out, num=12, size=28, classes="no_sub,cdm", mix="1,3", seed=5, work=ALONE).run()
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    assert "wrote 12 images of 28x28 pixels" in line
    assert str(out) in line
    with LensStore(out) as store:
        assert len(store) == 12
        assert store.image_shape == (1, 28, 28)
        assert store.header.class_names == ("no_sub", "cdm")
        assert store.header.resize == "bilinear"
        assert store.header.seed == 5
        assert store.parameters["theta_E"].min() >= 1.0
        counts = np.nan_to_num(store.parameters["subhalo_count"])
        assert len(store.subhaloes) == counts.sum()
        np.testing.assert_array_equal(counts > 0, np.asarray(store.labels) == 1)


def test_existing_file_is_kept_unless_overwritten(tmp_path):
    out = tmp_path / "lenses.h5"
    out.write_bytes(b"mine")
    with pytest.raises(GravLensError, match="exists already"):
        Options(out=out, num=1, size=28, work=ALONE).run()
    assert out.read_bytes() == b"mine"
    Options(out=out, num=1, size=28, work=ALONE, overwrite=True).run()
    with LensStore(out) as store:
        assert len(store) == 1


def test_dry_run_writes_nothing(tmp_path, capsys):
    Options(out=tmp_path / "lenses.h5", num=1000, dry_run=True).run()
    assert "would write 1,000 images of 150x150 pixels" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_noise_free_twins_and_flux_unit_are_told_and_stored(tmp_path, capsys):
    out = tmp_path / "lenses.h5"
    options = Options(out=out, num=3, size=28, noise_free=True, flux_unit="e-/s", work=ALONE)
    for dry_run, verb in ((True, "would write"), (False, "wrote")):
        replace(options, dry_run=dry_run).run()
        line = capsys.readouterr().out
        assert line.startswith(verb)
        assert "flux unit e-/s, with noise-free twins, classes" in line
    Options(out=tmp_path / "plain.h5", num=3, size=28, flux_unit="e-/s", work=ALONE).run()
    assert "noise-free" not in capsys.readouterr().out
    with LensStore(out) as store, LensStore(tmp_path / "plain.h5") as plain:
        assert store.header.flux_unit == "e-/s"
        assert (store.has_noise_free, plain.has_noise_free) == (True, False)
        np.testing.assert_array_equal(store.read([0, 1, 2]), plain.read([0, 1, 2]))
        sky = store.read(slice(3)) - store.read_noise_free(slice(3))
        assert 0 < sky.std() < 0.1 * store.read_noise_free(slice(3)).std()


def test_a_file_is_a_preset_with_bad_pixels_say(tmp_path):
    config = json.loads(simulate("slacs").header.config)
    config["imaging"]["instrument"]["bad_pixels"] = {"kind": "uniform", "low": 0.04, "high": 0.05}
    recipe, out = tmp_path / "mine.json", tmp_path / "lenses.h5"
    recipe.write_text(json.dumps(config))
    Options(out=out, preset=str(recipe), num=2, pixels=32, work=ALONE).run()
    with LensStore(out) as store:
        assert store.parameters["bad_pixels"] == pytest.approx([0.045, 0.045], abs=0.03)
        plain = simulate("slacs", 2, num_pixels=32)
        share = (store.read([0, 1]) != plain.read([0, 1])).mean(axis=(1, 2, 3))
        assert share == pytest.approx(store.parameters["bad_pixels"], abs=0.003)
    config["imaging"]["instrument"]["bad_pixels"] = 0.02
    recipe.write_text(json.dumps(config))
    with pytest.raises(GravLensError, match=r"mine\.json: imaging\.instrument.*\.bad_pixels"):
        Options(out=tmp_path / "other.h5", preset=str(recipe), num=2, work=ALONE).run()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"preset": "jwst"}, "unknown preset 'jwst'"),
        ({"preset": "none.json"}, "none.json: No such file"),
        ({"classes": "no_sub,wdm"}, "unknown class 'wdm'"),
        ({"classes": ""}, "unknown class ''"),
        ({"classes": "no_sub,cdm", "mix": "1"}, "mix has 1 weights"),
        ({"mix": "1,x,1"}, "`mix`: 'x' is not a number"),
        ({"num": 0}, "number of images must be at least 1"),
        ({"size": 4}, "size must lie between"),
        ({"flux_unit": "Jy"}, "unknown flux unit 'Jy'"),
        ({"seed": -1}, "must not be negative"),
        ({"work": _WorkOptions(jobs=0)}, "number of jobs"),
    ],
)
def test_bad_options_are_refused_and_nothing_is_written(tmp_path, changes, message):
    with pytest.raises(GravLensError, match=message):
        Options(out=tmp_path / "lenses.h5", **({"work": ALONE} | changes)).run()
    assert not list(tmp_path.iterdir())


def test_bad_paths_are_refused_before_anything_is_simulated(tmp_path):
    with pytest.raises(GravLensError, match=r"must end in \.h5"):
        Options(out=tmp_path / "lenses").run()
    (tmp_path / "folder.h5").mkdir()
    with pytest.raises(GravLensError, match="is a folder"):
        Options(out=tmp_path / "folder.h5").run()


def test_mistake_on_the_command_line_is_one_line_and_code_2(gravlens, tmp_path):
    done = gravlens("simulate", "--out", tmp_path / "lenses.h5", "--classes", "wdm")
    assert done.returncode == 2
    assert done.stderr == ("gravlens: error: unknown class 'wdm'; choose from no_sub, cdm, axion\n")


@pytest.mark.parametrize("sources", ["a.h5", "."])
def test_sources_are_not_replaced(tmp_path, sources):
    path = write_store(tmp_path / "a.h5", lens_records(4), HEADER)
    before = path.read_bytes()
    with pytest.raises(GravLensError, match="is part of what is read, or holds it"):
        Options(out=path, num=2, sources=tmp_path / sources, overwrite=True, work=ALONE).run()
    assert path.read_bytes() == before
