"""What a judgement says in words, as JSON and as a page."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from gravlensdiffusion.classification.judgement import Judgement
from gravlensdiffusion.classification.scores import wilson
from gravlensdiffusion.reports import document
from gravlensdiffusion.reports.charts import confusion_png, reliability_png, roc_png
from gravlensdiffusion.reports.document import Beside, Figure, Line, Section, Table
from gravlensdiffusion.reports.mosaics import percentile_limits
from gravlensdiffusion.reports.numbers import exact_share

NOTHING = 0.03
"""Calibration errors this far above that of chance are worth a sentence."""
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


def to_json(judgement: Judgement) -> bytes:
    """Return a judgement as a JSON file without its pictures; the same gives the same bytes."""
    scores = asdict(judgement.scores)
    names, pairs = judgement.scores.class_names, scores.pop("pair_auc")
    mistakes = [
        {
            "name": each.name,
            "label": names[each.label],
            "called": names[each.called],
            "probability": each.probability,
        }
        for each in judgement.mistakes
    ]
    found: dict[str, Any] = {
        "schema_version": 1,
        "title": judgement.title,
        "notes": judgement.notes,
        "facts": judgement.facts,
        "scores": scores,
        "pairs": [{"classes": [names[a], names[b]], "auc": v} for (a, b), v in pairs.items()],
        "auc_interval": judgement.auc_interval,
        "recall_intervals": judgement.recall_intervals,
        "precision_intervals": judgement.precision_intervals,
        "reliability": asdict(judgement.reliability),
        "chance_calibration_error": judgement.chance_error,
        "num_mistakes": judgement.num_mistakes,
        "mistakes": mistakes,
    }
    return document.to_json(found)


def _headline(judgement: Judgement) -> str:
    """Say in one sentence what was judged."""
    scores = judgement.scores
    counts = zip(scores.class_names, scores.num_images, strict=True)
    images = ", ".join(f"{name} {num:,}" for name, num in counts)
    return f"Judged on {scores.num_images.sum():,} images: {images}."


def _verdict(judgement: Judgement) -> list[str]:
    """Return what was found, one sentence each."""
    scores = judgement.scores
    task = "given an image of one class and one of any other, averaged over the classes"
    if len(scores.class_names) == 2:
        task = f"given one image of {scores.class_names[0]} and one of {scores.class_names[1]}"
    worst = int(scores.recall.argmin())
    low, high = map(exact_share, judgement.recall_intervals[worst])
    return [
        (
            f"AUC {_auc(judgement)}: {task}, it tells rightly in {exact_share(scores.auc)} of all "
            "cases which is which; guessing gets 50%."
        ),
        f"{exact_share(scores.accuracy)} of the images are called what they are.",
        (
            f"The class that is found least is {scores.class_names[worst]}: "
            f"{exact_share(scores.recall[worst])} of its images ({low} to {high})."
        ),
        _told_calibration(judgement),
    ]


def _told_calibration(judgement: Judgement) -> str:
    """Say whether the probabilities can be taken at their word."""
    error, chance = judgement.scores.calibration_error, judgement.chance_error
    bins, accuracy = judgement.reliability, judgement.scores.accuracy
    confident = float((bins.confidence * bins.num).sum() / bins.num.sum())
    numbers = f"their calibration error is {error:.3f}, where {chance:.3f} would come about by chance alone"
    if error <= chance + NOTHING:
        return f"The probabilities can be taken at their word: {numbers}."
    if abs(confident - accuracy) < error / 2:
        return f"The probabilities are off: {numbers}."
    kind = "too confident" if confident > accuracy else "not confident enough"
    return (
        f"The probabilities are {kind}, {exact_share(confident)} on average where "
        f"{exact_share(accuracy)} are right: {numbers}."
    )


def _auc(judgement: Judgement) -> str:
    """Return the mean area under the ROC curves and its interval."""
    auc, (low, high) = judgement.scores.auc, judgement.auc_interval
    return f"{auc:.3f}" if low == high else f"{auc:.3f} ({low:.3f} to {high:.3f})"


def summary(judgement: Judgement, images: str) -> str:
    """Return a line on how good a classifier is on some images, as these are called."""
    scores = judgement.scores
    each = zip(scores.class_names, scores.recall, strict=True)
    recalls = ", ".join(f"{name} {exact_share(value)}" for name, value in each)
    return f"AUC {_auc(judgement)} on {scores.num_images.sum():,} {images}, recall {recalls}"


def to_html(judgement: Judgement) -> bytes:
    """Return a judgement as a page; the same judgement gives the same bytes."""
    draw = (_classes, _curves, _calibration, _mistakes)
    return document.to_html(
        "Classifier",
        judgement.title,
        lead=_headline(judgement),
        verdict=_verdict(judgement),
        notes=[f"{note}." for note in judgement.notes],
        sections=[each(judgement) for each in draw],
        words=WORDS,
        facts=judgement.facts,
        about_facts="All that the numbers depend on: the data, the classifier, and how it was "
        "trained and judged.",
    )


def _classes(judgement: Judgement) -> Section:
    scores, names = judgement.scores, judgement.scores.class_names
    lines = [
        Line(
            name=name,
            cells=[
                f"{scores.num_images[k]:,}",
                f"{scores.class_auc[k]:.3f}",
                _with_interval(scores.recall[k], judgement.recall_intervals[k]),
                _with_interval(scores.precision[k], judgement.precision_intervals[k]),
            ],
        )
        for k, name in enumerate(names)
    ]
    # The matrix in words, for those who do not see it.
    rows = (
        f"{name}: {', '.join(f'{num} called {called}' for called, num in zip(names, row, strict=True))}"
        for name, row in zip(names, scores.confusion, strict=True)
    )
    figure = Figure(
        png=confusion_png(scores.confusion, names),
        alt=f"Confusion matrix. {'; '.join(rows)}",
        caption="Rows: the class. Columns: what it is called. Shares are of the row.",
    )
    table = Table(headings=("class", "images", "AUC", "recall", "precision"), lines=lines)
    text = "In brackets: where the value lies in 95% of all cases, for so many images."
    return Section("classes", "Classes", text, [Beside(blocks=[figure, [table]])])


def _curves(judgement: Judgement) -> Section:
    """Return the ROC curves, and the areas of the pairs of classes where there are several."""
    scores, names = judgement.scores, judgement.scores.class_names
    # Of two classes, one curve is the other's mirror image.
    shown = slice(1 if len(names) == 2 else len(names))
    kept = (names[shown], scores.class_auc[shown])
    against = names[1] if len(names) == 2 else "all others"
    areas = ", ".join(f"{name} {area:.3f}" for name, area in zip(*kept, strict=True))
    figure = Figure(
        png=roc_png(*kept, judgement.curves[shown]),
        alt=f"ROC curve of each class against {against}, with areas: {areas}",
        caption=f"Share of its own images that a class finds, over the share of {against} that it "
        "takes along, for every threshold. Dotted: guessing. The legend gives the areas.",
    )
    pairs = [
        Line(name=f"{names[a]} / {names[b]}", cells=[f"{area:.3f}"])
        for (a, b), area in scores.pair_auc.items()
    ]
    table = Table(title="Two classes at a time", headings=("classes", "AUC"), lines=pairs)
    beside = Beside(blocks=[figure, [table] if len(names) > 2 else []])
    return Section("roc", "ROC curves", "", [beside])


def _calibration(judgement: Judgement) -> Section:
    bins, scores = judgement.reliability, judgement.scores
    share, chance = bins.hits / bins.num, 1 / len(scores.class_names)
    figure = Figure(
        png=reliability_png(bins.confidence, share, wilson(bins.hits, bins.num), chance=chance),
        alt=f"Reliability diagram; the calibration error is {scores.calibration_error:.3f}",
        caption="Each point: images of like confidence. On the dashed line, probabilities can be "
        "taken at their word; below it they are too confident.",
    )
    numbers = {
        "calibration error": f"{scores.calibration_error:.3f}",
        "the same by chance": f"{judgement.chance_error:.3f}",
        "log loss": f"{scores.log_loss:.3f}",
        "Brier score": f"{scores.brier:.3f}",
        "accuracy": exact_share(scores.accuracy),
    }
    lines = [Line(name=name, cells=[value]) for name, value in numbers.items()]
    table = Table(headings=("", "value"), lines=lines)
    return Section("calibration", "Calibration", "", [Beside(blocks=[figure, [table]])])


def _mistakes(judgement: Judgement) -> Section:
    names, found = judgement.scores.class_names, judgement.mistakes
    if not found:
        return Section("mistakes", "Mistakes", "", [])
    limits = percentile_limits(np.stack([each.image for each in found]))
    figures = []
    for each in found:
        said = f"{names[each.label]}, called {names[each.called]} ({each.probability:.2f})"
        image, alt = each.image[None], f"{each.name}: {said}"
        figures.append(Figure.photo(image, alt, caption=said, hint=each.name, limits=limits))
    which = "" if len(found) == judgement.num_mistakes else "The "
    confident = "" if len(found) == judgement.num_mistakes else " most confident"
    text = (
        f"{which}{len(found)}{confident} of {judgement.num_mistakes:,} mistakes, with the "
        "probability of the class called. All images share one grey scale, with a square-root "
        "stretch."
    )
    return Section("mistakes", "Mistakes", text, [Beside(blocks=figures, layout="pairs")])


def _with_interval(value: float, interval: Sequence[float]) -> str:
    if not np.isfinite(value):
        return "none called"
    low, high = (exact_share(float(each)).removesuffix("%") for each in interval)
    return f"{exact_share(value)} ({low} to {high})"
