"""What an installation takes on the disk: the package, all that it needs, and what each extra adds.

Run it in the environment in question, with the extras installed:

python benchmarks/sizes.py
"""

import re
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
MIB = 2**20
CUDA = re.compile(r"nvidia-|cuda-|triton")
"""Distributions that a build of PyTorch for GPUs brings."""


def needed(lines: list[str]) -> dict[str, Distribution]:
    """Return the installed distributions that requirements come down to, by their names."""
    found: dict[str, Distribution] = {}
    waiting = [Requirement(line) for line in lines]
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        extras = one.extras or {""}
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue
        for line in found[name].requires or []:
            below = Requirement(line)
            if not below.marker or any(below.marker.evaluate({"extra": each}) for each in extras):
                waiting.append(below)
    return found


def size(each: Distribution) -> float:
    """Return the size of a distribution's files [MiB]."""
    paths = (Path(str(file.locate())) for file in each.files or [])
    return sum(path.stat().st_size for path in paths if path.is_file()) / MIB


def main() -> None:
    """Print one line for PyTorch, all else, and each extra."""
    base = needed(PROJECT["dependencies"])
    cuda = {name: each for name, each in base.items() if CUDA.match(name)}
    rest = [each for name, each in base.items() if name not in cuda and name != "torch"]
    print(f"{'PyTorch ' + base['torch'].version:28} {size(base['torch']):8,.0f} MiB")
    print(f"{'its CUDA':28} {sum(map(size, cuda.values())):8,.0f} MiB")
    print(f"{'all else that is needed':28} {sum(map(size, rest)):8,.0f} MiB")
    for name, lines in PROJECT["optional-dependencies"].items():
        added = {key: each for key, each in needed(lines).items() if key not in base}
        is_all = all(canonicalize_name(Requirement(line).name) in needed(lines) for line in lines)
        told = "" if is_all else " (not all installed)"
        print(f"{f'extra {name}':28} {sum(map(size, added.values())):8,.0f} MiB{told}")


if __name__ == "__main__":
    main()
