"""Tables and lists that any report may hold."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gravlensdiffusion.reports.page.markup import Markup, element

EXPONENT = re.compile(r"(?<=[\d)])e(-?\d+)")
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
FACTOR = re.compile(r"\bx(?=\d)")
NEGATIVE = re.compile(r"-(?=\d)")


def typeset(text: str) -> str:
    """Return a number with the signs and powers that print uses."""
    text = FACTOR.sub("\N{MULTIPLICATION SIGN}", EXPONENT.sub(_power, text))
    return NEGATIVE.sub("\N{MINUS SIGN}", text)


def _power(found: re.Match[str]) -> str:
    return f"\N{THIN SPACE}\N{MULTIPLICATION SIGN}\N{THIN SPACE}10{found[1].translate(RAISED)}"


def small_table(headings: Sequence[str], grid: Sequence[tuple[str, ...]]) -> Markup:
    """Return a table of a few columns, the first of them text."""
    top = element("tr", *(element("th", each, scope="col") for each in headings))
    body = []
    for first, *others in grid:
        cells = [element("td", typeset(text), class_="number") for text in others]
        body.append(element("tr", element("th", first, scope="row"), *cells))
    table = element("table", element("thead", top), element("tbody", *body), class_="narrow")
    return element("div", table, class_="scroll")


def word_list(words: Mapping[str, str]) -> Markup:
    """Return terms and what they mean."""
    items = [
        element("div", element("dt", word), element("dd", meaning))
        for word, meaning in words.items()
    ]
    return element("dl", *items, class_="words")


def fact_table(facts: Mapping[str, Any]) -> Markup:
    """Return facts, nested ones by names joined by dots."""
    body = [
        element("tr", element("th", name, scope="row"), element("td", text))
        for name, text in flattened(facts)
    ]
    return element("table", element("tbody", *body), class_="facts")


def flattened(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the facts as names joined by dots, and texts."""
    for key, value in facts.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _fact(value)


def _fact(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(_fact, value)) or "none"
    return str(value)
