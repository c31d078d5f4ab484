"""``gravlens sample`` whose images several processes share."""

from pathlib import Path

import numpy as np
import pytest

from gravlensdiffusion.cli.main import main
from gravlensdiffusion.store.reader import LensStore
from tests.launching import torchrun

WORDS = ("--num", "11", "--seed", "4", "--batch-size", "3", "--steps", "30", "--noise-free")


def test_two_processes_write_what_one_writes(ordered: Path, tmp_path: Path) -> None:
    words = ("sample", "--model", str(ordered), *WORDS, "--gif")
    assert main([*words, "--out", str(tmp_path / "one")]) == 0
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / ".lenses.part-00007.h5").write_bytes(b"left by a call that was killed")
    done = torchrun(2, "-m", "--", "gravlensdiffusion", *words, "--out", tmp_path / "two")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line for line in lines if "wrote" in line] == [
        f"wrote 11 images of ordered to {tmp_path / 'two'}: lenses.h5, grid.png, denoising.gif"
    ]
    names = {path.name for path in (tmp_path / "two").iterdir()}
    assert names == {"lenses.h5", "grid.png", "denoising.gif"}
    for name in ("grid.png", "denoising.gif"):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    with (
        LensStore(tmp_path / "one" / "lenses.h5") as one,
        LensStore(tmp_path / "two" / "lenses.h5") as two,
    ):
        assert two.header == one.header
        np.testing.assert_array_equal(two.read(slice(None)), one.read(slice(None)))
        twins = [each.read_noise_free(slice(None)) for each in (one, two)]
        np.testing.assert_array_equal(*twins)
        np.testing.assert_array_equal(two.labels, one.labels)
        assert two.parameters.keys() == one.parameters.keys()
        for name, values in one.parameters.items():
            np.testing.assert_array_equal(two.parameters[name], values)


@pytest.mark.faults
def test_what_is_wrong_is_told_once_and_leaves_nothing(ordered: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "lenses.h5").write_bytes(b"mine")
    words = ("-m", "--", "gravlensdiffusion", "sample", "--model", ordered, *WORDS)
    done = torchrun(2, *words, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr.count("gravlens: error") == 1, done.stderr
    assert "lenses.h5: exists already" in done.stderr
    # The launcher has a traceback of its own to show.
    assert "gravlensdiffusion/cli" not in done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["lenses.h5"]
    assert (tmp_path / "out" / "lenses.h5").read_bytes() == b"mine"
