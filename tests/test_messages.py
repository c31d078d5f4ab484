"""What the library says names its parameters; only the command line knows of flags."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import gravlensdiffusion
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


def test_parameters_are_told_as_flags() -> None:
    told = in_flags("`theta_E` 2 is too large, see `gravlens models`; try another `batch_size`")
    assert told == "--theta-E 2 is too large, see `gravlens models`; try another --batch-size"
