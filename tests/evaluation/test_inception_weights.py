"""Finding the Inception weights: path, cache, download; no test reaches the network."""

import hashlib
from pathlib import Path

import pytest

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.evaluation import inception_weights
from gravlensdiffusion.evaluation.inception_weights import (
    FILE_NAME,
    PUBLIC_SHA256,
    PUBLIC_URL,
    WeightsNotFound,
    find_inception_weights,
)

CONTENT = b"weights " * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def cached(tmp_path, monkeypatch) -> Path:
    """Return where the cached copy belongs, in a cache of this test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "gravlens" / FILE_NAME


@pytest.fixture
def public(tmp_path, monkeypatch) -> Path:
    """Return a file that stands for the public one."""
    path = tmp_path / "public.pth"
    path.write_bytes(CONTENT)
    monkeypatch.setattr(inception_weights, "PUBLIC_URL", path.as_uri())
    monkeypatch.setattr(inception_weights, "PUBLIC_SHA256", SHA256)
    return path


def files_of(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("**/*") if path.is_file())


def test_hash_is_that_in_the_name():
    assert PUBLIC_SHA256.startswith("6726825d")
    assert len(PUBLIC_SHA256) == 64
    assert PUBLIC_URL.endswith("/pt_inception-2015-12-05-6726825d.pth")


def test_download_is_kept_and_used_again(cached, public):
    first = find_inception_weights()
    assert first.path == cached
    assert (first.sha256, first.is_public, first.remark) == (SHA256, True, None)
    assert cached.read_bytes() == CONTENT
    public.unlink()
    assert find_inception_weights() == first
    assert files_of(cached.parent) == [FILE_NAME]


def test_unreachable_server_is_one_line_that_can_be_told_from_mistakes(cached, public):
    public.unlink()
    with pytest.raises(
        WeightsNotFound, match=r"could not be fetched from file:.*No such file"
    ) as e:
        find_inception_weights()
    assert "\n" not in str(e.value)
    assert files_of(cached.parent) == []


def test_wrong_download_is_not_kept(cached, public):
    public.write_bytes(b"something else")
    with pytest.raises(WeightsNotFound, match=f"not the public weights: .*expected {SHA256[:8]}"):
        find_inception_weights()
    assert files_of(cached.parent) == []


def test_download_without_end_is_given_up(cached, public, monkeypatch):
    monkeypatch.setattr(inception_weights, "MAX_BYTES", 100)
    with pytest.raises(WeightsNotFound, match="larger than the file"):
        find_inception_weights()
    assert files_of(cached.parent) == []


def test_wrong_cached_copy_is_replaced_and_mentioned(cached, public):
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"damaged")
    found = find_inception_weights()
    assert found.sha256 == SHA256
    assert "was not used: not the public weights" in found.remark
    assert cached.read_bytes() == CONTENT


def test_wrong_cached_copy_is_never_used(cached, public):
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"damaged")
    public.unlink()
    with pytest.raises(WeightsNotFound, match=r"was not used: .*; Inception weights could not be"):
        find_inception_weights()
    with pytest.raises(WeightsNotFound, match="was not used"):
        find_inception_weights(download=False)


def test_without_download_the_missing_copy_is_named(cached):
    with pytest.raises(WeightsNotFound, match=f"no Inception weights at {cached}"):
        find_inception_weights(download=False)


def test_cache_that_cannot_be_written_is_no_crash(cached, public):
    cached.parent.parent.write_text("a file where the folder should be")
    with pytest.raises(WeightsNotFound, match="could not be fetched"):
        find_inception_weights()


def test_given_file_is_taken_and_a_strange_hash_is_said(cached, public, tmp_path):
    own = tmp_path / "own.pth"
    own.write_bytes(b"own")
    found = find_inception_weights(own)
    assert found.path == own
    assert found.sha256 == hashlib.sha256(b"own").hexdigest()
    assert "not the public weights" in found.remark
    assert not found.is_public
    assert find_inception_weights(public).remark is None
    assert not cached.exists()


def test_given_file_that_is_missing_is_the_users_mistake(tmp_path):
    for path in (tmp_path / "missing.pth", tmp_path):
        with pytest.raises(GravLensError, match=f"{path}: there is no such file") as caught:
            find_inception_weights(path)
        assert not isinstance(caught.value, WeightsNotFound)
