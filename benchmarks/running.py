"""How a benchmark is run from the command line."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import tyro

from gravlensdiffusion.errors import GravLensError

T = TypeVar("T")


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
