"""The package's front door."""

import ast
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import gravlensdiffusion

ROOT = Path(__file__).parents[1]
IMPORT = re.compile(
    r"^ *from (gravlensdiffusion[\w.]*) import (?:\(([\w,\s]+)\)|([\w, ]+)$)", re.MULTILINE
)


def test_every_public_name_can_be_had() -> None:
    for name in gravlensdiffusion.__all__:
        assert getattr(gravlensdiffusion, name).__module__.startswith("gravlensdiffusion")
    assert set(gravlensdiffusion.__all__) <= set(dir(gravlensdiffusion))
    with pytest.raises(AttributeError, match="no attribute 'galaxy'"):
        _ = gravlensdiffusion.galaxy


def test_a_path_may_be_a_text_wherever_one_is_asked_for() -> None:
    for name in gravlensdiffusion.__all__:
        whole = getattr(gravlensdiffusion, name)
        for function in (whole, *(each for _, each in inspect.getmembers(whole))):
            if not (inspect.isfunction(function) or inspect.ismethod(function)):
                continue
            for parameter in inspect.signature(function).parameters.values():
                kind = str(parameter.annotation).replace("PathLike[str]", "Path")
                is_one = "Path" in kind and "Sequence" not in kind
                assert "str" in kind or not is_one, (name, function, parameter)


def test_every_public_name_is_on_the_page_of_the_api() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\.\. auto\w+:: (\w+)$", page, re.MULTILINE))
    assert told - {"gravlensdiffusion"} == set(gravlensdiffusion.__all__)


def test_a_public_name_stays_when_all_modules_are_imported() -> None:
    code = (
        "import pkgutil, importlib, gravlensdiffusion as g\n"
        "for each in pkgutil.iter_modules(g.__path__):\n"
        "    if each.name != '__main__':\n"
        "        importlib.import_module(f'gravlensdiffusion.{each.name}')\n"
        "print(*(name for name in g.__all__ if type(getattr(g, name)).__name__ == 'module'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("gravlensdiffusion", {"torch", "numpy", "lenstronomy", "h5py"}),
        ("gravlensdiffusion.simulation.generate", {"torch"}),
        ("gravlensdiffusion.presets.training", {"torch"}),
    ],
)
def test_importing_costs_no_more_than_it_must(module: str, unwanted: set[str]) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not unwanted & set(done.stdout.split())


def test_what_scripts_and_pages_import_is_there() -> None:
    folders = [ROOT / name for name in ("docs", "examples", "benchmarks")]
    pages = [ROOT / "README.md", *(page for folder in folders for page in folder.rglob("*"))]
    found = [
        (page.name, module, name.split(" as ")[0].strip())
        for page in pages
        if page.suffix in {".md", ".sh", ".py", ".ipynb"}
        for module, *names in IMPORT.findall(_source(page))
        for name in "".join(names).split(",")
        if name.strip()
    ]
    assert {"README.md", "train.sh", "own_cutouts.ipynb", "ablation.py"} <= {
        page for page, *_ in found
    }
    if find_spec("azula") is None:
        found = [each for each in found if each[1] != "gravlensdiffusion.interop.azula"]
    missing = [
        each
        for each in found
        if not hasattr(import_module(each[1]), each[2]) and not find_spec(f"{each[1]}.{each[2]}")
    ]
    assert not missing


def test_scripts_call_the_package_as_it_can_be_called() -> None:
    scripts = [path for name in ("benchmarks", "examples") for path in (ROOT / name).rglob("*.py")]
    calls = [(path.name, *each) for path in scripts for each in _calls(path)]
    assert len(calls) > 300
    faults = []
    for name, target, call in calls:
        try:
            inspect.signature(target).bind(*call.args, **{each.arg: 0 for each in call.keywords})
        except TypeError as error:
            faults.append(f"{name}:{call.lineno}: {error}")
    assert not faults


def _calls(path: Path) -> Iterator[tuple[Callable[..., object], ast.Call]]:
    """Yield what a script imports from the package and calls by its name, with all arguments told."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        each.asname or each.name: _named(node.module, each.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gravlensdiffusion.")
        if find_spec("azula") or node.module != "gravlensdiffusion.interop.azula"
        for each in node.names
    }
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        func, names = call.func, []
        while isinstance(func, ast.Attribute):
            names.append(func.attr)
            func = func.value
        spread = any(isinstance(each, ast.Starred) for each in call.args)
        if spread or not isinstance(func, ast.Name) or any(not k.arg for k in call.keywords):
            continue
        target = imported.get(func.id)
        if target is not None and (not names or isinstance(target, type | ModuleType)):
            yield attrgetter(".".join(names[::-1]))(target) if names else target, call


def _named(module: str, name: str) -> Any:
    whole = import_module(module)
    return getattr(whole, name) if hasattr(whole, name) else import_module(f"{module}.{name}")


def _source(page: Path) -> str:
    text = page.read_text(encoding="utf-8")
    if page.suffix != ".ipynb":
        return text
    return "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
