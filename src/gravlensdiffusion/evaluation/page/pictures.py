"""The sections of a report that hold pictures."""

from gravlensdiffusion.evaluation.comparison import Row
from gravlensdiffusion.evaluation.faults import stands_out
from gravlensdiffusion.evaluation.formats import number, percentage
from gravlensdiffusion.evaluation.page import panels
from gravlensdiffusion.evaluation.page.tables import ABOVE
from gravlensdiffusion.evaluation.result import Evaluation, noun
from gravlensdiffusion.reports.page.document import Section
from gravlensdiffusion.reports.page.markup import Markup, element, joined, picture, void
from gravlensdiffusion.reports.page.tables import typeset


def images(evaluation: Evaluation) -> Section | None:
    """Return the generated images and those of the reference, side by side."""
    if not len(evaluation.generated_images) or not len(evaluation.real_images):
        return None
    figures = [
        element("figure", element("h3", name), picture(png, f"Grid of {name.lower()}", "tiles"))
        for name, png in zip(
            ("Generated images", noun(evaluation).capitalize()),
            panels.grids(evaluation),
            strict=True,
        )
    ]
    text = "Not chosen by eye. All images share one grey scale, with a square-root stretch."
    content = joined(element("p", text), element("div", *figures, class_="columns"))
    return Section("images", "Images", content)


def distributions(evaluation: Evaluation) -> Section | None:
    """Return the distribution of each statistic of lens physics."""
    rows = {row.name: row for row in evaluation.rows if row.group == "lens physics"}
    figures = []
    for panel in panels.distributions(evaluation):
        row = rows.get(panel.name)
        details = row_details(row)
        caption = element(
            "figcaption",
            element("b", panel.title),
            *([void("br"), details] if details else []),
        )
        alt = f"Histograms of {panel.title}, generated and real. {details}".strip()
        figures.append(element("figure", caption, picture(panel.png, alt)))
    if not figures:
        return None
    text = "Share of the images per bin. The outermost bins hold all that lies beyond them."
    content = joined(element("p", text), _key(), element("div", *figures, class_="small"))
    return Section("distributions", "Distributions", content)


def row_details(row: Row | None) -> str:
    """Return the numbers of a row that belong beside its picture."""
    if row is None or row.ratio is None:
        return ""
    mark = f"{ABOVE} " if stands_out(row) else ""
    shift = "" if row.shift is None else f", mean {percentage(row.shift)}"
    return typeset(f"{mark}{number(row.ratio)} \N{MULTIPLICATION SIGN} floor{shift}")


def _key() -> Markup:
    return element(
        "p",
        element("span", "generated", class_="key generated"),
        element("span", "real", class_="key real"),
    )


def radial_and_power(evaluation: Evaluation) -> Section | None:
    """Return the radial profile and the power spectrum."""
    rows = {row.name: row for row in evaluation.rows}
    figures = []
    for panel in panels.curves(evaluation):
        details = row_details(rows.get(panel.name))
        alt = f"{panel.title} of generated and real images. {details}".strip()
        caption = element("figcaption", details)
        title = element("h3", panel.title[0].upper() + panel.title[1:])
        figures.append(element("figure", title, picture(panel.png, alt), caption))
    if not figures:
        return None
    text = (
        "Median over the images, and the band that holds the middle 68% of them. Below: generated "
        "less real median, in units of half the width of the real band."
    )
    content = joined(element("p", text), element("div", *figures, class_="columns"))
    return Section("profiles", "Profile and power", content)


def neighbours(evaluation: Evaluation) -> Section | None:
    """Return the generated images closest to training images."""
    parts = []
    for near in evaluation.neighbours:
        figures = []
        for k, (distance, png) in enumerate(panels.pairs(near), 1):
            text = number(distance)
            alt = f"Pair {k}: generated image above its nearest training image, distance {text}"
            caption = element("figcaption", typeset(text))
            figures.append(element("figure", picture(png, alt, "tiles"), caption))
        if figures:
            parts.append(element("h3", f"Nearest in {near.space}"))
            parts.append(element("div", *figures, class_="pairs"))
    if not parts:
        return None
    text = (
        "The generated images that come closest to a training image, each above that image, with "
        "their distance; the closest of all first. A copy would look the same, noise included."
    )
    return Section("neighbours", "Nearest training images", joined(element("p", text), *parts))
