"""What earlier versions have saved is still read, and what they broke off is gone on with."""

import csv
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file

from gravlensdiffusion import LensGenerator, LensRecord, LensStore, open_set, write_store
from gravlensdiffusion.cli.main import main
from gravlensdiffusion.model.checkpoint import load_classifier, load_encoder, load_model
from tests.sources import rings

# What was simulated: classes, Einstein radii, four pixels of image 4 with and without their noise.
LABELS = [1, 0, 0, 0, 1, 0]
THETA_E = [1.116314, 1.128364, 1.638155, 1.153129, 1.370130, 1.517453]
PIXELS = [0.319644, 0.594204, 0.462229, 0.257376]
NOISE_FREE = [0.317974, 0.593669, 0.460479, 0.254993]
# Pixel (3, 4) of the four images that were drawn.
DRAWN = [0.255300, -0.161568, -0.035419, 0.392775]

SAVED = Path(__file__).with_name("saved.tar.xz")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with all that was saved."""
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(SAVED) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def here(saved: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return that folder, in which the commands were given."""
    monkeypatch.chdir(saved)
    return saved


@pytest.fixture(scope="module")
def expected(saved: Path) -> dict[str, NDArray[np.float32]]:
    """Return what the earlier version came to."""
    with np.load(saved / "expected.npz") as arrays:
        return dict(arrays)


def images(path: Path) -> NDArray[np.float32]:
    source = open_set(path)
    return np.asarray(source.read(range(len(source))))


def weights(run: Path) -> NDArray[np.float32]:
    """Return the averaged weights of a run's last checkpoint."""
    *_, last = sorted((run / "checkpoints").glob("[0-9]*"))
    tensors = load_file(last / "ema.safetensors")
    return np.concatenate([tensors[name].ravel() for name in sorted(tensors)])


def gravlens(line: str) -> None:
    assert main(line.split()) == 0


def test_a_simulated_set(here: Path) -> None:
    with LensStore(here / "lenses.h5") as store:
        assert store.header.class_names == ("no_sub", "cdm", "axion")
        assert store.header.pixel_scale_arcsec == pytest.approx(0.05 * 150 / 28)
        assert (store.header.preset, store.header.seed) == ("deeplense", 3)
        assert (store.header.flux_unit, store.header.resize) == ("peak", "bilinear")
        assert store.labels.tolist() == LABELS
        assert store.parameters["theta_E"] == pytest.approx(THETA_E, abs=1e-4)
        assert store.read([4])[0, 0, 14, 5:9] == pytest.approx(PIXELS, abs=1e-5)
        assert store.read_noise_free([4])[0, 0, 14, 5:9] == pytest.approx(NOISE_FREE, abs=1e-5)
        subhaloes = store.subhaloes
        assert np.bincount(subhaloes["image"], minlength=6).tolist() == [33, 0, 0, 0, 33, 0]
        assert subhaloes["mass"][0] == pytest.approx(6576355780, rel=1e-6)


def test_shards_of_a_simulation_are_gone_on_with(
    here: Path, expected: dict[str, NDArray[np.float32]]
) -> None:
    written = (here / "simulated/lenses-00000.h5").stat().st_mtime_ns
    gravlens("simulate --num 6 --size 16 --jobs 1 --seed 4 --shard-size 2 --out simulated")
    assert (here / "simulated/lenses-00000.h5").stat().st_mtime_ns == written
    np.testing.assert_allclose(images(here / "simulated"), expected["simulated"], atol=1e-5)


@pytest.mark.parametrize("words", ["drawn", "drawn/lenses.h5", "drawn/npy", "drawn/fits"])
def test_a_folder_of_samples(here: Path, words: str) -> None:
    np.testing.assert_allclose(images(here / words)[:, 0, 3, 4], DRAWN, atol=1e-5)


def test_what_samples_were_asked_to_be(here: Path) -> None:
    with LensStore(here / "drawn/lenses.h5") as store:
        assert store.labels.tolist() == [0, 1, 0, 1]
        assert store.parameters["source_x"] == pytest.approx(0.1)
        assert store.has_noise_free
    assert images(here / "drawn/png").shape == (4, 1, 8, 8)


def test_samples_are_drawn_again(here: Path, tmp_path: Path) -> None:
    gravlens(
        "sample --model model --num 4 --steps 3 --seed 5 --label no_sub,cdm --theta-E 1.0:1.4 "
        f"--source-x 0.1 --noise-free --device cpu --out {tmp_path}/drawn"
    )
    np.testing.assert_allclose(images(tmp_path / "drawn"), images(here / "drawn"), atol=1e-4)


def test_shards_of_samples_are_gone_on_with(
    here: Path, expected: dict[str, NDArray[np.float32]]
) -> None:
    written = (here / "shards/lenses-00000.h5").stat().st_mtime_ns
    gravlens(
        "sample --model model --num 6 --steps 3 --seed 6 --batch-size 2 --shard-size 2 "
        "--out shards --device cpu"
    )
    assert (here / "shards/lenses-00000.h5").stat().st_mtime_ns == written
    np.testing.assert_allclose(images(here / "shards"), expected["shards"], atol=1e-4)


def test_a_run_goes_on_to_its_end(here: Path, expected: dict[str, NDArray[np.float32]]) -> None:
    gravlens("train --data rings.h5 --preset recipe.json --out run --device cpu")
    np.testing.assert_allclose(weights(here / "run"), expected["run"], atol=1e-5)
    best = json.loads((here / "run/best.json").read_text())
    assert best["images_seen"] == 96
    assert best["held_out_loss"] == pytest.approx(0.9382239, rel=1e-4)
    lines = [json.loads(line) for line in (here / "run/metrics.jsonl").read_text().splitlines()]
    assert [line["images"] for line in lines] == [0, 24, 48, 72, 96]
    assert lines[-1]["loss"] == pytest.approx(0.9419430, rel=1e-4)
    assert not list((here / "run/checkpoints").glob(".*"))


def test_an_adapted_model_is_whole(here: Path, tmp_path: Path) -> None:
    before = weights(here / "adapted")
    gravlens(
        "train --data rings.h5 --init teacher --out adapted --batch-size 8 --held-out 0 "
        "--epochs 3 --device cpu"
    )
    np.testing.assert_array_equal(weights(here / "adapted"), before)
    generator = LensGenerator.from_pretrained("adapted", "cpu")
    assert generator.config.class_names == ("small", "large")
    gravlens(f"sample --model adapted --num 2 --steps 2 --device cpu --out {tmp_path}/drawn")


def test_a_distillation_goes_on_to_its_end(
    here: Path, expected: dict[str, NDArray[np.float32]]
) -> None:
    assert load_model(here / "distilled").config.sampling.few_steps == (1, 2)
    gravlens(
        "distill --teacher teacher --out distilled --steps 1,2 --images 800 --batch-size 8 "
        "--device cpu"
    )
    assert (here / "distilled/checkpoints/0000000800").is_dir()
    np.testing.assert_allclose(weights(here / "distilled"), expected["distilled"], atol=1e-4)


def test_an_encoder(here: Path, expected: dict[str, NDArray[np.float32]]) -> None:
    with torch.no_grad():
        features = load_encoder(here / "encoder")(torch.from_numpy(images(here / "rings.h5")))
    np.testing.assert_allclose(np.asarray(features), expected["features"], atol=1e-5)


def test_a_classifier(here: Path, tmp_path: Path, expected: dict[str, NDArray[np.float32]]) -> None:
    classifier = load_classifier(here / "classifier")
    with torch.no_grad():
        logits = classifier(torch.from_numpy(images(here / "rings.h5")))
    np.testing.assert_allclose(logits.numpy(), expected["logits"], atol=1e-5)
    # It knows the images that it was trained on.
    assert main(f"classify score rings.h5 --model classifier --out {tmp_path}/own".split()) == 2
    gravlens(f"classify score others.h5 --model classifier --out {tmp_path}/score --device cpu")
    for name in ("auc", "confusion", "log_loss", "recall"):
        old, new = (
            json.loads((folder / "report.json").read_text())["scores"][name]
            for folder in (here / "score", tmp_path / "score")
        )
        np.testing.assert_allclose(new, old, rtol=1e-4, err_msg=name)
    rows = [
        [row[:3] for row in csv.reader((folder / "predictions.csv").read_text().splitlines())]
        for folder in (here / "score", tmp_path / "score")
    ]
    assert rows[0] == rows[1]


def test_a_balanced_set(here: Path) -> None:
    with LensStore(here / "filled.h5") as store:
        assert np.bincount(store.labels + 1).tolist() == [1, 12, 12, 12]
        generated = store.parameters["is_generated"]
        assert generated.tolist() == 8 * [0.0] + 29 * [1.0]
        assert store.read([8, 36])[:, 0, 3, 4] == pytest.approx([0.466611, 0.491615], abs=1e-5)
    with LensStore(here / "labelled.h5") as originals:
        np.testing.assert_array_equal(images(here / "filled.h5")[:8], originals.read(slice(None)))


def test_a_balance_goes_on_to_its_end(here: Path, expected: dict[str, NDArray[np.float32]]) -> None:
    gravlens(
        "balance labelled.h5 --model model --per-class 12 --batch-size 3 --seed 1 --out broken.h5 "
        "--device cpu"
    )
    assert not (here / "broken.h5.partial").exists()
    np.testing.assert_allclose(images(here / "broken.h5"), expected["balanced"], atol=1e-4)


def test_an_evaluation_comes_to_the_same_numbers(here: Path) -> None:
    for name, source in (("rings28", rings(40, 28)), ("others28", rings(40, 28, seed=1))):
        records = (
            LensRecord(image=image, label=int(label))
            for image, label in zip(source.images, source.labels, strict=True)
        )
        write_store(here / f"{name}.h5", records, source.header)
    old = json.loads((here / "evaluated/report.json").read_text())
    gravlens(
        "evaluate others28.h5 rings28.h5 --protocol none --skip-pixel-test --seeds 2 "
        "--out evaluated --overwrite"
    )
    new = json.loads((here / "evaluated/report.json").read_text())
    assert new.keys() >= old.keys()
    found = {row["name"]: row for row in new["rows"]}
    for old_row in old["rows"]:
        new_row = found[old_row["name"]]
        for column in ("value", "floor", "ratio"):
            wanted = old_row[column]
            if wanted is not None:
                wanted = pytest.approx(wanted, rel=1e-3, abs=1e-6)
            assert new_row[column] == wanted, (old_row["name"], column)
