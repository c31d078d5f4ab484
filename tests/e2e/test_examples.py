"""The scripts of examples/ as a reader runs them, with small numbers."""

import re
import runpy
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_a_network_of_ones_own_is_trained_on_drawn_lenses(monkeypatch, capsys):
    words = ["train_classifier.py", "--steps", "2", "--test-images", "60", "--workers", "0"]
    monkeypatch.setattr("sys.argv", words)
    runpy.run_path(str(EXAMPLES / words[0]), run_name="__main__")
    told = capsys.readouterr().out
    assert re.search(r"step 0: loss \d\.\d{3}\n", told)
    assert re.search(r"\d+\.\d% of 60 simulated lenses recognised", told)
