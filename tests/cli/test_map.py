"""Classes by other names, as `--map` says or as DeepLense has them, in every command."""

import csv
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gravlensdiffusion.cli.evaluate import Options, _open_sets
from gravlensdiffusion.cli.main import main
from gravlensdiffusion.cli.options import FileOptions
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.model.checkpoint import save_model
from gravlensdiffusion.store.reader import LensStore
from tests.balancing.sets import LABELS, save_set
from tests.classification.networks import CONFIG, untrained
from tests.models import LEARNED, awake

KNOWN = ("axion", "cdm", "no_sub")
DEEPLENSE = ("vort", "sphere", "no")
TOLD = (
    "gravlens: {}: classes vort, sphere, no are taken for axion, cdm, no_sub, as DeepLense names "
    "them; --map says otherwise\n"
)
MINE = ("string", "halo", "smooth")
MAP = ("--map", "string=axion,halo=cdm,smooth=no_sub")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a model of 8 pixels that knows the three classes."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_model(folder, awake(LEARNED))
    return folder


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a classifier of 8 pixels that tells no_sub from the others, called lens."""
    folder = tmp_path_factory.mktemp("classifiers") / "tiny"
    config = replace(
        CONFIG,
        image_size=8,
        class_names=("no_sub", "lens"),
        merged=(("cdm", "lens"), ("axion", "lens")),
        pixel_scale_arcsec=0.25,
        original_size=None,
    )
    save_model(folder, untrained(config))
    return folder


def named(folder: Path, names: tuple[str, ...], num: int = 1) -> Path:
    """Write a set of eight images, or more, with classes of some names."""
    return Path(save_set(folder / "set.h5", LABELS * num, class_names=names).path)


@pytest.mark.parametrize(("names", "words"), [(DEEPLENSE, ()), (MINE, MAP)])
def test_balance(
    names: tuple[str, ...],
    words: tuple[str, ...],
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    outs = []
    for each, flags in ((KNOWN, ()), (names, words)):
        outs.append(tmp_path / f"{each[0]}.h5")
        data = named(tmp_path / each[0], each)
        command = ["balance", str(data), "--model", str(model), "--out", str(outs[-1])]
        assert main([*command, *flags]) == 0
    told = capsys.readouterr().err
    assert (TOLD.format(data) in told) == (not words)
    with LensStore(outs[0]) as plain, LensStore(outs[1]) as mapped:
        assert mapped.header == plain.header
        assert mapped.labels.tolist() == plain.labels.tolist()
        np.testing.assert_array_equal(mapped.read(slice(None)), plain.read(slice(None)))


@pytest.mark.parametrize(("names", "words"), [(DEEPLENSE, ()), (MINE, MAP)])
def test_train(
    names: tuple[str, ...],
    words: tuple[str, ...],
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = named(tmp_path, names)
    command = ["train", "--data", str(data), "--init", str(model), "--held-out", "0", "--dry-run"]
    assert main([*command, "--out", str(tmp_path / "run"), *words]) == 0
    said = capsys.readouterr()
    assert "classes: axion, cdm, no_sub" in said.out
    assert "are lost" not in said.err
    assert (TOLD.format(data) in said.err) == (not words)


def test_a_model_that_knows_no_classes_learns_the_names_of_the_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = str(named(tmp_path, DEEPLENSE))
    command = ["train", "--data", data, "--out", str(tmp_path / "run"), "--size", "8", "--dry-run"]
    assert main(command) == 0
    assert "classes: vort, sphere, no" in capsys.readouterr().out
    assert main([*command, "--map", "vort=axion,sphere=axion"]) == 0
    assert "classes: axion, no," in capsys.readouterr().out


@pytest.mark.parametrize(("names", "words"), [(DEEPLENSE, ()), (MINE, MAP)])
def test_evaluate(
    names: tuple[str, ...],
    words: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "real").mkdir()
    generated, reference = named(tmp_path, KNOWN), named(tmp_path / "real", names)
    files = FileOptions(map=words[1] if words else None)
    sets = _open_sets(Options(generated=generated, reference=reference, out=tmp_path, files=files))
    assert [each.header.class_names for each in sets.named.values()] == [KNOWN, KNOWN]
    assert capsys.readouterr().err == ("" if words else TOLD.format(reference))


@pytest.mark.parametrize(("names", "words"), [(DEEPLENSE, ()), (MINE, MAP)])
@pytest.mark.parametrize("command", ["predict", "score"])
def test_classify(
    command: str,
    names: tuple[str, ...],
    words: tuple[str, ...],
    classifier: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data, out = named(tmp_path, names), tmp_path / "out.csv"
    assert (
        main(
            ["classify", command, str(data), "--model", str(classifier), "--out", str(out), *words]
        )
        == 0
    )
    assert (TOLD.format(data) in capsys.readouterr().err) == (not words)
    with (out if command == "predict" else out / "predictions.csv").open() as file:
        labels = [row["label"] for row in csv.DictReader(file)]
    assert labels == ["no_sub" if k == 2 else "" if k < 0 else "lens" for k in LABELS]


def test_classify_train_and_inspect(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = str(named(tmp_path, MINE, num=10))
    assert main(["inspect", data, *MAP]) == 0
    assert re.search(r"\n  axion +10\n", capsys.readouterr().out)
    command = ["classify", "train", data, "--out", str(tmp_path / "c"), "--dry-run"]
    assert main([*command, "--map", "halo=lens,string=lens"]) == 0
    assert "(lens " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("halo", "--map must be like no=no_sub,sphere=cdm,vort=axion"),
        ("halo=", "--map must be like"),
        ("halo=cdm=x", "--map must be like"),
        ("halo=cdm,halo=axion", "--map takes class 'halo' both for cdm and axion"),
        ("hallo=cdm", "--map names class 'hallo'; the images have: string, halo, smooth"),
        ("halo=any", "'any'"),
    ],
)
def test_what_cannot_be_renamed_is_told_in_one_line(
    text: str, message: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = named(tmp_path, MINE)
    command = ["balance", str(data), "--model", str(model), "--out", str(tmp_path / "out.h5")]
    assert main([*command, "--map", text]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1


def test_names_that_are_told_are_left(model: Path, tmp_path: Path) -> None:
    data = named(tmp_path, DEEPLENSE)
    source = FileOptions(map="no=no,vort=string").open(data, known=KNOWN)
    assert source.header.class_names == ("string", "cdm", "no")
    with pytest.raises(GravLensError, match="'other'; the images have: vort, sphere, no"):
        FileOptions(map="other=cdm").open(data)


def test_simulated_images_have_classes_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "--data", "preset:deeplense", "--out", str(tmp_path / "run")]
    assert main([*command, "--map", "cdm=sphere"]) == 2
    assert "--map is for sets in files, not for a simulation, whose size and classes" in (
        capsys.readouterr().err
    )
