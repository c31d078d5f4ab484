"""Text of any letters in FITS headers, which know ASCII only.

A text that a header cannot hold as it stands is percent-encoded as in a web address: in UTF-8, each byte
that is no ASCII letter, digit or common mark as ``%`` and two digits. The card `PERCENT` names the cards
of which that is so: in any other a ``%`` means itself.
"""

from collections.abc import Iterable
from urllib.parse import quote, unquote

from astropy.io import fits

PERCENT = "PERCENT"
_SAFE = "!\"#$'()*+,-./:;<=>?@[]^_`{|}~"
_MAX_COMMENTED = 40
"""Letters of a text that leave room for a comment on their line."""
Card = tuple[str, str, str]


def text_cards(texts: Iterable[tuple[str, str | None, str]]) -> list[Card]:
    """Return cards of a header, and `PERCENT` where it is needed.

    Args:
        texts: Keyword, any text, and comment; what is None is left out.
    """
    cards: list[Card] = []
    encoded = []
    for name, text, comment in texts:
        if text is None:
            continue
        value = text
        # A header drops blanks at the end, and the reader those at the start.
        if not (text.isascii() and text.isprintable() and text == text.strip()):
            value = quote(text, safe=_SAFE, errors="surrogateescape")
            encoded.append(name)
        cards.append((name, value, comment if len(value) <= _MAX_COMMENTED else ""))
    if encoded:
        cards.append((PERCENT, " ".join(encoded), "cards in percent-encoded UTF-8"))
    return cards


def read_text(header: fits.Header, name: str) -> str | None:
    """Return the text of a card, or None where it has none.

    Args:
        header: A header.
        name: The keyword.
    """
    value = header.get(name)
    if not isinstance(value, str):
        return None
    if name in str(header.get(PERCENT, "")).split():
        return unquote(value, errors="replace") or None
    return value.strip() or None
