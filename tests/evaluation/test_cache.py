import itertools

import numpy as np
import pytest

from gravlensdiffusion.evaluation import measure
from gravlensdiffusion.evaluation.preparation import cached


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "gravlens" / "features"


def test_cache_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for value, place in {"": ".cache", "relative": ".cache", str(tmp_path / "x"): "x"}.items():
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        cached(value, compute=counting([]))
        assert list((tmp_path / place / "gravlens" / "features").iterdir())


def counting(calls):
    def compute():
        calls.append(1)
        return {"features": np.arange(6.0).reshape(2, 3)}

    return compute


def test_what_was_computed_once_is_read_back():
    calls = []
    first = cached("a", compute=counting(calls))
    second = cached("a", compute=counting(calls))
    assert len(calls) == 1
    np.testing.assert_array_equal(first["features"], second["features"])
    cached("b", compute=counting(calls))
    assert len(calls) == 2


def test_a_damaged_file_is_computed_anew(folder):
    cached("a", compute=counting([]))
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    damaged = [b"", b"not a zip file", whole[:60]]
    # The table of contents stands at the end.
    for place, byte in itertools.product(range(len(whole) - 80, len(whole)), (0, 255)):
        damaged.append(whole[:place] + bytes([byte]) + whole[place + 1 :])
    for each in damaged:
        path.write_bytes(each)
        found = cached("a", compute=counting([]))
        np.testing.assert_array_equal(found["features"], np.arange(6.0).reshape(2, 3))


def test_a_pickle_in_the_cache_is_not_opened(folder):
    cached("a", compute=counting([]))
    (path,) = folder.iterdir()
    np.savez(path, features=np.array([{"an": "object"}], dtype=object))
    calls = []
    assert cached("a", compute=counting(calls))["features"].shape == (2, 3)
    assert calls


def test_a_cache_that_cannot_be_written_is_no_fault(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    assert cached("a", compute=counting([]))["features"].shape == (2, 3)


def test_keys_depend_on_every_part_and_on_the_code():
    calls = []
    for parts, modules in ((("a", "b"), ()), (("ab", ""), ()), (("a",), ()), (("a",), (measure,))):
        cached(*parts, modules=modules, compute=counting(calls))
    assert len(calls) == 4
