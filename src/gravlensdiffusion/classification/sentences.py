"""What a judgement says in words."""

from collections.abc import Iterator

from gravlensdiffusion.classification.judgement import Judgement

NOTHING = 0.03
"""Calibration errors this far above that of chance are worth a sentence."""


def headline(judgement: Judgement) -> str:
    """Say in one sentence what was judged."""
    scores = judgement.scores
    counts = zip(scores.class_names, scores.num_images, strict=True)
    images = ", ".join(f"{name} {num:,}" for name, num in counts)
    return f"Judged on {scores.num_images.sum():,} images: {images}."


def verdict(judgement: Judgement) -> Iterator[str]:
    """Yield what was found, one sentence each."""
    scores = judgement.scores
    if len(scores.class_names) == 2:
        task = f"given one image of {scores.class_names[0]} and one of {scores.class_names[1]}"
    else:
        task = "given an image of one class and one of any other, averaged over the classes"
    yield (
        f"AUC {auc_text(judgement)}: {task}, it tells rightly in {percent(scores.auc)} of all cases "
        "which is which; guessing gets 50%."
    )
    yield f"{percent(scores.accuracy)} of the images are called what they are."
    worst = int(scores.recall.argmin())
    low, high = judgement.recall_intervals[worst]
    yield (
        f"The class that is found least is {scores.class_names[worst]}: {percent(scores.recall[worst])} "
        f"of its images ({percent(low)} to {percent(high)})."
    )
    yield calibration(judgement)


def calibration(judgement: Judgement) -> str:
    """Say whether the probabilities can be taken at their word."""
    error, chance = judgement.scores.calibration_error, judgement.chance_error
    confident = float(
        (judgement.reliability.confidence * judgement.reliability.num).sum()
        / judgement.reliability.num.sum()
    )
    numbers = f"their calibration error is {error:.3f}, where {chance:.3f} would come about by chance alone"
    if error <= chance + NOTHING:
        return f"The probabilities can be taken at their word: {numbers}."
    gap = confident - judgement.scores.accuracy
    if abs(gap) < error / 2:
        return f"The probabilities are off: {numbers}."
    kind = "too confident" if gap > 0 else "not confident enough"
    return (
        f"The probabilities are {kind}, {percent(confident)} on average where "
        f"{percent(judgement.scores.accuracy)} are right: {numbers}."
    )


def auc_text(judgement: Judgement) -> str:
    """Return the mean area under the ROC curves and its interval."""
    auc, (low, high) = judgement.scores.auc, judgement.auc_interval
    if low == high:
        return f"{auc:.3f}"
    return f"{auc:.3f} ({low:.3f} to {high:.3f})"


def recalls(judgement: Judgement) -> str:
    """Return the recall of each class, in a line."""
    scores = judgement.scores
    each = zip(scores.class_names, scores.recall, strict=True)
    return ", ".join(f"{name} {percent(value)}" for name, value in each)


def percent(share: float) -> str:
    """Return a share in per cent; only what is all or nothing is written as 100% or 0%."""
    text = f"{100 * share:.1f}"
    if text == "100.0" and share < 1:
        return ">99.9%"
    if text == "0.0" and share > 0:
        return "<0.1%"
    return f"{text.removesuffix('.0')}%"
