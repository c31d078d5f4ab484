"""The one exception for a mistake of the user."""


class GravLensError(Exception):
    """A mistake in what the user asked for or handed in.

    The message is one clear line: what is wrong, where, and what is allowed. The command line
    prints it and exits with code 2.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


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
