"""The one exception for a mistake of the user, and those that say why a file cannot be used."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path


class GravLensError(Exception):
    """A mistake in what the user asked for or handed in.

    The message is one clear line: what is wrong, where, and what is allowed. The command line
    prints it and exits with code 2.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class BadImageError(Exception):
    """Why one file or image cannot be used; the message completes ``PATH: ...``."""


class AmbiguousImageError(BadImageError):
    """Which image of a file is meant has to be said by the user."""


class BadFilesError(GravLensError):
    """Files of a data set cannot be used.

    Attributes:
        problems: One line per file.
    """

    def __init__(self, path: Path, problems: Sequence[str]) -> None:
        self.problems = tuple(one_line(problem) for problem in problems)
        count = len(self.problems)
        super().__init__(
            f"{path}: {count} file{'s' if count > 1 else ''} or image{'s' if count > 1 else ''} "
            f"cannot be used (`skip_bad` goes on without); "
            f"first: {self.problems[0]}"
        )


def one_line(text: str) -> str:
    r"""Return a text with line breaks and control characters written as ``\n``, ``\x1b`` and so on.

    Names of files and classes come from outside: they must neither break a message in two, nor
    steer the terminal, nor stop it from being encoded.
    """
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in text
    )


def by_cause(problems: Sequence[str]) -> list[str]:
    """Return one line for each cause among ``NAME: CAUSE``: the first, and how many are like it.

    Causes are alike that differ in numbers or names of files alone.
    """
    kinds = [re.sub(r"\S*[\d.]\S*", "", text.partition(": ")[2]) or text for text in problems]
    counts = Counter(kinds)
    firsts = dict(zip(reversed(kinds), reversed(problems), strict=True))
    return [
        firsts[kind] + (f" (the first of {num:,} alike)" if num > 1 else "")
        for kind, num in counts.items()
    ]


def listed(names: Iterable[str], most: int = 5) -> str:
    """Return the first few names, and how many more there are."""
    every = list(names)
    more = f" and {len(every) - most:,} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more
