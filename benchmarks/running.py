"""How a benchmark is run from the command line."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import tyro

from gravlensdiffusion.errors import GravLensError

T = TypeVar("T")
Number = TypeVar("Number", int, float)


def launch(main: Callable[[T], object], options: type[T], description: str | None) -> None:
    """Do what a script is for; a mistake of the user is one line and exit code 2.

    Args:
        main: What to do with the options.
        options: Their dataclass.
        description: What ``--help`` says of them.
    """
    try:
        main(tyro.cli(options, description=description))
    except GravLensError as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        sys.exit(2)


def read_numbers(
    text: str, of: str, kind: Callable[[str], Number], between: str = ","
) -> list[Number]:
    """Return the numbers that a text lists.

    Args:
        text: The text; empty for none.
        of: What the numbers are of, for the message: an option.
        kind: ``int`` or ``float``.
        between: What stands between two of them.

    Raises:
        GravLensError: If the text is something else.
    """
    try:
        return [kind(word) for word in text.split(between) if word.strip()]
    except (ValueError, ZeroDivisionError):
        what = "whole numbers" if kind is int else "numbers"
        raise GravLensError(
            f"{of} takes {what} with '{between}' between them, not '{text}'"
        ) from None
