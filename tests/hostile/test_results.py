"""A command that fails on bad input leaves nothing behind: no result, no part of one."""

from pathlib import Path

import pytest

from gravlensdiffusion.cli.main import EXIT_USER_ERROR, main
from gravlensdiffusion.model.checkpoint import save_model
from gravlensdiffusion.store.writer import write_store
from tests.models import ORDERED, awake
from tests.sets.files import HEADER, lens_images, lens_records, save_folder


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """Return a folder of good and bad input."""
    folder = tmp_path / "inputs"
    save_folder(folder / "bad_set", lens_images(4, size=32))
    (folder / "bad_set" / "sample2.npy").write_bytes(b"\x93NUMPY\x01\x00")
    good = write_store(folder / "good.h5", lens_records(32, size=32), HEADER).read_bytes()
    (folder / "cut.h5").write_bytes(good[: len(good) // 2])
    save_model(folder / "model", awake(ORDERED))
    save_model(folder / "bad_model", awake(ORDERED))
    weights = folder / "bad_model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    (folder / "bad.json").write_text('{"model": 1}')
    (folder / "bad.csv").write_text("label\ncdm\nevil")
    return folder


COMMANDS = {
    "inspect a bad set": "inspect bad_set --out OUT/a.png",
    "inspect a store cut off": "inspect cut.h5 --out OUT/a.png",
    "train on a bad set": "train --preset cutouts28 --data bad_set --out OUT/run",
    "train on a store cut off": "train --preset cutouts28 --data cut.h5 --out OUT/run",
    "train by a bad recipe": "train --preset bad.json --data good.h5 --out OUT/run",
    "train from a bad model": "train --preset cutouts28 --data good.h5 --init bad_model --out OUT/run",
    "draw from a bad model": "sample --model bad_model --num 2 --out OUT/drawn",
    "draw by a bad table": "sample --model model --conditions bad.csv --out OUT/drawn",
    "evaluate a bad set": "evaluate bad_set good.h5 --protocol none --out OUT/report",
    "evaluate against a bad set": "evaluate good.h5 cut.h5 --protocol none --out OUT/report",
    "distil a bad model": "distill --teacher bad_model --out OUT/run",
}  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_nothing_is_left(
    inputs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: str,
) -> None:
    monkeypatch.chdir(inputs)
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    code = main(words.replace("OUT", str(tmp_path)).split())
    said = capsys.readouterr().err.splitlines()
    assert code == EXIT_USER_ERROR
    assert any("bad" in line or "cut" in line for line in said if "error: " in line), said
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before
