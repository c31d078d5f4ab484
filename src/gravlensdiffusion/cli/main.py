"""The command ``gravlens``: finds the subcommand and turns failures into exit codes.

Only the subcommand that was asked for is imported, so that ``gravlens --help`` answers at once.
"""

import difflib
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from gravlensdiffusion import __version__
from gravlensdiffusion.errors import GravLensError

PROGRAM = "gravlens"

COMMANDS = {
    "simulate": ("simulate", "Simulate lens images with lenstronomy."),
    "inspect": ("inspect", "Look at a data set: counts, range, faults, a preview."),
    "train": ("train", "Train a diffusion model, or go on with a run."),
    "distill": ("distill", "Teach a model to draw in a few steps."),
    "sample": ("sample", "Draw images from a model."),
    "balance": ("balance", "Fill the rare classes of a labelled set with generated images."),
    "evaluate": ("evaluate", "Say how good generated images are, beside a floor."),
    "models": ("models", "List the models that come with the package."),
}
"""Module in this package and summary of each command."""

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``gravlens`` and return its exit code.

    Args:
        arguments: The words after ``gravlens``; by default those of this process.

    Returns:
        0 on success, 2 after a mistake of the user, 130 after an interrupt, 141 when whoever
        read the output has gone.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        _dispatch(words)
        sys.stdout.flush()
    except GravLensError as error:
        return _complain(str(error))
    except BrokenPipeError:
        # Python flushes standard output once more on its way out, and would complain there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except OSError as error:
        return _complain(_describe(error))
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0


def _dispatch(words: list[str]) -> None:
    if not words:
        raise GravLensError(f"no command given, expected one of {', '.join(COMMANDS)}")
    name = words[0]
    if name in ("-h", "--help"):
        print(_usage())
        return
    if name == "--version":
        print(f"{PROGRAM} {__version__}")
        return
    if name not in COMMANDS:
        raise GravLensError(_unknown(name))
    _run_command(name, words[1:])


def _run_command(name: str, arguments: list[str]) -> None:
    from gravlensdiffusion.cli.parsing import parse

    command = import_module(f"gravlensdiffusion.cli.{COMMANDS[name][0]}")
    try:
        options = parse(command.Options, f"{PROGRAM} {name}", arguments)
    except SystemExit:
        # The help has been printed.
        return
    command.run(options)


def _usage() -> str:
    width = max(len(name) for name in (*COMMANDS, "-h, --help"))
    lines = [
        f"usage: {PROGRAM} COMMAND [OPTIONS]",
        "",
        "Strong gravitational lens images from a diffusion model.",
        "",
        "commands:",
        *(f"  {name:{width}}  {summary}" for name, (_, summary) in COMMANDS.items()),
        "",
        "options:",
        f"  {'-h, --help':{width}}  Show this help.",
        f"  {'--version':{width}}  Show the version.",
        "",
        f"'{PROGRAM} COMMAND --help' explains the options of a command.",
    ]
    return "\n".join(lines)


def _unknown(name: str) -> str:
    kind = "option" if name.startswith("-") else "command"
    near = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"commands are {', '.join(COMMANDS)}"
    return f"unknown {kind} {name!r}: {hint}"


def _describe(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {reason}" if error.filename is not None else reason


def _complain(message: str) -> int:
    line = " ".join(message.split())
    print(f"{PROGRAM}: error: {line}", file=sys.stderr)
    return EXIT_USER_ERROR
