"""The command as a user meets it: in a process of its own, in whatever terminal."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gravlensdiffusion.cli.main import COMMANDS

SCRIPT = Path(sys.executable).with_name("gravlens")


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_of_every_command(run_gravlens, name):
    result = run_gravlens(name, "--help")
    assert result.returncode == 0
    assert result.stderr == ""
    assert result.stdout.startswith(f"usage: gravlens {name}")


def test_script_is_the_module():
    result = subprocess.run([SCRIPT, "--help"], capture_output=True, text=True, check=False)
    assert result.returncode == 0
    assert result.stdout.startswith("usage: gravlens COMMAND")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sample"], "missing: --out PATH (see gravlens sample --help)"),
        (["train"], "missing: --data PATH, --out PATH (see gravlens train --help)"),
        (["inspect"], "missing: DATA (see gravlens inspect --help)"),
        (["sample", "--out", "x", "--num", "many"], "--num: 'many' is not a whole number"),
        (["sample", "--out", "x", "--colour", "red"], "not understood: --colour"),
    ],
)
def test_mistake_is_one_line_and_code_2(run_gravlens, tmp_path, words, message, encoding):
    environment = os.environ | {"PYTHONIOENCODING": encoding, "COLUMNS": "60"}
    result = run_gravlens(*words, cwd=tmp_path, env=environment)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("gravlens: error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_folder_that_cannot_be_written_is_one_line(run_gravlens, tmp_path):
    (tmp_path / "file").write_text("")
    result = run_gravlens("sample", "--num", "1", "--out", tmp_path / "file" / "out")
    assert result.returncode == 2
    assert result.stderr.startswith("gravlens: error: ")
    assert result.stderr.count("\n") == 1
