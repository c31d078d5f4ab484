"""What is carried to a machine without a network."""

import csv
import importlib.util
import subprocess
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[1] / "examples" / "gpu"


@pytest.fixture
def bundle() -> ModuleType:
    """Return the script that makes the bundle, as a module."""
    spec = importlib.util.spec_from_file_location("bundle", FOLDER / "bundle.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_slim_wheel_lists_what_it_holds_and_keeps_one_model(
    bundle: ModuleType, tmp_path: Path
) -> None:
    kept = [
        "gravlensdiffusion/cli/main.py",
        "gravlensdiffusion/models/lens64/model.safetensors",
        "astropy/tests/runner.py",
        "numpy/_core/tests/_natype.py",
    ]
    dropped = [
        "gravlensdiffusion/models/lens28/model.safetensors",
        "gravlensdiffusion/models/encoders/encoder28/config.json",
        "scipy/stats/tests/test_fit.py",
        "tensorboard/webfiles.zip",
    ]
    record = "x-1.dist-info/RECORD"
    with zipfile.ZipFile(tmp_path / "x.whl", "w") as wheel:
        for name in (*kept, *dropped):
            wheel.writestr(name, name)
        wheel.writestr(record, "".join(f"{n},sha256=abc,3\n" for n in (*kept, *dropped, record)))
    bundle.slim(tmp_path / "x.whl", tmp_path / "slim.whl", "lens64")
    with zipfile.ZipFile(tmp_path / "slim.whl") as wheel:
        assert sorted(wheel.namelist()) == sorted([*kept, record])
        assert all(wheel.read(name).decode() == name for name in kept)
        rows = list(csv.reader(wheel.read(record).decode().splitlines()))
    assert [row[0] for row in rows] == [*kept, record]
    assert rows[0][1:] == ["sha256=abc", "3"]


def test_every_package_of_the_bundle_has_a_pinned_version() -> None:
    pinned = {
        line.split("==")[0].lower()
        for line in (FOLDER.parents[1] / "constraints.txt").read_text().splitlines()
    }
    lines = (FOLDER / "requirements.txt").read_text().splitlines()
    names = [line for line in lines if not line.startswith("#")]
    assert {name.lower() for name in names} <= pinned
    assert "torch" not in names


def test_the_script_refuses_a_preset_that_it_does_not_know(tmp_path: Path) -> None:
    script = ["bash", str(FOLDER / "train.sh"), "lens28"]
    done = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "train.sh: no preset 'lens28' here, lens64 or lens150\n"
    assert not list(tmp_path.iterdir())
