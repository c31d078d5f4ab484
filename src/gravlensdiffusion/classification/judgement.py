"""A classifier judged on images whose class is known: what its report says and shows."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.classification.scores import Reliability, Scores, reliability, roc, score
from gravlensdiffusion.classification.uncertainty import (
    Interval,
    auc_interval,
    chance_error,
    wilson,
)
from gravlensdiffusion.reports.page.document import encode
from gravlensdiffusion.training.labelled import Images

NUM_MISTAKES = 16
"""Mistakes that a report shows, at most."""

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Mistake:
    """An image that was taken for another class.

    Attributes:
        image: The image, shape ``(C, S, S)``.
        name: Where it comes from.
        label: Its class.
        called: The class that it was taken for.
        probability: Probability of that class.
    """

    image: NDArray[np.float32]
    name: str
    label: int
    called: int
    probability: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """How good a classifier is.

    Attributes:
        title: What was judged on what.
        scores: The numbers.
        auc_interval: Interval of the mean area under the ROC curves.
        recall_intervals: Interval of each class's recall, shape ``(K, 2)``.
        precision_intervals: Interval of each class's precision, shape ``(K, 2)``; NaN where no
            image was called it.
        curves: ROC curve of each class against all others: false and true positive rates.
        reliability: Confidence beside what became of it.
        chance_error: Calibration error that probabilities without fault would get.
        mistakes: The most confident ones.
        num_mistakes: How many there are in all.
        notes: What a reader should know, one sentence each.
        facts: All that the numbers depend on; ready for JSON.
    """

    title: str
    scores: Scores
    auc_interval: Interval
    recall_intervals: NDArray[np.float64]
    precision_intervals: NDArray[np.float64]
    curves: tuple[Curve, ...]
    reliability: Reliability
    chance_error: float
    mistakes: tuple[Mistake, ...]
    num_mistakes: int
    notes: tuple[str, ...] = ()
    facts: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """What a classifier is judged on.

    Attributes:
        images: All images of the set, read by position.
        name: Says where an image comes from, by its position.
        where: Positions of those that it is judged on, shape ``(N,)``.
        labels: Their classes, shape ``(N,)``.
        class_names: Names of the classes.
    """

    images: Images
    name: Callable[[int], str]
    where: NDArray[np.int64]
    labels: NDArray[np.int64]
    class_names: Sequence[str]


def judge(
    judged: Judged,
    probabilities: NDArray[np.float64],
    *,
    title: str,
    seed: int,
    notes: Sequence[str],
    facts: Mapping[str, Any],
) -> Judgement:
    """Judge probabilities.

    Args:
        judged: What they are about.
        probabilities: Shape ``(N, K)``.
        title: What was judged on what.
        seed: Seed of the resamplings.
        notes: What a reader should know.
        facts: All that the numbers depend on.

    Raises:
        GravLensError: If there is no image of some class.
    """
    scores = score(probabilities, judged.labels, judged.class_names)
    hits, called = np.diag(scores.confusion), scores.confusion.sum(axis=0)
    bins = reliability(probabilities, judged.labels)
    curves = (roc(probabilities, judged.labels, k)[:2] for k in range(len(scores.class_names)))
    return Judgement(
        title=title,
        scores=scores,
        auc_interval=auc_interval(probabilities, judged.labels, seed),
        recall_intervals=wilson(hits, scores.num_images),
        precision_intervals=wilson(hits, called),
        curves=tuple(curves),
        reliability=bins,
        chance_error=chance_error(bins, seed),
        mistakes=find_mistakes(judged, probabilities),
        num_mistakes=int(scores.num_images.sum() - hits.sum()),
        notes=tuple(notes),
        facts=facts,
    )


def find_mistakes(judged: Judged, probabilities: NDArray[np.float64]) -> tuple[Mistake, ...]:
    """Return the images that were taken for another class, the most confident mistakes first."""
    called, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(called != judged.labels)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:NUM_MISTAKES]
    if not len(worst):
        return ()
    return tuple(
        Mistake(
            image=image,
            name=judged.name(int(judged.where[k])),
            label=int(judged.labels[k]),
            called=int(called[k]),
            probability=float(confidence[k]),
        )
        for k, image in zip(worst, judged.images[judged.where[worst]], strict=True)
    )


def to_json(judgement: Judgement) -> bytes:
    """Return a judgement as the bytes of a JSON file; the same judgement gives the same bytes."""
    text = json.dumps(to_dict(judgement), indent=2, ensure_ascii=False, allow_nan=False)
    return encode(text + "\n")


def to_dict(judgement: Judgement) -> dict[str, Any]:
    """Return a judgement as what JSON can hold, its pictures left out."""
    scores = asdict(judgement.scores)
    names = judgement.scores.class_names
    pairs = [
        {"classes": [names[a], names[b]], "auc": value}
        for (a, b), value in judgement.scores.pair_auc.items()
    ]
    mistakes = [
        {
            "name": each.name,
            "label": names[each.label],
            "called": names[each.called],
            "probability": each.probability,
        }
        for each in judgement.mistakes
    ]
    return {
        "schema_version": 1,
        "title": judgement.title,
        "notes": list(judgement.notes),
        "facts": plain(judgement.facts),
        "scores": plain({name: v for name, v in scores.items() if name != "pair_auc"}),
        "pairs": plain(pairs),
        "auc_interval": plain(judgement.auc_interval),
        "recall_intervals": plain(judgement.recall_intervals),
        "precision_intervals": plain(judgement.precision_intervals),
        "reliability": plain(asdict(judgement.reliability)),
        "chance_calibration_error": judgement.chance_error,
        "num_mistakes": judgement.num_mistakes,
        "mistakes": plain(mistakes),
    }


def plain(value: Any) -> Any:
    """Return a value as JSON knows it; a number that is not finite becomes None."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(each) for each in value]
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value
