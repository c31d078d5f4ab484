from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.records import LensRecord, SetHeader
from gravlensdiffusion.store.reader import LensStore
from gravlensdiffusion.store.shards import Shards
from gravlensdiffusion.store.writer import write_store

HEADER = SetHeader(class_names=("ring",), flux_unit="e-/s", seed=1)
REQUEST = {"seed": 1, "steps": (2, 3)}


def records(images: range) -> list[LensRecord]:
    return [LensRecord(image=np.full((1, 4, 4), k, np.float32), label=0) for k in images]


def write(shards: Shards, *which: int) -> None:
    for k in which:
        shards.write(k, records(shards.pieces[k]), HEADER, REQUEST)


def has(shards: Shards, index: int, *, overwrite: bool = False, **changes: object) -> bool:
    return not shards.missing([index], lambda _: REQUEST | changes, overwrite=overwrite)


def test_a_folder_of_shards_is_the_set(tmp_path: Path) -> None:
    shards = Shards.of_size(tmp_path / "set", 7, 3)
    assert [shards.pieces[k] for k in range(len(shards))] == [range(3), range(3, 6), range(6, 7)]
    write(shards, 2, 0, 1)
    with LensStore(tmp_path / "set") as store:
        assert store.read(slice(None))[:, 0, 0, 0].tolist() == list(range(7))
        # What each shard was asked to be is not what all of them were.
        assert store.header == replace(HEADER, request=None)
    shards.check_folder(overwrite=False)
    assert [has(shards, k) for k in range(3)] == [True, True, True]


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (lambda folder: (Shards.of_size(folder, 7, 3), {"seed": 2}), "seed"),
        (lambda folder: (Shards.of_size(folder, 7, 3), {"steps": (2, 4)}), "steps"),
        (lambda folder: (Shards.of_size(folder, 7, 3), {"guidance": 2}), "guidance"),
        (lambda folder: (Shards.of_size(folder, 9, 3), {}), "number of images"),
        (lambda folder: (Shards.of_size(folder, 14, 2), {}), "first image, number of images"),
    ],
)
def test_another_request_is_named(tmp_path: Path, other, named: str) -> None:
    write(Shards.of_size(tmp_path, 7, 3), 2)
    shards, changes = other(tmp_path)
    with pytest.raises(GravLensError, match=f"lenses-00002.h5: made for another {named};"):
        has(shards, 2, **changes)
    assert shards.path(2).exists()
    assert not has(shards, 2, overwrite=True, **changes)
    assert not shards.path(2).exists()


def test_more_images_keep_the_full_shards(tmp_path: Path) -> None:
    write(Shards.of_size(tmp_path, 6, 3), 0, 1)
    more = Shards.of_size(tmp_path, 9, 3)
    assert [has(more, k) for k in range(3)] == [True, True, False]


def truncate(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def spoil_a_pixel(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["images"][1, 0, 2, 3] = np.nan


@pytest.mark.parametrize("damage", [truncate, spoil_a_pixel])
def test_a_damaged_shard_is_no_shard(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    shards = Shards.of_size(tmp_path, 3, 3)
    write(shards, 0)
    damage(shards.path(0))
    with pytest.raises(GravLensError, match=r"lenses-00000.h5: .*`overwrite`"):
        has(shards, 0)
    assert not has(shards, 0, overwrite=True)


def test_a_set_from_elsewhere_is_left_alone(tmp_path: Path) -> None:
    shards = Shards.of_size(tmp_path, 3, 3)
    write(shards, 0)
    with LensStore(shards.path(0)) as store:
        header = replace(store.header, request=None)
    shards.path(0).unlink()
    write_store(shards.path(0), records(range(3)), header)
    with pytest.raises(GravLensError, match="does not say what it was asked to be"):
        has(shards, 0)


@pytest.mark.parametrize("name", ["lenses.h5", "image.png", "lenses-1.h5", "notes.txt"])
def test_strangers_in_the_folder_are_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "README.md").write_text("about the set")
    shards = Shards.of_size(tmp_path, 3, 3)
    shards.check_folder(overwrite=False)
    (tmp_path / name).write_bytes(b"mine")
    for overwrite in (False, True):
        with pytest.raises(GravLensError, match=f"holds {name}"):
            shards.check_folder(overwrite=overwrite)


def test_left_over_shards_go_when_asked_to(tmp_path: Path) -> None:
    write(Shards.of_size(tmp_path, 9, 3), 0, 1, 2)
    (tmp_path / ".lenses-00001.77.partial.h5").write_bytes(b"broken off")
    fewer = Shards.of_size(tmp_path, 6, 3)
    with pytest.raises(GravLensError, match=r"lenses-00002.h5: more shards than asked for \(2\)"):
        fewer.check_folder(overwrite=False)
    fewer.check_folder(overwrite=True)
    fewer.clean()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "lenses-00000.h5",
        "lenses-00001.h5",
    ]


def test_a_shard_is_whole_or_not_there(tmp_path: Path) -> None:
    shards = Shards.of_size(tmp_path / "set", 6, 3)

    def broken_off():
        yield from records(range(2))
        assert not shards.path(0).exists()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shards.write(0, broken_off(), HEADER, REQUEST)
    assert list((tmp_path / "set").iterdir()) == []
