"""The library's messages in the words of the command line."""

import re


def in_flags(text: str) -> str:
    """Return a text of the library with its parameters, which stand in backticks, as flags."""
    return re.sub(r"`(\w+)`", lambda name: "--" + name[1].replace("_", "-"), text)
