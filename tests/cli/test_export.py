"""Sets as files of single images; models are exported in tests/parity/test_pipelines.py."""

import numpy as np
import pytest
from astropy.io import fits

from gravlensdiffusion import open_set, write_store
from gravlensdiffusion.cli.main import main
from gravlensdiffusion.model.folders import MODELS_FOLDER
from tests.sets.files import HEADER, lens_images, lens_records


@pytest.fixture
def lenses(tmp_path):
    return write_store(tmp_path / "lenses.h5", lens_records(4), HEADER)


@pytest.mark.parametrize("name", ["fits", "npy", "png"])
def test_a_set_becomes_a_file_for_each_image(lenses, tmp_path, capsys, name):
    assert main(["export", str(lenses), "--to", name, str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == f"wrote 4 images of {lenses} to {tmp_path / 'out'}: {name}\n"
    assert [each.name for each in (tmp_path / "out").iterdir()] == [name]
    images = open_set(tmp_path / "out" / name).read(slice(None))[:, 0]
    np.testing.assert_allclose(images, lens_images(4), atol=0.02 if name == "png" else 0)
    assert main(["export", str(lenses), "--to", name, str(tmp_path / "out")]) == 2
    assert "exists already" in capsys.readouterr().err
    words = ["export", str(lenses), "--to", name, str(tmp_path / "out"), "--overwrite"]
    assert main(words) == 0


@pytest.mark.parametrize("source", ["set", "set/lenses.h5", "set/npy", "link"])
def test_what_is_exported_is_not_replaced(lenses, tmp_path, capsys, source):
    assert main(["export", str(lenses), "--to", "npy", str(tmp_path / "set")]) == 0
    if source != "set/npy":
        (tmp_path / "set" / "npy").rename(tmp_path / "other")
        lenses.rename(tmp_path / "set" / "lenses.h5")
    (tmp_path / "link").symlink_to(tmp_path / "set")
    before = {path: path.read_bytes() for path in (tmp_path / "set").rglob("*.*")}
    words = ["export", str(tmp_path / source), "--to", "png", str(tmp_path / "set"), "--overwrite"]
    capsys.readouterr()
    assert main(words) == 2
    assert "is part of what is read, or holds it; name another" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in (tmp_path / "set").rglob("*.*")} == before


def test_fits_files_say_where_a_simulated_image_comes_from(lenses, tmp_path):
    assert main(["export", str(lenses), "--to", "fits", str(tmp_path / "out")]) == 0
    header = fits.getheader(tmp_path / "out" / "fits" / "00002.fits")
    assert (header["PRESET"], header["SEED"], header["IMAGEIDX"]) == ("deeplense", 3, 2)
    assert (header["CLASS"], header["PAR theta_E"]) == ("axion", 1.2)
    assert "MODEL" not in header
    assert header["SOFTWARE"] == HEADER.software


def test_models_and_images_that_stand_for_each_other_are_told_apart(lenses, tmp_path, capsys):
    out, folder = str(tmp_path / "out"), str(MODELS_FOLDER / "lens28")
    is_model = [
        *(["export", name, "--to", "fits", out] for name in ("lens28", folder)),
        ["inspect", folder, "--out", out + ".png"],
        ["evaluate", str(lenses), "lens28", "--out", out],
        ["train", "--data", "lens28", "--out", out],
    ]
    is_images = [
        ["export", str(lenses), "--to", "diffusers", out],
        ["sample", "--model", str(lenses), "--num", "2", "--out", out],
        ["models", str(lenses)],
    ]
    for words in is_model:
        assert main(words) == 2
        assert capsys.readouterr().err.endswith("is a model, where images are expected\n")
    for words in is_images:
        assert main(words) == 2
        assert capsys.readouterr().err.endswith("is a file of images, where a model is expected\n")
    assert not (tmp_path / "out").exists()


def test_what_is_no_set_is_refused(tmp_path, capsys):
    assert main(["export", str(tmp_path / "none"), "--to", "fits", str(tmp_path / "out")]) == 2
    assert "none: no such file or folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
