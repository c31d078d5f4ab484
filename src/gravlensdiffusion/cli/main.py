"""The command ``gravlens``: finds the subcommand and turns failures into exit codes.

Only the subcommand that was asked for is imported, so that ``gravlens --help`` answers at once.
"""

import difflib
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from gravlensdiffusion import __version__
from gravlensdiffusion.cli.running import in_flags, is_out_of_memory
from gravlensdiffusion.errors import GravLensError, one_line
from gravlensdiffusion.files import FULL, check_writable
from gravlensdiffusion.parallel import OtherFailed, Processes, find_device, use_threads

PROGRAM = "gravlens"

Commands = Mapping[str, tuple[Any, str]]

COMMANDS: Commands = {
    "simulate": ("simulate", "Simulate lens images with lenstronomy."),
    "inspect": ("inspect", "Look at a data set: counts, range, faults, a preview."),
    "train": ("train", "Train a diffusion model, or go on with a run."),
    "distill": ("distill", "Teach a model to draw in a few steps."),
    "sample": ("sample", "Draw images from a model."),
    "balance": ("balance", "Fill the rare classes of a labelled set with generated images."),
    "evaluate": ("evaluate", "Say how good generated images are, beside a floor."),
    "classify": ("classify", "Train a classifier on labelled images, and use it."),
    "studio": ("studio", "Open a page on this machine to order, watch and compare lenses."),
    "export": ("export", "Write a model as another library has it, a set as FITS, npy or PNG."),
    "models": ("models", "List the models that come with the package."),
}
"""Module in this package and summary of each command.

A module with a table ``COMMANDS`` of its own has commands below it, as in ``gravlens classify train``;
any other has ``Options``, which run.
"""
FIRST = ("sample", "simulate", "inspect", "train", "evaluate")
"""Commands to begin with."""
SHARED = frozenset({"train", "sample", "evaluate", "classify train"})
"""Commands whose work several processes can share."""

EXIT_USER_ERROR = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``gravlens`` and return its exit code.

    Args:
        arguments: The words after ``gravlens``; by default those of this process.

    Returns:
        0 on success, 2 after a mistake of the user, 130 after an interrupt, 141 when whoever
        read the output has gone.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        # A file's name may be made of bytes that are no letters; showing it must not fail.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        processes = Processes.launched()
        with _one_voice(processes), _ended_by_sigterm():
            _dispatch(words)
            sys.stdout.flush()
        processes.leave()
    except OtherFailed:
        return EXIT_USER_ERROR
    except GravLensError as error:
        return _complain(str(error))
    except BrokenPipeError:
        # Python flushes standard output once more on its way out, and would complain there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        return _complain(_describe(error))
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted", file=sys.stderr)
        return 130
    return 0


@contextmanager
def _one_voice(processes: Processes) -> Iterator[None]:
    """Let the main process alone speak; failures of the others come after this."""
    if processes.is_main:
        yield
        return
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end what runs in good order, so that nothing half-written stays behind."""
    received: list[int] = []

    def end(number: int, _: object) -> None:
        received.append(number)
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except Exception:
        # Compiled code that the signal has broken into makes an error of its own of it.
        if received:
            raise SystemExit(128 + received[0]) from None
        raise
    finally:
        signal.signal(signal.SIGTERM, previous)


def _dispatch(words: list[str]) -> None:
    if words[:1] == ["--version"]:
        print(f"{PROGRAM} {__version__}")
        return
    if words[:1] == ["--completion"]:
        from gravlensdiffusion.cli.parsing import completion_script

        shell = words[1] if len(words) == 2 else ""
        print(completion_script(PROGRAM, COMMANDS, _load, shell))
        return
    if not words:
        print(_first_steps())
        return
    _choose((), COMMANDS, "Strong gravitational lens images from a diffusion model.", words)


def _choose(path: tuple[str, ...], commands: Commands, about: str, words: list[str]) -> None:
    """Run the command of a table that the first word names."""
    if not words:
        known = ", ".join(" ".join((*path, name)) for name in commands)
        raise GravLensError(f"no command given, expected one of {known}")
    name = words[0]
    if name in ("-h", "--help"):
        print(_usage(path, commands, about))
        return
    if name not in commands:
        raise GravLensError(_unknown(path, name, commands))
    command, about = commands[name]
    found = _load(command)
    if isinstance(found, dict):
        _choose((*path, name), found, about, words[1:])
    else:
        _run_command(found, " ".join((*path, name)), words[1:])


def _load(command: Any) -> Any:
    """Return the options of a command, or the table of those below it."""
    if not isinstance(command, str):
        return command
    module = import_module(f"gravlensdiffusion.cli.{command}")
    return getattr(module, "COMMANDS", None) or module.Options


def _run_command(options_type: Any, name: str, arguments: list[str]) -> None:
    from gravlensdiffusion.cli.parsing import parse

    program = f"{PROGRAM} {name}"
    if name not in SHARED and Processes.launched().num > 1:
        raise GravLensError(f"'{program}' runs in one process; start it without a launcher")
    try:
        options = parse(options_type, program, arguments)
    except SystemExit:
        # The help has been printed.
        return
    out = getattr(options, "out", None)
    if isinstance(out, Path):
        check_writable(out)
    machine = getattr(options, "machine", options)
    if hasattr(machine, "threads"):
        use_threads(machine.threads)
    if getattr(machine, "device", "") == "cuda":
        # Before any work.
        find_device("cuda")
    try:
        options.run()
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        has_batches = hasattr(getattr(options, "sampling", options), "batch_size")
        smaller = "a smaller `batch_size`" if has_batches else "smaller images"
        raise GravLensError(f"out of memory; try {smaller} or fewer images at a time") from error


def _first_steps() -> str:
    width = max(map(len, FIRST))
    lines = [
        "Strong gravitational lens images from a diffusion model. To begin with:",
        "",
        f"  {PROGRAM} sample --num 16 --out lenses",
        "",
        "draws 16 lenses into lenses/lenses.h5, and a picture of them, lenses/grid.png.",
        "",
        *(f"  {name:{width}}  {COMMANDS[name][1]}" for name in FIRST),
        "",
        f"'{PROGRAM} --help' lists all commands, '{PROGRAM} COMMAND --help' explains one.",
    ]
    return "\n".join(lines)


def _usage(path: tuple[str, ...], commands: Commands, about: str) -> str:
    program = " ".join((PROGRAM, *path))
    width = max(len(name) for name in (*commands, "--completion"))
    options = {"-h, --help": "Show this help."}
    if not path:
        options["--version"] = "Show the version."
        options["--completion"] = "Print the script that completes words in bash, zsh or fish."
    lines = [
        f"usage: {program} COMMAND [OPTIONS]",
        "",
        about,
        "",
        "commands:",
        *(f"  {name:{width}}  {summary}" for name, (_, summary) in commands.items()),
        "",
        "options:",
        *(f"  {name:{width}}  {what}" for name, what in options.items()),
        "",
        f"'{program} COMMAND --help' explains the options of a command.",
    ]
    return "\n".join(lines)


def _unknown(path: tuple[str, ...], name: str, commands: Commands) -> str:
    kind = "option" if name.startswith("-") else "command"
    near = difflib.get_close_matches(name, commands, n=1)
    known = [" ".join((*path, each)) for each in (near or commands)]
    hint = f"did you mean {known[0]}?" if near else f"commands are {', '.join(known)}"
    return f"unknown {kind} {' '.join((*path, name))!r}: {hint}"


def _describe(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    if error.errno in FULL:
        reason += "; make room there and run the same command again"
    return f"{error.filename}: {reason}" if error.filename is not None else reason


def _complain(message: str) -> int:
    line = one_line(in_flags(" ".join(message.split())))
    place = ""
    with suppress(GravLensError):  # of what the launcher has set
        processes = Processes.launched()
        if not processes.is_main:
            place = f" (process {processes.index + 1} of {processes.num})"
    print(f"{PROGRAM}: error{place}: {line}", file=sys.stderr)
    return EXIT_USER_ERROR
