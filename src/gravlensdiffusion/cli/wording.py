"""The library's messages in the words of the command line: a `parameter` of it is a --flag here."""

import re

from gravlensdiffusion import progress
from gravlensdiffusion.errors import one_line


def in_flags(text: str) -> str:
    """Return a text of the library with its parameters, which stand in backticks, as flags."""
    return re.sub(r"`(\w+)`", lambda name: "--" + name[1].replace("_", "-"), text)


def tell(*lines: str) -> None:
    """Say on stderr, in one line each, what the user should know."""
    progress.tell(*map(in_flags, lines))


def say(*lines: str) -> None:
    """Print what was asked for, in one line each."""
    for line in lines:
        print(one_line(in_flags(line)))
