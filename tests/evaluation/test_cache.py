import numpy as np
import pytest

from gravlensdiffusion.evaluation import cache
from gravlensdiffusion.evaluation.cache import cache_folder, cached, key_of


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "gravlens" / "features"


def test_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert cache_folder() == tmp_path / ".cache" / "gravlens"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    assert cache_folder() == tmp_path / "other" / "gravlens"


def counting(calls):
    def compute():
        calls.append(1)
        return {"features": np.arange(6.0).reshape(2, 3)}

    return compute


def test_what_was_computed_once_is_read_back():
    calls = []
    first = cached("a", counting(calls))
    second = cached("a", counting(calls))
    assert len(calls) == 1
    np.testing.assert_array_equal(first["features"], second["features"])
    cached("b", counting(calls))
    assert len(calls) == 2


@pytest.mark.parametrize("damage", [b"", b"not a zip file", None])
def test_a_damaged_file_is_computed_anew(folder, damage):
    calls = []
    cached("a", counting(calls))
    path = folder / "a.npz"
    path.write_bytes(path.read_bytes()[:60] if damage is None else damage)
    found = cached("a", counting(calls))
    assert len(calls) == 2
    assert found["features"].shape == (2, 3)


def test_a_pickle_in_the_cache_is_not_opened(folder):
    folder.mkdir(parents=True)
    np.savez(folder / "a.npz", features=np.array([{"an": "object"}], dtype=object))
    calls = []
    assert cached("a", counting(calls))["features"].shape == (2, 3)
    assert calls


def test_a_cache_that_cannot_be_written_is_no_fault(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    assert cached("a", counting([]))["features"].shape == (2, 3)


def test_keys_depend_on_every_part_and_on_the_code():
    assert key_of("a", "b") != key_of("ab", "")
    assert key_of("a") != key_of("a", modules=(cache,))
