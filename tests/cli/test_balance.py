import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gravlensdiffusion.balancing.balance import balance
from gravlensdiffusion.balancing.settings import BalanceSettings
from gravlensdiffusion.cli.main import main
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.model.checkpoint import save_model
from gravlensdiffusion.store.reader import LensStore
from tests.balancing.sets import save_set
from tests.models import awake


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """Return the folder of a model with random weights."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_model(folder, awake())
    return folder


@pytest.fixture
def data(tmp_path) -> Path:
    """Return a set of one axion, two cdm, four no_sub, and one image without a label."""
    return Path(save_set(tmp_path / "set.h5").path)


def run(model: Path, data: Path, *words: object) -> int:
    return main(["balance", str(data), "--model", str(model), *map(str, words)])


def test_file_is_what_python_makes(model, data, tmp_path, capsys):
    out = tmp_path / "out.h5"
    assert run(model, data, "--out", out, "--seed", 5, "--steps", 2) == 0
    told = capsys.readouterr()
    assert (
        told.out == f"wrote 13 images to {out}: 8 originals; 5 by tiny (axion 3, cdm 2, no_sub 0)\n"
    )
    assert re.match(r"gravlens: 7\d\.\d% of the pixels were below zero flux", told.err)
    assert told.err.count("\n") == 1
    settings = BalanceSettings(seed=5, num_steps=2)
    generator = LensGenerator.from_pretrained(model)
    balance(LensStore(data), generator, tmp_path / "python.h5", settings=settings)
    assert out.read_bytes() == (tmp_path / "python.h5").read_bytes()
    assert run(model, out, "--out", tmp_path / "more.h5", "--per-class", 5) == 0
    assert capsys.readouterr().out == (
        f"wrote 16 images to {tmp_path / 'more.h5'}: 13 kept, 5 of them generated before; "
        "3 by tiny (axion 1, cdm 1, no_sub 1)\n"
    )


def test_nothing_missing_is_no_mistake(model, data, tmp_path, capsys):
    assert run(model, data, "--out", tmp_path / "out.h5", "--per-class", 1) == 0
    assert capsys.readouterr().out.endswith("8 originals; nothing was missing\n")


def test_a_class_without_images_gets_none(model, tmp_path, capsys):
    data = save_set(tmp_path / "two.h5", labels=(2, 2, 1)).path
    assert run(model, data, "--out", tmp_path / "out.h5", "--steps", 1) == 0
    told = capsys.readouterr()
    assert "no image belongs to axion, left out" in told.err
    assert told.out.endswith("1 by tiny (axion 0, cdm 1, no_sub 0)\n")


def test_dry_run_says_what_would_be_made_and_writes_nothing(model, data, tmp_path, capsys):
    assert run(model, data, "--out", tmp_path / "out.h5", "--dry-run") == 0
    assert capsys.readouterr().out.splitlines() == [
        "would keep 8 images and make 5 by tiny (dpmpp, 3 steps, seed 0)",
        "  axion   1 + 3",
        "  cdm     2 + 2",
        "  no_sub  4 + 0",
        "  unlabelled, kept and counted nowhere: 1",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["set.h5"]


def test_alike_adds_as_many_images_to_every_class(model, data, tmp_path, capsys):
    words = ("--out", tmp_path / "out.h5", "--alike")
    assert run(model, data, *words, "--dry-run") == 0
    assert capsys.readouterr().out.splitlines()[1:4] == [
        "  axion   1 + 3",
        "  cdm     2 + 3",
        "  no_sub  4 + 3",
    ]
    assert run(model, data, *words, "--per-class", 2, "--dry-run") == 0
    assert capsys.readouterr().out.splitlines()[1:4] == [
        "  axion   1 + 1",
        "  cdm     2 + 1",
        "  no_sub  4 + 1",
    ]
    assert run(model, data, *words, "--per-class", 1) == 0
    assert capsys.readouterr().out.endswith("nothing was missing\n")


def test_notes_are_told(model, tmp_path, capsys):
    save_set(tmp_path / "set.h5", size=4, pixel_scale_arcsec=0.5)
    words = ("--out", tmp_path / "out.h5", "--resample")
    note = (
        "resampled to the set's 4 pixels of 0.5 arcsec: what 'tiny' makes, 8 pixels of 0.25 arcsec "
        "(area)"
    )
    assert run(model, tmp_path / "set.h5", *words, "--dry-run") == 0
    assert f"note: {note}" in capsys.readouterr().out
    assert run(model, tmp_path / "set.h5", *words) == 0
    assert f"gravlens: {note}" in capsys.readouterr().err


def test_classes_without_images_are_told(model, tmp_path, capsys):
    save_set(tmp_path / "set.h5", [1, 2, 2])
    assert run(model, tmp_path / "set.h5", "--out", tmp_path / "out.h5", "--dry-run") == 0
    assert capsys.readouterr().err == "gravlens: no image belongs to axion, left out\n"


def test_quality_stands_for_steps(model, data, tmp_path):
    assert run(model, data, "--out", tmp_path / "out.h5", "--quality", "best") == 0
    (filling,) = LensStore(tmp_path / "out.h5").header.fillings
    assert filling.num_steps == 3


def test_bad_files_are_left_out_when_asked(model, tmp_path, capsys):
    random = np.random.default_rng(0).random((4, 8, 8))
    random[:, 0, 0], random[:, 0, 1] = 0, 1
    for name, images in (("cdm", random[:3]), ("axion", random[3:])):
        (tmp_path / "set" / name).mkdir(parents=True)
        for k, image in enumerate(images):
            np.save(tmp_path / "set" / name / f"{k}.npy", image)
    (tmp_path / "set" / "cdm" / "1.npy").write_bytes(b"")
    words = ("--out", tmp_path / "out.h5", "--flux-unit", "peak")
    assert run(model, tmp_path / "set", *words) == 2
    assert run(model, tmp_path / "set", *words, "--skip-bad") == 0
    assert capsys.readouterr().out.endswith("3 originals; 1 by tiny (axion 1, cdm 0)\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--per-class", "0"], "--per-class must be at least 1, got 0"),
        (["--batch-size", "0"], "--batch-size must be at least 1, got 0"),
        (["--seed", "-1"], "--seed must lie between 0 and 2^64 - 1, got -1"),
        (["--steps", "0"], "--steps must be at least 1, got 0"),
        (["--quality", "best", "--steps", "3"], "--quality says how images are drawn"),
        (["--guidance", "-1"], "--guidance must lie between 0 and 10"),
        (["--flux-unit", "peak"], "the set says that its flux unit is 'e-/s', not 'peak'"),
        (["--model", "lens99"], "no model 'lens99'"),
        (["--model", "lens28"], "--resample brings"),
    ],
)
def test_what_does_not_fit_is_one_line_and_leaves_nothing(
    model, data, tmp_path, capsys, words, message
):
    assert run(model, data, "--out", tmp_path / "out.h5", *words) == 2
    err = capsys.readouterr().err
    assert err.startswith("gravlens: error: ")
    assert message in err
    assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["set.h5"]


def test_output_stays_out_of_the_set(model, tmp_path, capsys):
    (tmp_path / "shards").mkdir()
    save_set(tmp_path / "shards" / "a.h5")
    for data, out in (
        (tmp_path / "shards", tmp_path / "shards" / "out.h5"),
        (tmp_path / "shards" / "a.h5", tmp_path / "shards" / "a.h5"),
    ):
        assert run(model, data, "--out", out, "--overwrite") == 2
        assert "is part of what is read, or holds it; name another" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "shards").iterdir()] == ["a.h5"]


def test_inspect_reads_what_is_written(model, data, tmp_path, capsys):
    assert run(model, data, "--out", tmp_path / "out.h5") == 0
    assert main(["inspect", str(tmp_path / "out.h5"), "--out", str(tmp_path / "a.png")]) == 0
    rows = dict(
        line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if " " in line
    )
    assert rows["is_generated"] == "0 to 1"
    assert rows["note"] == "filled up by model tiny, seed 0: axion 3, cdm 2"


@pytest.mark.faults
def test_terminated_it_says_how_to_go_on(model, data, tmp_path):
    out = tmp_path / "out.h5"
    words = ["balance", data, "--model", model, "--out", out, "--per-class", 120]
    command = [sys.executable, "-m", "gravlensdiffusion", *map(str, [*words, "--batch-size", 5])]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not list(tmp_path.glob("out.h5.partial/part-*")) and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert err.endswith(f"gravlens: kept in {out}.partial; run the same command to go on\n")
    assert not out.exists()
    assert main(list(map(str, [*words, "--batch-size", 5]))) == 0
    settings = BalanceSettings(batch_size=5)
    source = LensStore(data)
    generator = LensGenerator.from_pretrained(model)
    targets = 120
    balance(source, generator, tmp_path / "a.h5", targets=targets, settings=settings)
    assert out.read_bytes() == (tmp_path / "a.h5").read_bytes()
    assert LensStore(out).is_generated.sum() == 353
