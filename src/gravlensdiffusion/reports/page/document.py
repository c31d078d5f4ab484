"""A report as one HTML file that needs nothing else: no scripts, no network."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from gravlensdiffusion.reports.page.markup import Markup, element, void
from gravlensdiffusion.reports.page.style import STYLE

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""Nothing is loaded and nothing runs, whatever the names of files and classes contain."""


class Section(NamedTuple):
    """A part of the page.

    Attributes:
        anchor: What links to it name.
        heading: Its heading.
        content: What stands below the heading.
    """

    anchor: str
    heading: str
    content: Markup


class Opening(NamedTuple):
    """What a page says before its sections.

    Attributes:
        kind: What the page is, for the title of its window.
        title: Its heading.
        lead: What was done, in one sentence.
        verdict: What was found, one sentence each.
        notes: What a reader should know, one sentence each.
    """

    kind: str
    title: str
    lead: str
    verdict: Sequence[str]
    notes: Sequence[str]


def document(opening: Opening, sections: Sequence[Section | None]) -> str:
    """Return a page as an HTML document.

    Args:
        opening: What comes first.
        sections: What follows; those that are None are left out.
    """
    head = element(
        "head",
        void("meta", charset="utf-8"),
        void("meta", http_equiv="Content-Security-Policy", content=POLICY),
        void("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{opening.kind}: {opening.title}"),
        element("style", Markup(STYLE)),
    )
    shown = [section for section in sections if section is not None]
    body = [_header(opening, shown)]
    for anchor, heading, content in shown:
        body.append(element("section", element("h2", heading), content, id=anchor))
    page = element("html", head, element("body", *body), lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


def encode(text: str) -> bytes:
    """Return a report as the bytes of its file."""
    # A name of a file need not be text; its odd bytes become question marks.
    return text.encode("utf-8", errors="replace")


def write_page(text: str, path: Path) -> None:
    """Write a document."""
    path.write_bytes(encode(text))


def _header(opening: Opening, sections: Sequence[Section]) -> Markup:
    links = [element("a", each.heading, href=f"#{each.anchor}") for each in sections]
    return element(
        "header",
        element("h1", opening.title),
        element("p", opening.lead, class_="lead"),
        element("ul", *(element("li", each) for each in opening.verdict), class_="verdict"),
        *(element("p", element("b", "Note: "), note) for note in opening.notes),
        element("nav", *links, aria_label="Sections"),
    )
