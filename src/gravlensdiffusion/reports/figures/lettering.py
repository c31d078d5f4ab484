"""Names of classes as a figure can hold them."""

from functools import cache

MAX_LETTERS = 18
"""Letters of a name, at most."""


def lettered(name: str) -> str:
    """Return a name that matplotlib draws as it is: short, in one line, of letters that it has."""
    drawable = _drawable()
    text = "".join(c if ord(c) in drawable else "?" for c in " ".join(name.split()))
    if len(text) > MAX_LETTERS:
        text = f"{text[: MAX_LETTERS - 1]}…"
    # What stands between dollar signs would be set as mathematics.
    text = text.replace("$", r"\$")
    # A label that begins with an underscore would be left out of a legend.
    return f"\N{HAIR SPACE}{text}" if text.startswith("_") else text


@cache
def _drawable() -> frozenset[int]:
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont("DejaVu Sans")).get_charmap())
