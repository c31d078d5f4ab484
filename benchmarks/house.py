"""How large the house is, and how many of its modules a command enters.

    python benchmarks/house.py
    python benchmarks/house.py --root ../before

Prints a table: lines, files and public names of the package, imports between its folders, and the
modules in which `gravlens sample --num 4` and a small `gravlens evaluate` call a function. The root
is any checkout; its dependencies are those of the Python that runs this.
"""

import argparse
import ast
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

PACKAGE = "gravlensdiffusion"
ENTERED = """
import os, sys, threading
entered = set()
def note(frame, event, argument):
    code = frame.f_code
    if event == "call" and code.co_name != "<module>" and "/gravlensdiffusion/" in code.co_filename:
        entered.add(code.co_filename)
threading.setprofile(note)
sys.setprofile(note)
from gravlensdiffusion.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert not end.code, end.code
finally:
    sys.setprofile(None)
print(f"entered {len(entered)}")
"""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[1], help="a checkout")
    root = parser.parse_args().root.resolve()
    print("| measure | |\n|---|---|")
    for name, value in [*measure(root / "src" / PACKAGE), *enter(root)]:
        print(f"| {name} | {value} |", flush=True)


def measure(package: Path) -> Iterator[tuple[str, str]]:
    """Yield what can be counted in the source: the name of a measure, and its value."""
    files = sorted(package.rglob("*.py"))
    texts = {path: path.read_text(encoding="utf-8") for path in files}
    lengths = [text.count("\n") for text in texts.values()]
    filled = [length for length in lengths if length]
    yield "lines", f"{sum(lengths):,}"
    yield "files", f"{len(files)}, {len(filled)} of them not empty"
    yield "median file", f"{statistics.median(filled):.0f} lines"
    yield "longest file", f"{max(lengths)} lines"
    trees = {path: ast.parse(text) for path, text in texts.items()}
    yield "public names", f"{sum(len(list(public(tree))) for tree in trees.values())}"
    folders = {path.parent for path in files}
    yield "folders", f"{len(folders) - 1}"
    arrows = {
        (place(package, path), target)
        for path, tree in trees.items()
        for target in targets(tree)
        if target != place(package, path)
    }
    yield "imports between folders and modules of the root", f"{len(arrows)}"


def public(tree: ast.Module) -> Iterator[str]:
    """Yield the functions and classes of a module whose names begin with a letter."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name


def place(package: Path, path: Path) -> str:
    """Return the folder, or the module of the root, that a file belongs to."""
    return path.relative_to(package).parts[0].removesuffix(".py")


def targets(tree: ast.Module) -> Iterator[str]:
    """Yield the folders and modules of the root that a module imports, wherever it does."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not node.module:
            continue
        first, _, rest = node.module.partition(".")
        if first == PACKAGE and rest:
            yield rest.split(".")[0]


def enter(root: Path) -> Iterator[tuple[str, str]]:
    """Yield how many modules two commands enter, in a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:

        def run(*words: str) -> str:
            environment = os.environ | {"PYTHONPATH": str(root / "src")}
            done = subprocess.run(
                [sys.executable, "-c", ENTERED, *words],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                check=True,
            )
            return done.stdout.splitlines()[-1].split()[-1]

        simulated = "simulate --preset deeplense --size 28 --num 60 --seed {} --out {}.h5"
        for seed, name in enumerate(("first", "second", "third")):
            run(*simulated.format(seed, name).split())
        sample = "sample --model lens28 --num 4 --out four"
        yield f"modules entered by `gravlens {sample}`", run(*sample.split())
        evaluate = (
            "evaluate first.h5 second.h5 --reference2 third.h5 --skip-pixel-test --out report"
        )
        yield f"modules entered by `gravlens {evaluate}`", run(*evaluate.split())


if __name__ == "__main__":
    main()
