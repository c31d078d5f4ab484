"""The script by which a shell completes commands and flags of ``gravlens``."""

import contextlib
import io
import re
from importlib import import_module
from typing import Annotated, Any, Union

import tyro

from gravlensdiffusion.cli.parsing import CONF, leave_out_empty_defaults
from gravlensdiffusion.errors import GravLensError

SHELLS = ("bash", "zsh", "fish")
_CHOICES = re.compile(r"(?<='choices': \[).*?(?=\])")


def completion_script(program: str, commands: Any, shell: str) -> str:
    """Return the script of a shell.

    Args:
        program: Name of the program.
        commands: Its table of commands.
        shell: One of `SHELLS`.

    Raises:
        GravLensError: If there is no script for the shell.
    """
    if shell not in SHELLS:
        raise GravLensError(f"no completion for '{shell}'; choose from {', '.join(SHELLS)}")
    script = io.StringIO()
    words = ["--tyro-print-completion", shell]
    with contextlib.redirect_stdout(script), contextlib.suppress(SystemExit):
        tyro.cli(_tree(commands), prog=program, args=words, config=CONF)
    return _CHOICES.sub(_in_order, script.getvalue())


def _in_order(choices: re.Match[str]) -> str:
    """Return choices in one order; that a flag may be left out is no choice of its value."""
    return ", ".join(sorted(each for each in choices[0].split(", ") if each != "'None'"))


def _tree(commands: Any) -> Any:
    """Return the commands of a table as one type, those below them too."""
    kinds = []
    for name, (module_name, _) in commands.items():
        module = import_module(f"gravlensdiffusion.cli.{module_name}")
        if below := getattr(module, "COMMANDS", None):
            kind = _tree(below)
        else:
            kind = module.Options
            leave_out_empty_defaults(kind)
        kinds.append(Annotated[kind, tyro.conf.subcommand(name, prefix_name=False)])
    return Union[tuple(kinds)]  # noqa: UP007 - as many as there are commands
