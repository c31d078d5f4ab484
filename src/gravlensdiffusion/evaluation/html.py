"""An evaluation as one HTML file that needs nothing else: no scripts, no network."""

from pathlib import Path

from gravlensdiffusion.evaluation.page import pictures, tables
from gravlensdiffusion.evaluation.result import Evaluation, set_fact
from gravlensdiffusion.evaluation.verdict import headline, verdict
from gravlensdiffusion.reports.page.document import Opening, document, write_page


def write_html(evaluation: Evaluation, path: Path) -> None:
    """Write an evaluation as a page; the same evaluation gives the same bytes."""
    write_page(page(evaluation), path)


def page(evaluation: Evaluation) -> str:
    """Return an evaluation as an HTML document."""
    names = [
        str(set_fact(evaluation, role, "name") or f"{role} images")
        for role in ("generated", "reference")
    ]
    opening = Opening(
        kind="Evaluation",
        title=f"{names[0]} against {names[1]}",
        lead=headline(evaluation),
        verdict=verdict(evaluation),
        notes=evaluation.notes,
    )
    sections = [
        pictures.images(evaluation),
        tables.placed(evaluation),
        tables.metrics_table(evaluation.rows),
        pictures.distributions(evaluation),
        pictures.radial_and_power(evaluation),
        pictures.neighbours(evaluation),
        tables.conditioning(evaluation),
        tables.reading(),
        tables.protocol(evaluation),
    ]
    return document(opening, sections)
