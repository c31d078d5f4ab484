"""A balance that is broken off goes on, and mixes nothing."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gravlensdiffusion.balancing.balance import balance
from gravlensdiffusion.balancing.settings import BalanceSettings
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.store.reader import LensStore
from tests.balancing.sets import LABELS, save_set, tiny

ROOT = Path(__file__).parents[2]
SINGLY = BalanceSettings(batch_size=1)
"""Five batches of one image."""


class BrokenOff(Exception):
    """What breaks a balance off."""


def break_off(source: LensStore, out: Path, after: int, settings: BalanceSettings = SINGLY) -> None:
    """Balance, and break off after some batches."""
    num_made = 0

    def advance(num: int) -> None:
        nonlocal num_made
        num_made += num
        if num_made == after:
            raise BrokenOff

    with pytest.raises(BrokenOff):
        balance(source, tiny(), out, settings=settings, advance=advance)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def source(tmp_path: Path) -> LensStore:
    return save_set(tmp_path / "set.h5")


@pytest.fixture
def unbroken(source: LensStore, tmp_path: Path) -> bytes:
    balance(source, tiny(), tmp_path / "unbroken.h5", settings=SINGLY)
    return (tmp_path / "unbroken.h5").read_bytes()


@pytest.mark.parametrize("after", [1, 3, 5])
def test_it_goes_on_where_it_was_and_ends_with_the_same_bits(
    source: LensStore, unbroken: bytes, tmp_path: Path, after: int
) -> None:
    out = tmp_path / "out.h5"
    break_off(source, out, after)
    assert not out.exists()
    parts = {path: path.stat().st_mtime_ns for path in tmp_path.glob("out.h5.partial/part-*")}
    assert len(parts) == after
    kept = {}
    told: list[str] = []
    balance(
        source,
        tiny(),
        out,
        settings=SINGLY,
        tell=told.append,
        advance=lambda _: kept.update({p: p.stat().st_mtime_ns for p in parts}),
    )
    assert told[0] == f"going on with what lies in {out}.partial"
    assert kept == parts
    assert out.read_bytes() == unbroken
    assert names(tmp_path) == ["out.h5", "set.h5", "unbroken.h5"]


# Each place kills the process that balances: after two batches, while it draws the third, and while
# the whole file is written.
PLACES = {
    "between": "balance(source, tiny(), out, settings=settings, advance=Countdown(2))",
    "drawing": "generator.finished = Countdown(3, generator.finished); "
    "balance(source, generator, out, settings=settings)",
    "writing": "source.read = Countdown(2, source.read); "
    "balance(source, tiny(), out, settings=settings)",
    "clearing": "Shards.clear = Countdown(1); balance(source, tiny(), out, settings=settings)",
}
SCRIPT = """
import os, signal, sys
from gravlensdiffusion.balancing.balance import balance
from gravlensdiffusion.balancing.settings import BalanceSettings
from gravlensdiffusion.store.shards import Shards
from gravlensdiffusion.store.reader import LensStore
from tests.balancing.sets import tiny

class Countdown:
    def __init__(self, num, then=lambda *_, **__: None):
        self.num, self.then = num, then
    def __call__(self, *values, **named):
        self.num -= 1
        if not self.num:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.then(*values, **named)

source, out, settings = LensStore(sys.argv[1]), sys.argv[2], BalanceSettings(batch_size=1)
generator = tiny()
"""


@pytest.mark.faults
@pytest.mark.parametrize("place", PLACES)
def test_killed_at_any_moment_it_loses_nothing(
    source: LensStore, unbroken: bytes, tmp_path: Path, place: str
) -> None:
    out = tmp_path / "out.h5"
    command = [sys.executable, "-c", SCRIPT + PLACES[place], str(source.path), str(out)]
    killed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert killed.returncode == -9, killed.stderr
    # All but the last leave the file to be made.
    assert out.exists() == (place == "clearing")
    assert (tmp_path / "out.h5.partial").is_dir()
    balance(source, tiny(), out, settings=SINGLY, overwrite=out.exists())
    assert out.read_bytes() == unbroken
    assert names(tmp_path) == ["out.h5", "set.h5", "unbroken.h5"]


def test_a_damaged_batch_is_drawn_again(source: LensStore, unbroken: bytes, tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    break_off(source, out, 3)
    first, second, _ = sorted(tmp_path.glob("out.h5.partial/part-*"))
    first.write_bytes(first.read_bytes()[:2000])
    second.write_bytes(b"")
    balance(source, tiny(), out, settings=SINGLY)
    assert out.read_bytes() == unbroken


def test_work_goes_on_elsewhere(source: LensStore, tmp_path: Path) -> None:
    break_off(source, tmp_path / "out.h5", 1)
    request = json.loads((tmp_path / "out.h5.partial" / "request.json").read_text())
    assert not {"device", "threads", "processes"} & request.keys()


@pytest.mark.parametrize(
    ("settings", "difference"),
    [
        (BalanceSettings(batch_size=1, seed=1), "seed"),
        (BalanceSettings(batch_size=2), "batch size"),
        (BalanceSettings(batch_size=1, guidance=2.0), "guidance"),
        (BalanceSettings(batch_size=1, num_steps=2), "number of steps"),
    ],
)
def test_another_request_is_refused_or_starts_anew(
    source: LensStore, tmp_path: Path, settings: BalanceSettings, difference: str
) -> None:
    out = tmp_path / "out.h5"
    break_off(source, out, 2)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out.h5.partial").iterdir()}
    with pytest.raises(GravLensError, match=f"unfinished balance of another {difference};"):
        balance(source, tiny(), out, settings=settings)
    assert before == {
        path.name: path.read_bytes() for path in (tmp_path / "out.h5.partial").iterdir()
    }
    told: list[str] = []
    balance(source, tiny(), out, settings=settings, overwrite=True, tell=told.append)
    begun = f"{out}.partial: holds an unfinished balance of another {difference}: starting anew"
    assert told[0] == begun
    balance(source, tiny(), tmp_path / "alone.h5", settings=settings)
    assert out.read_bytes() == (tmp_path / "alone.h5").read_bytes()


def test_another_set_and_another_model_are_other_requests(
    source: LensStore, tmp_path: Path
) -> None:
    out = tmp_path / "out.h5"
    break_off(source, out, 2)
    other = save_set(tmp_path / "other.h5", LABELS, seed=4)
    with pytest.raises(GravLensError, match="of another data;"):
        balance(other, tiny(), out, settings=SINGLY)
    with pytest.raises(GravLensError, match="of another model;"):
        balance(source, tiny(training_data="others"), out, settings=SINGLY)
    changed = tiny()
    next(iter(changed.model.network.parameters())).data += 0.01
    with pytest.raises(GravLensError, match="of another model;"):
        balance(source, changed, out, settings=SINGLY)


@pytest.mark.parametrize("is_asked", [False, True])
def test_a_folder_of_somebody_else_is_left_alone(
    source: LensStore, tmp_path: Path, is_asked: bool
) -> None:
    folder = tmp_path / "out.h5.partial"
    folder.mkdir()
    (folder / "diary.txt").write_text("precious")
    with pytest.raises(GravLensError, match="is no unfinished balance; move it away"):
        balance(source, tiny(), tmp_path / "out.h5", overwrite=is_asked)
    (folder / "request.json").write_text("{")
    with pytest.raises(GravLensError, match=r"request\.json: damaged; move"):
        balance(source, tiny(), tmp_path / "out.h5", overwrite=is_asked)
    assert (folder / "diary.txt").read_text() == "precious"


def test_a_file_that_exists_stays_unless_asked(source: LensStore, tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    out.write_text("precious")
    with pytest.raises(GravLensError, match="exists already"):
        balance(source, tiny(), out)
    assert out.read_text() == "precious"
    with pytest.raises(GravLensError, match=r"must end in \.h5 or \.hdf5"):
        balance(source, tiny(), tmp_path / "out.npy")
    balance(source, tiny(), out, overwrite=True)
    assert len(LensStore(out)) == 13


def test_a_file_that_has_come_meanwhile_is_not_replaced(source: LensStore, tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    with pytest.raises(GravLensError, match="exists already"):
        balance(source, tiny(), out, advance=lambda _: out.write_text("precious"))
    assert out.read_text() == "precious"
    out.unlink()
    balance(source, tiny(), out)
    assert np.isfinite(LensStore(out).read(slice(None))).all()
