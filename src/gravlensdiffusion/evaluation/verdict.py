"""What the rows say, in sentences."""

from collections.abc import Mapping, Sequence
from typing import Any

from gravlensdiffusion.evaluation.comparison import Row
from gravlensdiffusion.evaluation.formats import number, percentage, plus_minus
from gravlensdiffusion.evaluation.labels import label
from gravlensdiffusion.evaluation.placement import farthest
from gravlensdiffusion.evaluation.plan import HANDFUL
from gravlensdiffusion.evaluation.result import Evaluation

TWO_SAMPLE = "two-sample test"
MEMORISATION = "memorisation"

FAR = 4.0
"""Spreads of the floor by which a value differs from it to be marked."""
FAR_RATIO = 1.5
"""Multiple of the floor by which a distance without a spread is marked."""
MOST_NAMED = 4
"""Statistics that a sentence names."""


def stands_out(row: Row) -> bool:
    """Whether a row is worse than real images are among themselves.

    Distances and the areas of the two-sample test are so above their floor only; of a fraction such
    as precision, either direction tells the sets apart.
    """
    if is_invalid(row) or row.value is None:
        return False
    if is_memorised(row):
        return True
    if row.z is None:
        return row.ratio is not None and row.ratio > FAR_RATIO
    one_sided = row.ratio is not None or row.group == TWO_SAMPLE
    return row.z > FAR if one_sided else abs(row.z) > FAR


def is_invalid(row: Row) -> bool:
    """Whether a row has a value that does not count."""
    return row.note.startswith("invalid")


def is_memorised(row: Row) -> bool:
    """Whether a row says that generated images are copies of training images."""
    return row.note.startswith("MEMORISED")


def set_fact(evaluation: Evaluation, role: str, key: str) -> Any:
    """Return what is known of one of the sets, or None.

    Args:
        evaluation: The evaluation.
        role: ``generated``, ``reference``, ``reference2`` or ``train``.
        key: Such as ``name``, ``num_images`` or ``flux_unit``.
    """
    sets = evaluation.facts.get("sets", {})
    found = sets.get(role, {}) if isinstance(sets, Mapping) else {}
    return found.get(key)


def headline(evaluation: Evaluation) -> str:
    """Return what was compared with what, and how."""
    ours, theirs = (_described(evaluation, role) for role in ("generated", "reference"))
    parts = [f"{ours} against {theirs}, at {evaluation.generated_images.shape[-1]} pixels."]
    n, m = (evaluation.facts.get(key) for key in ("num_generated", "num_reference"))
    if isinstance(n, int) and isinstance(m, int) and evaluation.rows:
        seeds = evaluation.facts.get("settings", {}).get("num_seeds")
        over = f", mean of {seeds} draws" if isinstance(seeds, int) and seeds > 1 else ""
        parts.append(
            f"Values: {n:,} generated against {m:,} real images. Floors: {n:,} real against "
            f"{m:,} other real images{over}."
        )
    return " ".join(parts)


def _described(evaluation: Evaluation, role: str) -> str:
    name = set_fact(evaluation, role, "name") or f"the {role} images"
    num = set_fact(evaluation, role, "num_images")
    return f"{name} ({num:,} images)" if isinstance(num, int) else str(name)


def verdict(evaluation: Evaluation) -> list[str]:
    """Return what the rows say: a sentence or two for each section that has something to say."""
    rows = evaluation.rows
    sentences = [*_handful(evaluation), *_placed(evaluation)]
    sentences += [_distance(row) for row in rows if "Fréchet" in row.name and row.value is not None]
    sentences += _physics([row for row in rows if row.group == "lens physics"])
    sentences += _two_sample([row for row in rows if row.group == TWO_SAMPLE])
    sentences += _memorisation([row for row in rows if row.group == MEMORISATION])
    kept = [(pair.kept, pair) for pair in evaluation.class_pairs if pair.kept is not None]
    if kept:
        least, pair = min(kept, key=lambda each: each[0])
        sentences.append(
            f"Of the difference between classes, as the encoder sees it, {100 * least:.0f}% is "
            f"there for {' and '.join(pair.names)}"
            + (", the least of all pairs." if len(kept) > 1 else ".")
        )
    empty = [row for row in rows if row.value is None]
    if empty:
        sentences.append(f"Not computed: {_names(empty)}; the table says why.")
    return sentences


def _handful(evaluation: Evaluation) -> list[str]:
    """Return a warning where there are too few images for any of the rest."""
    n, m = (evaluation.facts.get(key) for key in ("num_generated", "num_reference"))
    if not (isinstance(n, int) and isinstance(m, int)) or min(n, m) >= HANDFUL:
        return []
    text = f"Only {n:,} generated and {m:,} real images are compared: too few for any distance to"
    return [f"{text} tell populations apart. Compare the images one by one."]


def _placed(evaluation: Evaluation) -> list[str]:
    """Return where a handful of real images lie outside of the generated ones."""
    placements = evaluation.placements
    if not placements:
        return []
    far = farthest(placements)
    usual = "outside of the middle 90% of the generated ones"
    if not far:
        return [f"No real image lies {usual} in any of {len(placements)} statistics."]
    named = [f"{label(each.name)} ({each.num_outside} of {each.num_measured})" for each in far]
    counted = f"Real images lie {usual} in {len(far)} of {len(placements)} statistics"
    return [f"{counted}: {', '.join(named)}. By chance, one value in ten would."]


def _distance(row: Row) -> str:
    text = f"The {row.name} is {number(row.value, like=row.floor_spread)}"
    if row.ratio is None:
        return text + "."
    floor = f"its floor of {plus_minus(row.floor, row.floor_spread)}"
    if not stands_out(row):
        return f"{text}, {number(row.ratio)} times {floor}: not distinguishable from real images."
    like = f", {row.equivalent}" if row.equivalent else ""
    return f"{text}, {number(row.ratio)} times {floor}{like}."


def _physics(rows: Sequence[Row]) -> list[str]:
    measured = [row for row in rows if row.value is not None]
    far = [row for row in measured if stands_out(row)]
    if not measured:
        return []
    if not far:
        return [f"None of the {len(measured)} measures of lens physics lies above its floor."]
    far.sort(key=lambda row: row.ratio or 0.0, reverse=True)
    named = []
    for row in far[:MOST_NAMED]:
        details = [] if row.ratio is None else [f"{number(row.ratio)} times its floor"]
        if row.shift is not None:
            details.append(f"mean off by {percentage(row.shift)}")
        named.append(label(row.name) + (f" ({', '.join(details)})" if details else ""))
    lie, first = ("lies", "It is") if len(far) == 1 else ("lie", "The farthest:")
    counted = f"Of {len(measured)} measures of lens physics, {len(far)} {lie} above the floor."
    return [f"{counted} {first} {', '.join(named)}."]


def _two_sample(rows: Sequence[Row]) -> list[str]:
    valid = [row for row in rows if row.value is not None and not is_invalid(row)]
    sentences = []
    if valid:
        areas = " and ".join(f"{number(row.value)} from {_space(row)}" for row in valid)
        sentences.append(
            f"Classifiers tell generated from real images with an area under the ROC curve of "
            f"{areas}, where 0.5 is guessing and 1 is never wrong."
        )
    invalid = [row for row in rows if is_invalid(row)]
    if invalid:
        spaces = " and ".join(_space(row) for row in invalid)
        sentences.append(f"The two-sample test from {spaces} is invalid; the table says why.")
    return [" ".join(sentences)] if sentences else []


def _space(row: Row) -> str:
    """Return what a row was computed from, which follows the first comma of its name."""
    return row.name.partition(", ")[2] or row.name


def _memorisation(rows: Sequence[Row]) -> list[str]:
    measured = [row for row in rows if row.value is not None]
    found = [_space(row) for row in measured if is_memorised(row)]
    if found:
        nearer = "Generated images lie nearer to training images than held-out real images do"
        return [f"{nearer}, in {' and '.join(found)}: a sign of copies."]
    if measured:
        return [
            f"No sign of copies of training images, in {' or '.join(map(_space, measured))}.",
        ]
    return []


def _names(rows: Sequence[Row]) -> str:
    return ", ".join(label(row.name) for row in rows)
