"""``gravlens sample`` and ``gravlens simulate`` to shards."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gravlensdiffusion.cli.main import main
from gravlensdiffusion.model.checkpoint import save_model
from gravlensdiffusion.store.reader import LensStore
from tests.launching import torchrun
from tests.models import awake

WORDS = ("--seed", 4, "--batch-size", 2, "--device", "cpu", "--theta-E", "0.9:1.5", "--noise-free")
LIMIT_S = 120


def sample(model: Path, out: Path, *words: object) -> int:
    return main(["sample", "--model", str(model), "--out", str(out), *map(str, (*WORDS, *words))])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_same_sets(one: Path, other: Path, tolerance: float = 0) -> None:
    with LensStore(one) as a, LensStore(other) as b:
        assert len(a) == len(b)
        assert a.header == b.header
        np.testing.assert_array_equal(a.labels, b.labels)
        assert a.parameters.keys() == b.parameters.keys()
        for name, values in a.parameters.items():
            np.testing.assert_array_equal(values, b.parameters[name])
        whole = slice(None)
        for x, y in (
            (a.read(whole), b.read(whole)),
            (a.read_noise_free(whole), b.read_noise_free(whole)),
        ):
            assert np.abs(x - y).max() <= tolerance * np.abs(y).max()


def test_shards_hold_what_one_file_holds(ordered: Path, tmp_path: Path, capsys) -> None:
    assert sample(ordered, tmp_path / "one", "--num", 11) == 0
    capsys.readouterr()
    assert sample(ordered, tmp_path / "set", "--num", 11, "--shard-size", 4) == 0
    assert capsys.readouterr().out == (
        f"wrote 11 images of ordered to {tmp_path / 'set'}: 3 of 3 shards\n"
    )
    assert sorted(contents(tmp_path / "set")) == [f"lenses-0000{k}.h5" for k in range(3)]
    assert_same_sets(tmp_path / "set", tmp_path / "one" / "lenses.h5")
    # Other neighbours in a batch move the last digits.
    assert sample(ordered, tmp_path / "odd", "--num", 11, "--shard-size", 3) == 0
    assert_same_sets(tmp_path / "odd", tmp_path / "one" / "lenses.h5", tolerance=1e-5)


def test_only_missing_shards_are_made(ordered: Path, tmp_path: Path, capsys) -> None:
    words = ("--num", 11, "--shard-size", 4)
    assert sample(ordered, tmp_path, *words) == 0
    before = contents(tmp_path)
    times = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    (tmp_path / "lenses-00001.h5").unlink()
    capsys.readouterr()
    assert sample(ordered, tmp_path, *words) == 0
    assert "1 of 3 shards, the others were there" in capsys.readouterr().out
    assert contents(tmp_path) == before
    for k in (0, 2):
        name = f"lenses-0000{k}.h5"
        assert (tmp_path / name).stat().st_mtime_ns == times[name]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--seed", 5), "seed, order"),
        (("--steps", 4), "number of steps"),
        (("--sampler", "ddim", "--steps", 3), "sampler"),
        (("--guidance", 2), "guidance"),
        (("--label", "cdm"), "order"),
        (("--sky-rms", 0.2), "noise"),
        (("--flux-unit", "peak"), "flux unit"),
        (("--shard-size", 3), "order, number of images"),
    ],
)
def test_shards_of_another_request_are_refused(
    ordered: Path, tmp_path: Path, capsys, words: tuple[object, ...], named: str
) -> None:
    assert sample(ordered, tmp_path, "--num", 5, "--shard-size", 5) == 0
    before = contents(tmp_path)
    capsys.readouterr()
    assert sample(ordered, tmp_path, "--num", 5, "--shard-size", 5, *words) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert f"lenses-00000.h5: made for another {named};" in said
    assert contents(tmp_path) == before
    assert sample(ordered, tmp_path, "--num", 5, "--shard-size", 5, *words, "--overwrite") == 0
    assert contents(tmp_path) != before


def test_other_weights_are_another_request(ordered: Path, tmp_path: Path, capsys) -> None:
    assert sample(ordered, tmp_path / "set", "--num", 4, "--shard-size", 2) == 0
    other = awake()
    other.network.load_state_dict({k: 1.01 * v for k, v in other.network.state_dict().items()})
    save_model(tmp_path / "ordered", other)
    words = ("--num", 4, "--shard-size", 2)
    assert sample(tmp_path / "ordered", tmp_path / "set", *words) == 2
    assert "made for another model;" in capsys.readouterr().err
    words += ("--guidance", 1.5, "--weak", tmp_path / "ordered")
    assert sample(ordered, tmp_path / "guided", *words) == 0
    assert sample(ordered, tmp_path / "guided", *words) == 0
    assert "0 of 2 shards" in capsys.readouterr().out
    assert sample(ordered, tmp_path / "guided", *words[:-2]) == 2
    assert "made for another weaker model;" in capsys.readouterr().err
    assert sample(ordered, tmp_path / "guided", *words[:-1], ordered) == 2
    assert "made for another weaker model;" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--shard-size", 0), "--shard-size must be at least 1, got 0"),
        (("--shard-size", 5, "--format", "h5,png"), "leave out --format"),
        (("--shard-size", 5, "--gif"), "leave out --gif"),
    ],
)
def test_what_does_not_go_with_shards(ordered: Path, tmp_path: Path, capsys, words, said) -> None:
    assert sample(ordered, tmp_path / "set", "--num", 5, *words) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


@pytest.mark.faults
def test_a_killed_job_goes_on(ordered: Path, tmp_path: Path) -> None:
    words = ["sample", "--model", ordered, *WORDS, "--num", 400, "--shard-size", 100]
    assert main([*map(str, words), "--out", str(tmp_path / "whole")]) == 0
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "gravlensdiffusion", *map(str, words), "--out", str(out)]
    process = subprocess.Popen(command)
    deadline = time.monotonic() + LIMIT_S
    while not ((out / "lenses-00000.h5").exists() and list(out.glob(".lenses-*"))):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.kill()
    process.wait()
    whole = contents(tmp_path / "whole")
    left = contents(out)
    there = {name for name in left if not name.startswith(".")}
    assert there < set(whole)
    assert all(left[name] == whole[name] for name in there)
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    assert contents(out) == whole


def test_simulation_goes_to_shards(tmp_path: Path, capsys) -> None:
    words = ["simulate", "--num", "11", "--size", "28", "--seed", "3", "--jobs", "1"]
    assert main([*words, "--out", str(tmp_path / "one.h5"), "--noise-free"]) == 0
    words += ["--shard-size", "4", "--noise-free", "--out", str(tmp_path / "set")]
    assert main(words) == 0
    assert_same_sets(tmp_path / "set", tmp_path / "one.h5")
    before = contents(tmp_path / "set")
    (tmp_path / "set" / "lenses-00001.h5").unlink()
    capsys.readouterr()
    assert main(words) == 0
    assert "1 of 3 shards, the others were there" in capsys.readouterr().out
    assert contents(tmp_path / "set") == before
    assert main([*words, "--seed", "5"]) == 2
    assert "lenses-00000.h5: made for another seed;" in capsys.readouterr().err
    assert contents(tmp_path / "set") == before


@pytest.mark.faults
def test_two_processes_make_the_same_shards(ordered: Path, tmp_path: Path) -> None:
    words = ("--num", 11, "--shard-size", 4)
    assert sample(ordered, tmp_path / "one", *words) == 0
    asked = ("sample", "--model", ordered, "--out", tmp_path / "two", *WORDS, *words)
    done = torchrun(2, "-m", "--", "gravlensdiffusion", *asked)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("wrote")] == [
        f"wrote 11 images of ordered to {tmp_path / 'two'}: 3 of 3 shards"
    ]
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    (tmp_path / "two" / "lenses-00001.h5").unlink()
    again = torchrun(2, "-m", "--", "gravlensdiffusion", *asked)
    assert "1 of 3 shards, the others were there" in again.stdout, again.stderr
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
