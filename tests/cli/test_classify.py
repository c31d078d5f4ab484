import csv
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from gravlensdiffusion.cli.main import main
from gravlensdiffusion.config.bounds import UNLABELLED
from gravlensdiffusion.model.checkpoint import load_classifier
from gravlensdiffusion.sets.records import LensRecord
from gravlensdiffusion.store.writer import write_store
from tests.classification.planted import HEADER, NAMES, planted

SHORT = ("--images", "640", "--batch-size", "32", "--device", "cpu")


def store(path, num, seed, **changes):
    source = planted(num, seed)
    header = replace(HEADER, **changes)
    if not header.class_names:
        source.labels[:] = UNLABELLED
    records = (
        LensRecord(image=image, label=int(label))
        for image, label in zip(source.images, source.labels, strict=True)
    )
    write_store(path, records, header, num=num)
    return path


def folders(path, num, seed, kind="npy"):
    """Write images into one folder per class."""
    source = planted(num, seed)
    for k, (image, label) in enumerate(zip(source.images[:, 0], source.labels, strict=True)):
        folder = path / NAMES[label]
        folder.mkdir(parents=True, exist_ok=True)
        if kind == "npy":
            np.save(folder / f"{k}.npy", image)
        else:
            bright = (255 * (image + 0.3) / 1.9).clip(0, 255).astype(np.uint8)
            Image.fromarray(bright).save(folder / f"{k}.png")
    return path


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Return a folder with a training set, a test set, and a classifier."""
    path = tmp_path_factory.mktemp("classify")
    store(path / "train.h5", 200, 0)
    store(path / "test.h5", 60, 1)
    assert (
        main(["classify", "train", str(path / "train.h5"), "--out", str(path / "c"), *SHORT]) == 0
    )
    return path


@pytest.fixture
def classify(capsys):
    """Return a function that runs a command and returns its status and what it printed."""

    def run(*words):
        capsys.readouterr()
        status = main(["classify", *map(str, words)])
        return status, *capsys.readouterr()

    return run


def refused(done, *words):
    status, out, err = done
    assert status == 2
    assert out == ""
    assert len(err.splitlines()) == 1, err
    for word in words:
        assert word in err


def test_from_a_process_of_its_own(run_gravlens, work, tmp_path):
    done = run_gravlens(
        "classify", "score", work / "test.h5", "--model", work / "c", "--out", tmp_path / "r"
    )
    assert done.returncode == 0, done.stderr
    assert "AUC 0." in done.stdout
    assert "recall empty" in done.stdout
    found = json.loads((tmp_path / "r" / "report.json").read_text(encoding="utf-8"))
    assert found["title"] == "c on test.h5"
    assert found["scores"]["num_images"] == [30, 30]
    assert found["notes"] == []
    page = (tmp_path / "r" / "report.html").read_text(encoding="utf-8")
    assert "Confusion matrix" in page
    with (tmp_path / "r" / "predictions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    hits = sum(row["called"] == row["label"] for row in rows)
    assert hits / 60 == pytest.approx(found["scores"]["accuracy"])


def test_a_page_that_cannot_be_drawn_costs_no_numbers(classify, work, tmp_path, monkeypatch):
    def fail(*_: object) -> bytes:
        raise ZeroDivisionError("no ink")

    monkeypatch.setattr("gravlensdiffusion.classification.report.roc_png", fail)
    data, model = work / "test.h5", work / "c"
    status, out, err = classify("score", data, "--model", model, "--out", tmp_path / "r")
    assert status == 0
    assert err == "gravlens: report.html was not drawn: ZeroDivisionError: no ink\n"
    assert out.startswith("wrote predictions.csv and report.json to")
    assert {path.name for path in (tmp_path / "r").iterdir()} == {"predictions.csv", "report.json"}


def test_predictions_of_a_file_and_of_a_folder_agree(classify, work, tmp_path):
    status, out, _ = classify(
        "predict", work / "test.h5", "--model", work / "c", "--out", tmp_path / "a.csv"
    )
    assert status == 0
    assert "wrote 60 predictions" in out
    folder = tmp_path / "images"
    folder.mkdir()
    for k, image in enumerate(planted(60, 1).images):
        np.save(folder / f"{k:02}.npy", image)
    status, _, err = classify("predict", folder, "--model", work / "c", "--out", tmp_path / "b.csv")
    assert status == 0
    assert "flux unit of the images is unknown" in err
    tables = []
    for name in ("a.csv", "b.csv"):
        with (tmp_path / name).open(encoding="utf-8") as file:
            tables.append(list(csv.DictReader(file)))
    for one, other in zip(*tables, strict=True):
        assert float(one["p_blob"]) == pytest.approx(float(other["p_blob"]), abs=1e-4)
        assert float(one["p_blob"]) + float(one["p_empty"]) == pytest.approx(1, abs=1e-5)
        assert one["called"] == max(NAMES, key=lambda name: float(one[f"p_{name}"]))
    assert [row["label"] for row in tables[0][:2]] == ["empty", "blob"]
    assert {row["label"] for row in tables[1]} == {""}
    assert tables[1][3]["name"].endswith("03.npy")


def test_a_prior_moves_the_probabilities(classify, work, tmp_path):
    words = ("predict", work / "test.h5", "--model", work / "c", "--out")
    assert classify(*words, tmp_path / "a.csv", "--prior", "blob=0.001,empty=0.999")[0] == 0
    with (tmp_path / "a.csv").open(encoding="utf-8") as file:
        assert {row["called"] for row in csv.DictReader(file)} == {"empty"}


@pytest.mark.parametrize("kind", ["npy", "png"])
def test_training_on_folders(classify, tmp_path, kind):
    data = folders(tmp_path / "images", 40, 0, kind)
    status, out, _ = classify(
        "train", data, "--out", tmp_path / "c", *SHORT, "--map", "blob=lens", "--size", "8"
    )
    assert status == 0
    assert "8 held-out images" in out
    config = load_classifier(tmp_path / "c").config
    assert set(config.class_names) == {"empty", "lens"}
    assert (config.image_size, config.original_size) == (8, 12)
    # Larger images of the same classes are sized and merged as in training.
    score = ("--model", tmp_path / "c", "--out", tmp_path / "r")
    refused(classify("score", data, *score), "all images are copies of those in the classifier's")
    both = tmp_path / "both"
    for part, seed in (("old", 0), ("new", 7)):
        for path in folders(tmp_path / part, 40, seed, kind).rglob(f"*.{kind}"):
            (both / path.parent.name).mkdir(parents=True, exist_ok=True)
            path.rename(both / path.parent.name / f"{part}{path.name}")
    status, out, err = classify("score", both, *score)
    assert status == 0
    assert "on 40 images" in out
    assert "copies of images of the classifier's training set, left out: 40" in err
    (tmp_path / "c" / "training_images.npy").unlink()
    _, _, err = classify("score", both, *score, "--overwrite")
    assert "copies of the classifier's training images were not looked for" in err


def test_random_labels_of_copies_give_no_score(classify, tmp_path):
    source = planted(60, 0)
    labels = np.random.default_rng(1).integers(0, 2, 60)
    records = [
        LensRecord(image=source.images[k % 60], label=int(labels[k % 60])) for k in range(300)
    ]
    write_store(tmp_path / "c.h5", records, HEADER, num=300)
    status, out, err = classify("train", tmp_path / "c.h5", "--out", tmp_path / "c", *SHORT)
    assert status == 0
    assert "60 are different, and copies stay together" in err
    assert "12 held-out images" in out
    report = json.loads((tmp_path / "c" / "report.json").read_text(encoding="utf-8"))
    assert report["scores"]["auc"] < 0.9


def test_a_dry_run_writes_nothing(classify, work, tmp_path):
    status, out, _ = classify("train", work / "train.h5", "--out", tmp_path / "c", "--dry-run")
    assert status == 0
    assert "160 images of 1x12x12 (empty 80, blob 80), 40 held out" in out
    assert not list(tmp_path.iterdir())


def test_what_exists_is_not_replaced(classify, work, tmp_path):
    refused(classify("train", work / "train.h5", "--out", work / "c"), "exists already")
    table = tmp_path / "a.csv"
    table.write_text("mine")
    words = ("predict", work / "test.h5", "--model", work / "c", "--out", table)
    refused(classify(*words), "exists already")
    assert table.read_text() == "mine"
    assert classify(*words, "--overwrite")[0] == 0
    (tmp_path / "report.html").write_text("mine")
    words = ("score", work / "test.h5", "--model", work / "c", "--out", tmp_path)
    refused(classify(*words), "report.html", "exists already")
    assert not (tmp_path / "report.json").exists()


def test_mistakes_of_a_user_are_one_line(classify, work, tmp_path):
    out, model = ("--out", tmp_path / "new"), ("--model", work / "c")
    bare = store(tmp_path / "bare.h5", 10, 0, class_names=())
    refused(classify("train", bare, *out), "no classes: put them into one folder per class")
    refused(classify("score", bare, *model, *out), "no classes to judge by")
    other = store(tmp_path / "other.h5", 10, 0, class_names=("empty", "ring"))
    refused(classify("score", other, *model, *out), "does not know class 'ring'")
    peak = store(tmp_path / "peak.h5", 10, 0, flux_unit="peak")
    refused(classify("score", peak, *model, *out), "flux unit peak", "trained on e-/s")
    np.save(tmp_path / "small.npy", planted(1, 0).images[0, 0, :9, :9])
    table = ("--out", tmp_path / "p.csv")
    refused(classify("predict", tmp_path / "small.npy", *model, *table), "9 x 9", "on 12")
    refused(classify("predict", bare, *model, *out), "must end in .csv")
    refused(classify("predict", bare, "--model", tmp_path, *table), "config.json")
    (tmp_path / "config.json").write_text("{}")
    refused(classify("predict", bare, "--model", tmp_path, *table), "folder of a classifier?")
    few = store(tmp_path / "few.h5", 8, 0)
    refused(classify("train", few, *out), "class 'empty' has 4 original images")
    refused(classify("train", few, *out, "--map", "lens"), "--map must be like")
    refused(classify("train", few, *out, "--held-out", "1"), "--held-out must lie between")
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "p.csv").exists()


def test_commands_below_a_command_have_help(classify):
    status, out, _ = classify("--help")
    assert status == 0
    assert "usage: gravlens classify COMMAND" in out
    for name in ("train", "predict", "score"):
        assert f"  {name} " in out
        assert f"gravlens classify {name} [-h]" in classify(name, "--help")[1]
    refused(classify(), "expected one of classify train, classify predict, classify score")
    refused(classify("trian"), "did you mean classify train?")


@pytest.mark.faults
def test_a_training_that_is_ended_leaves_nothing_and_can_be_run_again(work, tmp_path):
    words = ("classify", "train", work / "train.h5", "--out", tmp_path / "c", "--device", "cpu")
    command = [sys.executable, "-m", "gravlensdiffusion", *map(str, words)]
    with subprocess.Popen(
        [*command, "--images", "100000000"], stderr=subprocess.DEVNULL
    ) as process:
        deadline = time.monotonic() + 60
        while (
            not list(tmp_path.glob(".classifier.*.tmp/prepared.json"))
            and time.monotonic() < deadline
        ):
            time.sleep(0.05)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) != 0
    assert not list(tmp_path.iterdir())
    assert main([*map(str, words), *SHORT[:4]]) == 0
    assert (tmp_path / "c" / "model.safetensors").is_file()
