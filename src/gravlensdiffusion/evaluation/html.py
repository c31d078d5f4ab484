"""An evaluation as one HTML file that needs nothing else: no scripts, no network."""

from pathlib import Path

from gravlensdiffusion.evaluation.page import pictures, tables
from gravlensdiffusion.evaluation.page.markup import Markup, element, void
from gravlensdiffusion.evaluation.page.style import STYLE
from gravlensdiffusion.evaluation.result import Evaluation
from gravlensdiffusion.evaluation.verdict import headline, set_fact, verdict

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""Nothing is loaded and nothing runs, whatever the names of files and classes contain."""


def write_html(evaluation: Evaluation, path: Path) -> None:
    """Write an evaluation as a page; the same evaluation gives the same bytes."""
    # A name of a file need not be text; its odd bytes become question marks.
    path.write_text(page(evaluation), encoding="utf-8", errors="replace")


def page(evaluation: Evaluation) -> str:
    """Return an evaluation as an HTML document."""
    names = [
        str(set_fact(evaluation, role, "name") or f"{role} images")
        for role in ("generated", "reference")
    ]
    title = f"{names[0]} against {names[1]}"
    head = element(
        "head",
        void("meta", charset="utf-8"),
        void("meta", http_equiv="Content-Security-Policy", content=POLICY),
        void("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"Evaluation: {title}"),
        element("style", Markup(STYLE)),
    )
    sections = [
        pictures.images(evaluation),
        tables.metrics_table(evaluation.rows),
        pictures.distributions(evaluation),
        pictures.radial_and_power(evaluation),
        pictures.neighbours(evaluation),
        tables.conditioning(evaluation),
        tables.reading(),
        tables.protocol(evaluation),
    ]
    shown = [section for section in sections if section is not None]
    body = [_header(evaluation, title, shown)]
    for anchor, heading, content in shown:
        body.append(element("section", element("h2", heading), content, id=anchor))
    document = element("html", head, element("body", *body), lang="en")
    return f"<!DOCTYPE html>\n{document}\n"


def _header(evaluation: Evaluation, title: str, sections: list[tables.Section]) -> Markup:
    links = [element("a", each.heading, href=f"#{each.anchor}") for each in sections]
    notes = [element("p", element("b", "Note: "), note) for note in evaluation.notes]
    sentences = (element("li", sentence) for sentence in verdict(evaluation))
    return element(
        "header",
        element("h1", title),
        element("p", headline(evaluation), class_="lead"),
        element("ul", *sentences, class_="verdict"),
        *notes,
        element("nav", *links, aria_label="Sections"),
    )
