"""The one exception for a mistake of the user."""


class GravLensError(Exception):
    """A mistake in what the user asked for or handed in.

    The message is one clear line: what is wrong, where, and what is allowed. The command line
    prints it and exits with code 2.
    """
