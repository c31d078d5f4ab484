"""Flags to a command's options, with every mistake told in one line, and what a shell completes."""

import contextlib
import io
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from itertools import dropwhile, takewhile
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, Union

import tyro

from gravlensdiffusion.config.bounds import check_ranges
from gravlensdiffusion.errors import GravLensError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Options = TypeVar("Options", bound="DataclassInstance")

CONF = (tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes, tyro.conf.DisallowNone)
"""Flags are named by their field alone, whatever group of options it is in."""

SHELLS = ("bash", "zsh", "fish")

_CHOICES = re.compile(r"(?<='choices': \[).*?(?=\])")
_NO_DEFAULT = tyro.conf.arg(help_behavior_hint="")
_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
_FRAME = "╭╮╰╯│"
# Where the terminal knows ASCII only, there is no frame, and rules are hyphens.
_RULE = re.compile(r"[─-]{4,}")
_SUGGESTION = re.compile(r"Perhaps you meant:\W*(--[\w-]+)")
_NONE = re.compile(r"(?<= not one of )'None', |, 'None'(?=,|$)")
_REWORDINGS = (
    (re.compile(r"^Unrecognized options: "), "not understood: "),
    (re.compile(r"^Error parsing "), ""),
    (re.compile(r"invalid literal for int\(\) with base 10: ('.*')"), r"\1 is not a whole number"),
    (re.compile(r"could not convert string to float: ('.*')"), r"\1 is not a number"),
    (re.compile(r"no type matching .* - .*: (?='.*' is not )"), ""),
    (re.compile(r"^Missing value for argument '([^']*)'.*"), r"\1 needs a value"),
    (
        re.compile(r"^invalid choice (.*) for argument '([^']*)'\. Expected one of \((.*)\)\.?"),
        r"\2: \1 is not one of \3",
    ),
)


def parse(options_type: type[Options], program: str, arguments: Sequence[str]) -> Options:
    """Build a command's options from its flags.

    Args:
        options_type: A dataclass; its fields are the flags, their docstrings the help.
        program: What the user typed before the flags, for the help and for error messages.
        arguments: The words that follow.

    Raises:
        GravLensError: If a flag is unknown, missing, or has a value that cannot be read or is out
            of its range.
        SystemExit: With code 0, after ``--help``.
    """
    complaint = io.StringIO()
    _leave_out_empty_defaults(options_type)
    try:
        with contextlib.redirect_stderr(complaint):
            options = tyro.cli(options_type, prog=program, args=list(arguments), config=CONF)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        message = _condense(complaint.getvalue()) or "the options cannot be read"
        raise GravLensError(f"{message} (see {program} --help)") from None
    for group in (options, *(getattr(options, field.name) for field in fields(options))):
        if is_dataclass(group):
            check_ranges(group, "`{}`")
    return options


def _leave_out_empty_defaults(options_type: Any) -> None:
    """Let the help say no default of what is off or left out."""
    for field in fields(options_type):
        if is_dataclass(field.type):
            _leave_out_empty_defaults(field.type)
        elif field.default is None or field.default is False:
            options_type.__annotations__[field.name] = Annotated[field.type, _NO_DEFAULT]


def _condense(text: str) -> str:
    """Return the first statement of a framed message as one line.

    tyro writes a title, its complaint, a rule, and the help of the flag; the complaint alone says
    what is wrong.
    """
    lines = [line.rstrip().strip(_FRAME) for line in _ESCAPE.sub("", text).splitlines()]
    body = list(dropwhile(_is_rule, lines[1:]))
    statement = list(takewhile(lambda line: not _is_rule(line), body))
    if statement and statement[0].strip().startswith("Missing from"):
        # The help of each flag stands below it, further in.
        dedented = textwrap.dedent("\n".join(statement[1:])).splitlines()
        flags = [line.strip() for line in dedented if line[:1].strip()]
        message = f"missing: {', '.join(flags)}"
    else:
        message = " ".join(" ".join(statement).split()).rstrip(".")
    for pattern, wording in _REWORDINGS:
        message = pattern.sub(wording, message)
    # That a flag may be left out is no choice of its value.
    message = _NONE.sub("", message)
    suggestion = _SUGGESTION.search(" ".join(body))
    return f"{message}, did you mean {suggestion[1]}?" if suggestion else message


def _is_rule(line: str) -> bool:
    return _RULE.fullmatch(line.strip()) is not None


def completion_script(program: str, commands: Any, load: Callable[[Any], Any], shell: str) -> str:
    """Return the script by which a shell completes commands and flags.

    Args:
        program: Name of the program.
        commands: Its table of commands.
        load: Returns the options of a command, or the table of those below it.
        shell: One of `SHELLS`; any other is refused.
    """
    if shell not in SHELLS:
        raise GravLensError(f"no completion for '{shell}'; choose from {', '.join(SHELLS)}")
    script = io.StringIO()
    words = ["--tyro-print-completion", shell]
    with contextlib.redirect_stdout(script), contextlib.suppress(SystemExit):
        tyro.cli(_tree(commands, load), prog=program, args=words, config=CONF)
    return _CHOICES.sub(_in_order, script.getvalue())


def _in_order(choices: re.Match[str]) -> str:
    """Return choices in one order; that a flag may be left out is no choice of its value."""
    return ", ".join(sorted(each for each in choices[0].split(", ") if each != "'None'"))


def _tree(commands: Any, load: Callable[[Any], Any]) -> Any:
    """Return the commands of a table as one type, those below them too."""
    kinds = []
    for name, (command, _) in commands.items():
        kind = load(command)
        if isinstance(kind, dict):
            kind = _tree(kind, load)
        else:
            _leave_out_empty_defaults(kind)
        kinds.append(Annotated[kind, tyro.conf.subcommand(name, prefix_name=False)])
    return Union[tuple(kinds)]  # noqa: UP007 - as many as there are commands
