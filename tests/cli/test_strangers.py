"""What a stranger's model says of itself, on a terminal."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gravlensdiffusion.cli.main import main
from gravlensdiffusion.codec import from_json, to_json
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.model.checkpoint import save_model
from gravlensdiffusion.sets.records import LensRecord
from gravlensdiffusion.store.writer import write_store
from tests.classification.networks import untrained
from tests.classification.planted import planted
from tests.models import awake

FORGED = "forged"
HOSTILE = f"a\x1b]0;mine\x07\x1b[2J\r\x9b31m\u202eb\n{FORGED}: c"
"""A text that names the window, clears the screen, turns round and begins a line of its own."""


def texts(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where the texts of what was read from JSON stand."""
    if isinstance(value, str):
        yield path
    elif isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from texts(inner, (*path, key))


def with_text(document: Any, path: tuple[Any, ...], text: str) -> Any:
    changed = copy.deepcopy(document)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = text
    return changed


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that runs a command and holds what it says against what may be shown."""

    def run(*words: object) -> tuple[int, str]:
        capsys.readouterr()
        status = main([*map(str, words)])
        out, err = capsys.readouterr()
        for line in (out + err).split("\n"):
            assert line.isprintable(), repr(line)
            assert not line.startswith(FORGED)
        return status, out + err

    return run


def put_hostile(folder: Path, network: Any) -> list[str]:
    """Save a network all of whose texts are hostile that may be; return configurations that are refused."""
    save_model(folder, network)
    document = json.loads(to_json(network.config))
    refused, kept = [], []
    for number, place in enumerate(texts(document)):
        changed = with_text(document, place, f"{HOSTILE}{number}")
        try:
            from_json(type(network.config), json.dumps(changed))
        except GravLensError:
            refused.append(json.dumps(changed))
        else:
            document = changed
            kept.append(place)
    # Names and units are none that nobody can read.
    assert kept == [("training_data",)]
    (folder / "config.json").write_text(json.dumps(document))
    (folder / "README.md").write_text(f"Take it for {HOSTILE}.\n")
    return refused


def test_texts_of_a_stranger_neither_steer_a_terminal_nor_forge_a_line(
    tmp_path: Path, said: Any
) -> None:
    model, classifier = tmp_path / "m", tmp_path / "c"
    refused = put_hostile(model, awake()), put_hostile(classifier, untrained())
    done, out = said("models", model)
    assert done == 0
    assert FORGED in out
    assert said("models", model, "--json")[0] == 0
    sample = ("sample", "--model", model, "--num", 6, "--device", "cpu", "--out")
    assert said(*sample, tmp_path / "s", "--dry-run")[0] == 0
    assert said(*sample, tmp_path / "s")[0] == 0
    assert said("inspect", tmp_path / "s" / "lenses.h5", "--out", tmp_path / "p.png")[0] == 0
    source = planted(40, 0)
    records = (
        LensRecord(image=image, label=int(label))
        for image, label in zip(source.images, source.labels, strict=True)
    )
    data = write_store(tmp_path / "d.h5", records, source.header)
    asked = (data, "--model", classifier, "--device", "cpu", "--out")
    assert said("classify", "predict", *asked, tmp_path / "p.csv")[0] == 0
    assert said("classify", "score", *asked, tmp_path / "r")[0] == 0
    for text in refused[0]:
        (model / "config.json").write_text(text)
        assert said("models", model)[0] == 2
    for text in refused[1]:
        (classifier / "config.json").write_text(text)
        assert said("classify", "predict", *asked, tmp_path / "q.csv")[0] == 2
