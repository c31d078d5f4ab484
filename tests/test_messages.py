"""What the library says names its parameters; only the command line knows of flags."""

import ast
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

import gravlensdiffusion
from gravlensdiffusion.cli.main import COMMANDS, _load
from gravlensdiffusion.cli.options import FileOptions
from gravlensdiffusion.cli.running import in_flags

SOURCE = Path(gravlensdiffusion.__file__).parent
FLAG = re.compile(r"(?<![\w-])--[a-z]")
OTHERS = ("pip install ", "\n:root {")
"""How texts begin that hold the flags of pip, and the variables of a style sheet."""


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and value of each text of a module, docstrings and parts of f-strings too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def test_no_text_below_the_command_line_names_a_flag() -> None:
    modules = [path for path in SOURCE.rglob("*.py") if "cli" not in path.parts]
    assert len(modules) > 50
    found = [
        f"{path.relative_to(SOURCE)}:{line}: {text}"
        for path in modules
        for line, text in texts(path)
        if FLAG.search(text) and not text.startswith(OTHERS)
    ]
    assert not found


def flags_of(command: str) -> set[str]:
    """Return the names of all flags of a command, or of the commands below it."""
    found = _load(command)
    kinds = [kind for kind, _ in found.values()] if isinstance(found, dict) else [found]
    names = {each.name for kind in kinds for each in fields(kind)}
    groups = [each.type for kind in kinds for each in fields(kind) if is_dataclass(each.type)]
    return names.union(each.name for group in groups for each in fields(group))


@pytest.mark.parametrize(
    ("module", "commands"),
    [(name, [name]) for name, _ in COMMANDS.values()] + [("running", ["train", "distill"])],
)
def test_messages_of_a_command_name_its_own_flags(module: str, commands: list[str]) -> None:
    told = " ".join(text for _, text in texts(SOURCE / "cli" / f"{module}.py"))
    named = set(re.findall(r"`(\w+)`", told))
    for command in commands:
        assert named - {"predict"} <= flags_of(command)


def test_what_readers_advise_is_an_option_of_files() -> None:
    named: set[str] = set()
    for name in ("arrays", "companions", "entries", "fits_extensions", "folder", "npy"):
        for _, text in texts(SOURCE / "formats" / f"{name}.py"):
            named |= set(re.findall(r"(?:; |with )`(\w+)`", text)) if "\n" not in text else set()
    assert (
        {"crop", "hdu", "band", "dataset"} <= named <= {each.name for each in fields(FileOptions)}
    )


def test_parameters_are_told_as_flags() -> None:
    told = in_flags("`theta_E` 2 is too large, see `gravlens models`; try another `batch_size`")
    assert told == "--theta-E 2 is too large, see `gravlens models`; try another --batch-size"
