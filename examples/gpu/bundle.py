"""Pack what training on a machine without a network needs into one file.

    python examples/gpu/bundle.py --python 3.12 --out build/gpu-bundle.tar.xz

That machine has Python, PyTorch of at least 2.6 and CUDA. Tests and web pages are taken out of the
wheels, and so are all bundled models but the one to start from.
"""

import argparse
import csv
import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SOURCE_ONLY = ("lenstronomy",)
"""Packages in pure Python that are not published as wheels."""
PLATFORMS = ("2_28", "2_27", "2_17", "2_12", "2_5")
"""Versions of glibc that a wheel may ask for, newest first."""
MAX_MIB = 64
"""Largest bundle that the machines we know take [MiB]."""


def main() -> int:
    """Collect the wheels, make them small, write the bundle, say how large it is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default="3.12", help="version of Python there")
    parser.add_argument("--init", default="", help="a bundled model to take along")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "gpu-bundle.tar.xz")
    options = parser.parse_args()
    models = ROOT / "src" / "gravlensdiffusion" / "models"
    if options.init and not (models / options.init / "config.json").is_file():
        parser.error(f"no bundled model '{options.init}'")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "gpu-bundle"
        wheels = folder / "wheels"
        wheels.mkdir(parents=True)
        collect(Path(scratch) / "given", options.python)
        for wheel in (Path(scratch) / "given").glob("*.whl"):
            slim(wheel, wheels / wheel.name, options.init)
        shutil.copy(HERE / "train.sh", folder)
        with tarfile.open(options.out, "w:xz") as bundle:
            bundle.add(folder, folder.name)
    size = options.out.stat().st_size / 2**20
    print(f"wrote {options.out}, {size:.1f} MiB")
    if size > MAX_MIB:
        print(f"bundle.py: that is more than {MAX_MIB} MiB", file=sys.stderr)
    return int(size > MAX_MIB)


def collect(folder: Path, python: str) -> None:
    """Build or download the wheels of the project and of its dependencies."""
    lines = (HERE / "requirements.txt").read_text(encoding="utf-8").splitlines()
    names = [line for line in lines if line and not line.startswith("#")]
    binary = [name for name in names if name not in SOURCE_ONLY]
    abi = f"cp{python.replace('.', '')}"
    tags = [f"--platform=manylinux_{glibc}_x86_64" for glibc in PLATFORMS]
    tags += ["--platform=manylinux2014_x86_64", f"--python-version={python}"]
    tags += ["--implementation=cp", f"--abi={abi}", "--abi=abi3", "--abi=none"]
    constraint = f"--constraint={ROOT / 'constraints.txt'}"
    pip("download", f"--dest={folder}", "--only-binary=:all:", *tags, constraint, *binary)
    pip("wheel", f"--wheel-dir={folder}", constraint, str(ROOT), *SOURCE_ONLY)


def pip(command: str, *words: str) -> None:
    """Run pip without following dependencies."""
    quiet = ("--quiet", "--disable-pip-version-check", "--no-deps")
    subprocess.run([sys.executable, "-m", "pip", command, *quiet, *words], check=True)


def slim(wheel: Path, out: Path, init: str) -> None:
    """Copy a wheel without what is not needed there, uncompressed: the bundle compresses better."""
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as new:
        for name in old.namelist():
            if is_needed(name, init):
                content = old.read(name)
                if name.endswith(".dist-info/RECORD"):
                    content = record(content, init)
                new.writestr(name, content)


def is_needed(name: str, init: str) -> bool:
    """Return whether a file of a wheel goes along."""
    if name.startswith("gravlensdiffusion/models/"):
        return bool(init) and name.startswith(f"gravlensdiffusion/models/{init}/")
    # Some packages import the tests at their top.
    is_test = "/tests/" in name and not name.startswith(("numpy/", "astropy/tests/"))
    return not is_test and not name.endswith("webfiles.zip")


def record(content: bytes, init: str) -> bytes:
    """Return a wheel's list of files without those that stay behind."""
    rows = [row for row in csv.reader(io.StringIO(content.decode())) if is_needed(row[0], init)]
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode()


if __name__ == "__main__":
    sys.exit(main())
