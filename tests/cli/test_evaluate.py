import json
import os

import numpy as np
import pytest
from astropy.io import fits

from tests.evaluation.sets import CONFIG, SEED, records

FLAGS = ("--protocol", "none", "--skip-pixel-test", "--seeds", "2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from gravlensdiffusion.simulation.generate import set_header
    from gravlensdiffusion.store.writer import write_store

    path = tmp_path_factory.mktemp("sets")
    for name, start in (("generated", 0), ("reference", 60)):
        write_store(path / f"{name}.h5", records(60, start), set_header(CONFIG, SEED), num=60)
    return path


@pytest.fixture
def evaluate(gravlens, monkeypatch, tmp_path_factory, tmp_path):
    cache = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))

    def run(generated, reference, *flags, by=gravlens, **options):
        words = ("evaluate", generated, reference, "--out", tmp_path / "report", *FLAGS, *flags)
        return by(*words, **options)

    return run


def test_it_prints_the_table_and_writes_the_report(evaluate, folder, tmp_path, run_gravlens):
    """In a process of its own, started from a notebook."""
    place = {**os.environ, "MPLBACKEND": "of_a_notebook"}
    sets = (folder / "generated.h5", folder / "reference.h5")
    done = evaluate(*sets, by=run_gravlens, env=place)
    assert done.returncode == 0, done.stderr
    assert "Fréchet" in done.stdout
    assert "few images" in done.stdout
    assert "not asked for" in done.stdout
    assert done.stdout.rstrip().endswith("report")
    found = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    assert found["facts"]["num_generated"] == 30
    assert found["facts"]["sets"]["generated"]["name"] == "generated.h5"
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "generated.h5" in page
    again = evaluate(*sets)
    assert again.returncode == 2
    assert "exists already" in again.stderr


def test_three_real_images_are_placed_one_by_one(evaluate, folder, tmp_path):
    for k, record in enumerate(records(3, 200)):
        unit = "1 at 30 mag" if k else "unknown"
        hdu = fits.PrimaryHDU(np.float32(record.image[0] * (k + 1)))
        hdu.header["BUNIT"] = unit
        (tmp_path / "real").mkdir(exist_ok=True)
        hdu.writeto(tmp_path / "real" / f"{k}.fits")
    refused = evaluate(folder / "generated.h5", tmp_path / "real")
    assert refused.returncode == 2
    assert "flux unit" in refused.stderr
    done = evaluate(folder / "generated.h5", tmp_path / "real", "--rescale", "peak")
    assert done.returncode == 0, done.stderr
    assert "real 3" in done.stdout
    assert "Only 60 generated and 3 reference images" in done.stdout
    found = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    assert not found["rows"]
    assert {len(each["values"]) for each in found["placements"]} == {3}


def one_line(done, *words):
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if "error" in line]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in lines[0]


def test_images_that_are_not_finite_are_refused(evaluate, folder, tmp_path):
    images = np.stack([record.image[0] for record in records(60)])
    images[3, 5, 5] = np.nan
    np.savez(tmp_path / "nan.npz", images=images)
    one_line(evaluate(tmp_path / "nan.npz", folder / "reference.h5"), "nan.npz", "not finite")


def test_a_folder_that_takes_no_files_is_refused_before_anything_is_measured(
    evaluate, folder, tmp_path
):
    (tmp_path / "report").write_text("mine")
    done = evaluate(folder / "generated.h5", folder / "reference.h5")
    assert done.returncode == 2
    assert "cannot be written" in done.stderr
    assert "measuring" not in done.stderr
    assert (tmp_path / "report").read_text() == "mine"


def test_one_image_is_refused(evaluate, folder, tmp_path):
    np.save(tmp_path / "one.npy", records(1)[0].image[0])
    one_line(evaluate(tmp_path / "one.npy", folder / "reference.h5"), "1 image", "at least 2")


def test_sizes_that_differ_are_refused(evaluate, folder, tmp_path):
    np.savez(tmp_path / "large.npz", images=np.random.default_rng(0).random((50, 40, 40)))
    one_line(evaluate(tmp_path / "large.npz", folder / "reference.h5"), "--size 28")


def test_an_empty_folder_is_refused(evaluate, folder, tmp_path):
    (tmp_path / "nothing").mkdir()
    one_line(evaluate(tmp_path / "nothing", folder / "reference.h5"), "nothing")


def test_missing_inception_weights_are_a_mistake_where_they_were_named(evaluate, folder, tmp_path):
    done = evaluate(
        folder / "generated.h5",
        folder / "reference.h5",
        "--protocol",
        "reference",
        "--inception-weights",
        tmp_path / "nowhere.pth",
    )
    one_line(done, "nowhere.pth")


@pytest.mark.parametrize("flags", [("--seeds", "0"), ("--seed", "-1"), ("--size", "0")])
def test_impossible_options_are_refused(evaluate, folder, flags):
    one_line(evaluate(folder / "generated.h5", folder / "reference.h5", *flags), flags[0])


@pytest.mark.parametrize("flag", ["--reference2", "--train"])
def test_a_set_cannot_be_its_own_opposite(folder, tmp_path, capsys, monkeypatch, flag):
    from gravlensdiffusion.cli.main import main

    def look(*_: object, **__: object) -> None:
        raise AssertionError("a set was looked at")

    monkeypatch.setattr("gravlensdiffusion.formats.open.open_set", look)
    same = folder / ".." / folder.name / "reference.h5"
    words = [folder / "generated.h5", folder / "reference.h5", "--out", tmp_path / "r", flag, same]
    assert main(["evaluate", *map(str, words)]) == 2
    assert f"{flag} and REFERENCE are the same images" in capsys.readouterr().err
