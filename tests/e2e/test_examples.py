"""The scripts of examples/ as a reader runs them, with small numbers."""

import json
import re
import runpy
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gravlensdiffusion import open_set
from gravlensdiffusion.cli.main import main

EXAMPLES = Path(__file__).parents[2] / "examples"
TUTORIALS = sorted((EXAMPLES.parent / "docs/tutorials").glob("*.ipynb"))


def test_a_network_of_ones_own_is_trained_on_drawn_lenses(monkeypatch, capsys):
    words = ["train_classifier.py", "--steps", "2", "--test-images", "8", "--workers", "0"]
    monkeypatch.setattr("sys.argv", words)
    runpy.run_path(str(EXAMPLES / words[0]), run_name="__main__")
    told = capsys.readouterr().out
    assert re.search(r"step 0: loss \d\.\d{3}\n", told)
    assert re.search(r"\d+\.\d% of 8 simulated lenses recognised", told)


def test_the_notebook_runs_anywhere(monkeypatch, tmp_path):
    text = (EXAMPLES / "lenses.ipynb").read_text()
    assert not re.search(r"[\"'( ]/\w+/", text)
    cells = json.loads(text)["cells"]
    assert not any(cell.get("outputs") for cell in cells)
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert code[0].startswith("!pip install")
    small = re.sub(r"\b16\b", "6", "\n".join(code[1:])).replace("batch_size=64", "batch_size=4")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("matplotlib.pyplot.show", lambda: None)
    exec(compile(small, "lenses.ipynb", "exec"), {})
    assert len(open_set("rings/fits")) == len(open_set("rings.h5")) == 6


@pytest.mark.slow
@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_runs_from_its_first_cell_to_its_last(tutorial, monkeypatch, tmp_path):
    """Takes up to two minutes: the numbers are those that a reader runs, `make docs` too."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for cell in json.loads(tutorial.read_text())["cells"]:
        code = "".join(cell["source"])
        if cell["cell_type"] == "code" and code.startswith("!gravlens "):
            # The tutorial on cutouts first shows how bad files are refused.
            assert main(shlex.split(code.partition(" 2>&1")[0])[1:]) == (
                0 if "--skip-bad" in code else 2
            )
        elif cell["cell_type"] == "code":
            exec(compile(code, tutorial.name, "exec"), names)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("task", ["star", "column", "noise"])
def test_a_lens_is_mended_with_error_bars(task, tmp_path, monkeypatch, capsys):
    pytest.importorskip("azula", reason="needs azula, which make setup installs")
    flags = {"--task": task, "--num": "2", "--draws": "3", "--steps": "2"}
    words = ["posterior.py", "--out", str(tmp_path / "mended.png")]
    monkeypatch.setattr("sys.argv", words + [word for flag in flags.items() for word in flag])
    runpy.run_path(str(EXAMPLES / words[0]), run_name="__main__")
    told = capsys.readouterr().out
    error, _, size = (float(number) for number in re.findall(r"rms.*: (\d+\.\d+) e-/s", told))
    assert error < size
    assert np.asarray(Image.open(tmp_path / "mended.png")).std() > 10
