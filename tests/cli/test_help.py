"""What ``--help`` of each command shows: a first group that can be taken in, the rest under headings."""

import re
from pathlib import Path

import pytest

from gravlensdiffusion.cli.classify import COMMANDS as CLASSIFY
from gravlensdiffusion.cli.main import COMMANDS, main

WORDS = [[name] for name in COMMANDS if name != "classify"]
WORDS += [["classify", name] for name in CLASSIFY]
MOST = 15


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
@pytest.mark.parametrize("columns", ["80", "120"])
def test_the_help_can_be_taken_in(words, columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    assert main([*words, "--help"]) == 0
    shown = capsys.readouterr().out
    _, *parts = re.split(r"^ (\w[\w ]*?) +\n -{4,} *\n", shown, flags=re.M)
    flags = {
        name: re.findall(r"^  (--[a-z][\w-]*)", group, re.M)
        for name, group in zip(parts[::2], parts[1::2], strict=True)
    }
    assert len(flags["options"]) <= MOST
    assert all(len(each) <= 9 for name, each in flags.items() if name != "options")
    assert all(len(line) <= int(columns) for line in shown.splitlines() if line[:1] == " ")
    assert "None" not in shown
    assert "(default: False)" not in shown


def test_flags_of_a_group_go_by_their_own_name(capsys):
    assert main(["sample", "--help"]) == 0
    shown = capsys.readouterr().out
    for flag in ("--theta-E", "--steps", "--sky-rms", "--threads"):
        assert f"  {flag} " in shown


def test_the_help_and_the_page_name_every_file_that_is_read(capsys):
    from gravlensdiffusion.formats.companions import IMAGE_SUFFIXES
    from gravlensdiffusion.formats.folder import SHARD_SUFFIXES

    assert main(["inspect", "--help"]) == 0
    shown = capsys.readouterr().out
    page = (Path(__file__).parents[2] / "docs" / "data-format.md").read_text()
    for suffix in (*IMAGE_SUFFIXES, *SHARD_SUFFIXES, ".csv"):
        assert re.search(rf"^- .*{re.escape(suffix)}[ :,]", shown, re.M)
        assert re.search(rf"^\| .*`{re.escape(suffix)}`", page, re.M)
    for flag in ("--hdu", "--band", "--dataset", "--labels", "--follow-links", "--skip-bad"):
        assert f" {flag} " in shown
        assert re.search(rf"^\|.*`{flag}", page, re.M)
