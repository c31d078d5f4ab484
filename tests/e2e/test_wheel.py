"""The package as others get it: built, installed elsewhere, run outside the checkout."""

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import PathDistribution
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gravlensdiffusion.store.reader import LensStore

ROOT = Path(__file__).parents[2]


def run(*command: object, **options: object) -> str:
    words = [str(word) for word in command]
    result = subprocess.run(words, capture_output=True, text=True, check=False, **options)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """Build a wheel from a copy of the tree and return the folder it is installed in."""
    folder = tmp_path_factory.mktemp("wheel")
    tree, site = folder / "tree", folder / "site"
    unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "src", tree / "src", ignore=unwanted)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    offline = ("--no-deps", "--no-index")
    run(*pip, "wheel", *offline, "--no-build-isolation", "--wheel-dir", folder, tree)
    (wheel,) = folder.glob("*.whl")
    run(*pip, "install", *offline, "--target", site, wheel)
    return site


@pytest.fixture
def gravlens(installed, tmp_path):
    """Return a function that runs the installed command in an empty folder."""
    environment = os.environ | {"PYTHONPATH": str(installed)}

    def command(*words: object) -> str:
        python = (sys.executable, "-m", "gravlensdiffusion")
        return run(*python, *words, cwd=tmp_path, env=environment)

    return command


def test_installed_package_is_what_runs(installed, tmp_path):
    code = "import gravlensdiffusion; print(gravlensdiffusion.__file__)"
    environment = os.environ | {"PYTHONPATH": str(installed)}
    where = run(sys.executable, "-c", code, cwd=tmp_path, env=environment)
    assert Path(where.strip()).is_relative_to(installed)


def test_wheel_holds_command_types_and_licence(installed):
    (metadata,) = installed.glob("gravlensdiffusion-*.dist-info")
    assert "gravlens = gravlensdiffusion.cli.main:main" in (
        (metadata / "entry_points.txt").read_text()
    )
    assert (installed / "gravlensdiffusion" / "py.typed").is_file()
    assert (installed / "gravlensdiffusion" / "reports" / "templates" / "report.html").is_file()
    assert list(metadata.glob("**/LICENSE"))


def test_metadata_says_what_a_registry_shows(installed):
    (folder,) = installed.glob("gravlensdiffusion-*.dist-info")
    metadata = PathDistribution(folder).metadata
    for name in ("Summary", "Author", "Keywords", "License-Expression", "Requires-Python"):
        assert metadata[name], name
    assert "# GravLensDiffusion" in metadata.get_payload()
    assert {"cluster", "diffusers", "fid", "studio"} <= set(metadata.get_all("Provides-Extra"))
    for url in metadata.get_all("Project-URL", []):
        assert re.search(r", https://(github\.com|[\w.-]+\.(org|io))/", url), url


def test_bundled_models_are_listed(gravlens):
    listed = [line for line in gravlens("models").splitlines() if not line.startswith(" ")]
    assert listed == ["lens28", "lens64", "lens150", "slacs96"]


def test_lenses_are_simulated(gravlens, tmp_path):
    gravlens("simulate", "--num", 3, "--size", 28, "--jobs", 1, "--out", "lenses.h5")
    assert LensStore(tmp_path / "lenses.h5").shape == (3, 1, 28, 28)


def test_bundled_model_samples(gravlens, tmp_path):
    gravlens("sample", "--num", 4, "--label", "cdm", "--out", "lenses", "--gif")
    with LensStore(tmp_path / "lenses" / "lenses.h5") as store:
        images = store.read(range(4))
        assert images.shape == (4, 1, 64, 64)
        assert {store.header.class_names[label] for label in store.labels} == {"cdm"}
    assert np.isfinite(images).all()
    # A lens is a bright ring on a dark sky: its brightest pixels stand far above the median.
    assert (images.max(axis=(1, 2, 3)) > 5 * np.median(images, axis=(1, 2, 3))).all()
    with Image.open(tmp_path / "lenses" / "denoising.gif") as gif:
        assert gif.n_frames >= 30
