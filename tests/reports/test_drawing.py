"""Pictures depend on nothing but what they show, and one that fails costs itself alone."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.reports.charts import MAX_LETTERS, _class_series, _lettered, confusion_png
from gravlensdiffusion.reports.mosaics import spared

DRAW = """
import hashlib, numpy as np
from gravlensdiffusion.reports.charts import confusion_png
print(hashlib.sha256(confusion_png(np.eye(2, dtype=int), ["a", "b"])).hexdigest())
"""


def test_the_environment_decides_nothing(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nsavefig.dpi: 10\nfont.size: 30\n")
    found = set()
    for backend, folder in (("not_installed_here", tmp_path), ("agg", tmp_path.parent)):
        done = subprocess.run(
            [sys.executable, "-c", DRAW],
            cwd=folder,
            env={**os.environ, "MPLBACKEND": backend},
            capture_output=True,
            text=True,
            check=True,
        )
        found.add(done.stdout)
    assert len(found) == 1


def test_the_settings_of_a_program_stay_its_own() -> None:
    plain = confusion_png(np.eye(2, dtype=np.int64), ["a", "b"])
    with mpl.rc_context({"axes.facecolor": "red", "font.size": 30}):
        assert confusion_png(np.eye(2, dtype=np.int64), ["a", "b"]) == plain
        assert mpl.rcParams["font.size"] == 30


def test_a_picture_that_fails_is_one_line() -> None:
    told: list[str] = []
    with spared("roc.png", told.append):
        raise ZeroDivisionError("no\nrange")
    assert told == [r"roc.png was not drawn: ZeroDivisionError: no\nrange"]
    for error in (GravLensError("exists"), OSError("full")):
        with pytest.raises(type(error)), spared("roc.png", told.append):
            raise error


def test_classes_differ_by_more_than_colour():
    styles = [_class_series(k) for k in range(24)]
    assert len({(each.colour, each.line) for each in styles}) == 24
    for first, second in pairwise(styles[:12]):
        assert first.colour != second.colour
        assert first.line != second.line


def test_names_are_drawn_as_they_are():
    assert _lettered("no_sub") == "no_sub"
    assert _lettered("$x$\n y") == r"\$x\$ y"
    assert _lettered("星") == "?"
    assert len(_lettered("a" * 90)) == MAX_LETTERS
    # A legend would leave out what begins with an underscore.
    assert not _lettered("_x").startswith("_")
