"""A judgement as one HTML file that needs nothing else: no scripts, no network."""

from collections.abc import Sequence

import numpy as np

from gravlensdiffusion.classification.judgement import Judgement
from gravlensdiffusion.classification.sentences import headline, percent, verdict
from gravlensdiffusion.classification.uncertainty import wilson
from gravlensdiffusion.reports.class_charts import Roc, confusion_png, reliability_png, roc_png
from gravlensdiffusion.reports.mosaics import grid_png, percentile_limits
from gravlensdiffusion.reports.page.document import Opening, Section, document
from gravlensdiffusion.reports.page.markup import Markup, element, joined, picture
from gravlensdiffusion.reports.page.tables import fact_table, small_table, word_list

MIN_SIDE = 100
"""Smaller images are enlarged by a whole factor until they have so many pixels."""
WORDS = {
    "AUC": (
        "Area under the ROC curve of a class against all others: the probability that an image of "
        "the class gets a higher probability of being so than an image of another class. 0.5 is "
        "guessing, 1 is faultless. In brackets: where it lies in 95% of all cases, by drawing "
        "the images again and again from themselves."
    ),
    "recall": "Share of the images of a class that are called it.",
    "precision": (
        "Share of the images called a class that belong to it. It depends on how many images of "
        "each class there are, and so does not carry over to data of another mix."
    ),
    "calibration error": (
        "How far the probability of the class called lies from the share of such images that are "
        "called rightly, averaged over bins of equally many images. Even probabilities without "
        "fault get more than zero, as each bin holds few images: that is the value by chance."
    ),
    "log loss, Brier score": (
        "Mean of minus the logarithm of the probability of the true class [nat]; mean square "
        "distance of the probabilities from the truth. Both are the smaller the better, and both "
        "punish probabilities that are sure and wrong."
    ),
}
"""Each term of a report and what it means."""


def page(judgement: Judgement) -> str:
    """Return a judgement as an HTML document; the same judgement gives the same text."""
    opening = Opening(
        kind="Classifier",
        title=judgement.title,
        lead=headline(judgement),
        verdict=list(verdict(judgement)),
        notes=[f"{note}." for note in judgement.notes],
    )
    sections = [
        classes(judgement),
        curves(judgement),
        calibration(judgement),
        mistakes(judgement),
        Section("reading", "How to read this", word_list(WORDS)),
        protocol(judgement),
    ]
    return document(opening, sections)


def classes(judgement: Judgement) -> Section:
    """Return the numbers of each class, and what each is taken for."""
    scores = judgement.scores
    grid = [
        (
            name,
            f"{scores.num_images[k]:,}",
            f"{scores.class_auc[k]:.3f}",
            _with_interval(scores.recall[k], judgement.recall_intervals[k]),
            _with_interval(scores.precision[k], judgement.precision_intervals[k]),
        )
        for k, name in enumerate(scores.class_names)
    ]
    table = small_table(("class", "images", "AUC", "recall", "precision"), grid)
    png = confusion_png(scores.confusion, scores.class_names)
    figure = element(
        "figure",
        picture(png, f"Confusion matrix. {_in_words(judgement)}"),
        element(
            "figcaption", "Rows: the class. Columns: what it is called. Shares are of the row."
        ),
    )
    text = "In brackets: where the value lies in 95% of all cases, for so many images."
    return Section("classes", "Classes", joined(element("p", text), _beside(figure, table)))


def _in_words(judgement: Judgement) -> str:
    """Return a confusion matrix as text, for those who do not see it."""
    scores = judgement.scores
    rows = []
    for name, row in zip(scores.class_names, scores.confusion, strict=True):
        cells = zip(scores.class_names, row, strict=True)
        rows.append(f"{name}: {', '.join(f'{num} called {called}' for called, num in cells)}")
    return "; ".join(rows)


def curves(judgement: Judgement) -> Section:
    """Return the ROC curves, and the areas of the pairs of classes where there are several."""
    scores = judgement.scores
    names = scores.class_names
    # Of two classes, one curve is the other's mirror image.
    shown = range(1) if len(names) == 2 else range(len(names))
    rocs = [Roc(names[k], float(scores.class_auc[k]), *judgement.curves[k]) for k in shown]
    against = names[1] if len(names) == 2 else "all others"
    areas = ", ".join(f"{names[k]} {scores.class_auc[k]:.3f}" for k in shown)
    figure = element(
        "figure",
        picture(roc_png(rocs), f"ROC curve of each class against {against}, with areas: {areas}"),
        element(
            "figcaption",
            f"Share of its own images that a class finds, over the share of {against} that it takes "
            "along, for every threshold. Dotted: guessing. The legend gives the areas.",
        ),
    )
    parts: list[Markup] = []
    if len(names) > 2:
        grid = [
            (f"{names[a]} / {names[b]}", f"{area:.3f}") for (a, b), area in scores.pair_auc.items()
        ]
        parts += [element("h3", "Two classes at a time"), small_table(("classes", "AUC"), grid)]
    return Section("roc", "ROC curves", _beside(figure, *parts))


def calibration(judgement: Judgement) -> Section:
    """Return how far probabilities can be taken at their word."""
    bins, scores = judgement.reliability, judgement.scores
    png = reliability_png(
        bins.confidence,
        bins.hits / bins.num,
        wilson(bins.hits, bins.num),
        chance=1 / len(scores.class_names),
    )
    alt = f"Reliability diagram; the calibration error is {scores.calibration_error:.3f}"
    figure = element(
        "figure",
        picture(png, alt),
        element(
            "figcaption",
            "Each point: images of like confidence. On the dashed line, probabilities can be taken "
            "at their word; below it they are too confident.",
        ),
    )
    grid = [
        ("calibration error", f"{scores.calibration_error:.3f}"),
        ("the same by chance", f"{judgement.chance_error:.3f}"),
        ("log loss", f"{scores.log_loss:.3f}"),
        ("Brier score", f"{scores.brier:.3f}"),
        ("accuracy", percent(scores.accuracy)),
    ]
    return Section("calibration", "Calibration", _beside(figure, small_table(("", "value"), grid)))


def mistakes(judgement: Judgement) -> Section | None:
    """Return the most confident mistakes."""
    if not judgement.mistakes:
        return None
    names = judgement.scores.class_names
    limits = percentile_limits(np.stack([each.image for each in judgement.mistakes]))
    figures = []
    for each in judgement.mistakes:
        png = grid_png(each.image[None], num_columns=1, limits=limits, min_side=MIN_SIDE)
        said = f"{names[each.label]}, called {names[each.called]} ({each.probability:.2f})"
        caption = element("figcaption", said)
        figures.append(
            element(
                "figure", picture(png, f"{each.name}: {said}", "tiles"), caption, title=each.name
            )
        )
    num = len(judgement.mistakes)
    which = f"{num}" if num == judgement.num_mistakes else f"The {num} most confident"
    text = (
        f"{which} of {judgement.num_mistakes:,} mistakes, with the probability of the class "
        "called. All images share one grey scale, with a square-root stretch."
    )
    content = joined(element("p", text), element("div", *figures, class_="pairs"))
    return Section("mistakes", "Mistakes", content)


def protocol(judgement: Judgement) -> Section:
    """Return all that the numbers depend on."""
    text = "All that the numbers depend on: the data, the classifier, and how it was trained and judged."
    content = joined(element("p", text), fact_table(judgement.facts))
    return Section("protocol", "Protocol", content)


def _beside(figure: Markup, *others: Markup) -> Markup:
    return element("div", figure, element("div", *others), class_="columns")


def _with_interval(value: float, interval: Sequence[float]) -> str:
    if not np.isfinite(value):
        return "none called"
    low, high = (percent(float(each)).removesuffix("%") for each in interval)
    return f"{percent(value)} ({low} to {high})"
