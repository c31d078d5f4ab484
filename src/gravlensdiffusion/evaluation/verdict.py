"""What the rows say, in sentences.

The first sentence names the worst fault, and what the images are not good for because of it. That
nothing tells the images from the reference is said only where every row lies within its floor, a
classifier finds nothing either, and there are enough images to see more than gross faults.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gravlensdiffusion.evaluation.comparison import Row
from gravlensdiffusion.evaluation.faults import (
    MEMORISATION,
    PHYSICS,
    TWO_SAMPLE,
    alike,
    difference,
    excess,
    floor,
    floors,
    names,
    spaces,
    stands_out,
    too_alike,
)
from gravlensdiffusion.evaluation.formats import number
from gravlensdiffusion.evaluation.fulfilment import ClassPair
from gravlensdiffusion.evaluation.labels import label
from gravlensdiffusion.evaluation.metrics_table import FID, FRECHET
from gravlensdiffusion.evaluation.placement import farthest
from gravlensdiffusion.evaluation.plan import HANDFUL
from gravlensdiffusion.evaluation.result import SIMULATIONS, Evaluation, noun, set_fact, sizes
from gravlensdiffusion.evaluation.summary import summary

MOST_NAMED = 4
"""Statistics that a sentence names."""
OTHER_MIXTURE = 0.1
"""Share of the images that would have to change class for two sets to be mixed alike."""


def headline(evaluation: Evaluation) -> str:
    """Return what was compared with what, and how."""
    ours, theirs = (_described(evaluation, role) for role in ("generated", "reference"))
    parts = [f"{ours} against {theirs}, at {evaluation.generated_images.shape[-1]} pixels."]
    n, m = sizes(evaluation)
    if evaluation.rows:
        seeds = evaluation.facts.get("settings", {}).get("num_seeds")
        over = f", mean of {seeds} draws" if isinstance(seeds, int) and seeds > 1 else ""
        those = noun(evaluation)
        parts.append(
            f"Values: {n:,} generated images against {m:,} {those}. Floors: {n:,} {those} against "
            f"{m:,} others{over}."
        )
    return " ".join(parts)


def _described(evaluation: Evaluation, role: str) -> str:
    name = set_fact(evaluation, role, "name") or f"the {role} images"
    num = set_fact(evaluation, role, "num_images")
    what = SIMULATIONS if set_fact(evaluation, role, "origin") == "simulated" else "images"
    return f"{name} ({num:,} {what})" if isinstance(num, int) else str(name)


def verdict(evaluation: Evaluation) -> list[str]:
    """Return what the rows say, the worst first, a sentence or two for each thing to say."""
    rows, those = evaluation.rows, noun(evaluation)
    return [
        *_handful(evaluation),
        *_placed(evaluation),
        *summary(evaluation),
        *_mixtures(evaluation),
        *(_distance(row) for row in rows if row.name in (FRECHET, FID) and row.value is not None),
        *_physics([row for row in rows if row.group == PHYSICS], those),
        *_two_sample([row for row in rows if row.group == TWO_SAMPLE], those),
        *_memorisation([row for row in rows if row.group == MEMORISATION]),
        *_classes(evaluation.class_pairs, those),
        *_missing(rows),
    ]


def _handful(evaluation: Evaluation) -> list[str]:
    """Return a warning where there are too few images for any of the rest."""
    n, m = sizes(evaluation)
    if not n or min(n, m) >= HANDFUL:
        return []
    text = f"Only {n:,} generated and {m:,} {noun(evaluation)} are compared: too few for any"
    return [f"{text} distance to tell populations apart. Compare the images one by one."]


def _placed(evaluation: Evaluation) -> list[str]:
    """Return where a handful of images of the reference lie outside of the generated ones."""
    placements, those = evaluation.placements, noun(evaluation)
    if not placements:
        return []
    far = farthest(placements)
    usual = "outside of the middle 90% of the generated ones"
    if not far:
        return [f"None of the {those} lie {usual} in any of {len(placements)} statistics."]
    named = [f"{label(each.name)} ({each.num_outside} of {each.num_measured})" for each in far]
    counted = f"Some {those} lie {usual} in {len(far)} of {len(placements)} statistics"
    return [f"{counted}: {', '.join(named)}. By chance, one value in ten would."]


def _mixtures(evaluation: Evaluation) -> list[str]:
    """Say where the sets are of other classes, since every row then counts that as a fault."""
    ours, theirs = (
        _shares(set_fact(evaluation, role, "classes")) for role in ("generated", "reference")
    )
    both = ours.keys() | theirs.keys()
    away = sum(abs(ours.get(name, 0.0) - theirs.get(name, 0.0)) for name in both) / 2
    # So much comes about by chance where the classes are drawn.
    chance = (len(both) / max(min(sizes(evaluation)), 1)) ** 0.5
    if not ours or not theirs or away <= max(OTHER_MIXTURE, chance):
        return []
    text = f"The generated images are {_mixed(ours)}; the {noun(evaluation)} are {_mixed(theirs)}."
    counts = "What differs between the classes counts as a fault in every row"
    return [f"{text} {counts}: compare with a reference of the same classes."]


def _shares(counts: Any) -> dict[str, float]:
    """Return the share of each class; nothing where a class is not known of every image."""
    if not isinstance(counts, Mapping) or not sum(counts.values()):
        return {}
    total = sum(counts.values())
    return {str(name): num / total for name, num in counts.items() if num}


def _mixed(shares: Mapping[str, float]) -> str:
    if len(shares) == 1:
        return f"all {next(iter(shares))}"
    parts = [f"{100 * share:.0f}% {name}" for name, share in shares.items()]
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def _distance(row: Row) -> str:
    text = f"The {row.name} is {number(row.value, like=row.floor_spread)}"
    if row.ratio is None:
        return text + "."
    like = f", {row.equivalent}" if row.equivalent and stands_out(row) else ""
    return f"{text}, {number(row.ratio)} times its floor of {floor(row)}{like}."


def _physics(rows: Sequence[Row], those: str) -> list[str]:
    measured = [row for row in rows if row.value is not None]
    far = [row for row in measured if stands_out(row)]
    if not measured:
        return []
    if not far:
        return [f"None of the {len(measured)} measures of lens physics stands out from its floor."]
    far.sort(key=excess, reverse=True)
    named = [f"{difference(row, those)} ({floors(row)})" for row in far[:MOST_NAMED]]
    lie, first = ("lies", "") if len(far) == 1 else ("lie", "The farthest: ")
    text = f"{first}{'; '.join(named)}."
    counted = f"Of {len(measured)} measures of lens physics, {len(far)} {lie} above the floor."
    return [f"{counted} {text[:1].upper()}{text[1:]}"]


def _two_sample(rows: Sequence[Row], those: str) -> list[str]:
    valid = [row for row in rows if row.value is not None and row.is_valid]
    sentences = []
    if valid:
        areas = " and ".join(f"{number(row.value)} from {row.space}" for row in valid)
        sentences.append(
            f"Classifiers tell generated images from {those} with an area under the ROC curve of "
            f"{areas}, where 0.5 is guessing and 1 is never wrong."
        )
    invalid = [row for row in rows if not row.is_valid]
    if invalid:
        sentences.append(
            f"The two-sample test from {spaces(invalid)} is invalid; the table says why."
        )
    return [" ".join(sentences)] if sentences else []


def _memorisation(rows: Sequence[Row]) -> list[str]:
    measured = [row for row in rows if row.value is not None]
    found = [row for row in measured if row.is_memorised]
    if found:
        nearer = "Generated images lie nearer to training images than held-out images do"
        return [f"{nearer}, in {spaces(found)}: a sign of copies."]
    if measured:
        return [f"No sign of copies of training images, in {spaces(measured)}."]
    return []


def _classes(pairs: Sequence[ClassPair], those: str) -> Iterator[str]:
    """Yield how different the classes are, beside what they should be."""
    measured = [pair for pair in pairs if pair.kept is not None]
    close = too_alike(measured)
    if close:
        text = alike(close[0], those)
        more = f" So are {len(close) - 1} more of {len(measured)} pairs." if len(close) > 1 else ""
        yield f"{text}.{more}"
    elif measured:
        yield f"No two classes are certainly more alike than in {those}, as the encoder sees them."


def _missing(rows: Sequence[Row]) -> list[str]:
    empty = [row for row in rows if row.value is None]
    return [f"Not computed: {names(empty)}; the table says why."] if empty else []
