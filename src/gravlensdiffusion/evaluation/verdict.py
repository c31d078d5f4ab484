"""What an evaluation says in sentences.

The first sentence names the worst fault, and what the images are not good for because of it. That
nothing tells the images from the reference is said only where every row lies within its floor, a
classifier finds nothing either, and there are enough images to see more than gross faults.
"""

from collections.abc import Mapping, Sequence

from gravlensdiffusion.evaluation.compare import FAR_RATIO, Row
from gravlensdiffusion.evaluation.conditioning import KEPT, ClassPair
from gravlensdiffusion.evaluation.plan import FEW_IMAGES, HANDFUL
from gravlensdiffusion.evaluation.result import Evaluation
from gravlensdiffusion.evaluation.statistics import FID, FRECHET, Group, Space, Use
from gravlensdiffusion.reports.numbers import compared, number, plus_minus

MATTERS = 0.1
"""Excess of a measure of lens physics over its floor [scatter of the reference] that is a fault."""
OF_IMAGES = (Group.PHYSICS, Group.DETAIL)
"""Sections of what is measured of each image."""


def verdict(evaluation: Evaluation) -> list[str]:
    """Return what was found, the worst first, a sentence or two for each thing to say."""
    rows, those = evaluation.rows, evaluation.noun
    by_group = {group: [row for row in rows if row.statistic.group is group] for group in Group}
    distances = [row for row in rows if row.statistic in (FRECHET, FID) and row.value is not None]
    empty = [row for row in rows if row.value is None]
    found = (
        _handful(evaluation),
        _placed(evaluation),
        _summary(evaluation),
        _mixtures(evaluation),
        *map(_distance, distances),
        *(_measures(by_group[group], those) for group in OF_IMAGES),
        _two_sample(by_group[Group.TWO_SAMPLE], those),
        _memorisation(by_group[Group.MEMORISATION]),
        _classes(evaluation.class_pairs, those),
        f"Not computed: {_titles(empty)}; the table says why." if empty else "",
    )
    return [sentence for sentence in found if sentence]


def _handful(evaluation: Evaluation) -> str:
    """Return a warning where there are too few images for any of the rest."""
    n, m = evaluation.sizes
    if min(n, m) >= HANDFUL:
        return ""
    return (
        f"Only {n:,} generated and {m:,} {evaluation.noun} are compared: too few for any distance "
        "to tell populations apart. Compare the images one by one."
    )


def _placed(evaluation: Evaluation) -> str:
    """Say where a handful of images of the reference lie outside of the generated ones."""
    placements, those = evaluation.placements, evaluation.noun
    if not placements:
        return ""
    far = [each for each in placements if each.num_outside]
    far.sort(key=lambda each: each.num_outside / each.num_measured, reverse=True)
    usual = "outside of the middle 90% of the generated ones"
    if not far:
        return f"None of the {those} lie {usual} in any of {len(placements)} statistics."
    named = ", ".join(f"{each.title} ({each.num_outside} of {each.num_measured})" for each in far)
    counted = f"Some {those} lie {usual} in {len(far)} of {len(placements)} statistics"
    return f"{counted}: {named}. By chance, one value in ten would."


def _summary(evaluation: Evaluation) -> str:
    """Name the worst fault, and what the images are good for and not good for."""
    those, (n, m) = evaluation.noun, evaluation.sizes
    if not any(row.value is not None for row in evaluation.rows) or min(n, m) < HANDFUL:
        return ""
    worst, small = _worst(evaluation), _largest(evaluation)
    if worst is None and small is None:
        return _nothing_found(evaluation)
    text = f"Worst fault: {worst}." if worst else f"Only small differences were found: {small}."
    bad, good = _uses(evaluation)
    text += f" Not good for: {'; '.join(bad)}." if bad else ""
    text += f" No such fault was found for: {'; '.join(good)}." if good else ""
    if min(n, m) < FEW_IMAGES:
        images = those if m <= n else "images"
        text += f" With {min(n, m):,} {images} smaller faults would not show."
    return text


def _worst(evaluation: Evaluation) -> str | None:
    """Return the worst fault in plain words; None where none matters."""
    rows, those = evaluation.rows, evaluation.noun
    if copied := [row for row in rows if row.is_memorised]:
        return f"images are copies of training images, seen in {_sources(copied)}"
    if any(row.excess >= MATTERS for row in _standing_out(rows, *OF_IMAGES)):
        return _largest(evaluation)
    if told := _standing_out(rows, Group.TWO_SAMPLE):
        worst = max(told, key=lambda row: row.value or 0.0)
        return (
            f"a classifier tells the images from {those} with an area of {number(worst.value)} from "
            f"{worst.statistic.source}, where 0.5 is guessing; no measure of lens physics is off by "
            "a tenth of its scatter"
        )
    if close := _too_alike(evaluation.class_pairs):
        return close[0].told(those)
    for row in rows:
        # Of a share such as coverage only less than the floor is a fault.
        short = row.ratio is None and -row.excess >= MATTERS
        far = row.ratio is not None and row.ratio > FAR_RATIO
        if row.statistic.group not in OF_IMAGES and row.stands_out and (far or short):
            name = row.statistic.title
            return f"the {name} is {number(row.value)} where {those} have {_floor(row)}"
    return None


def _largest(evaluation: Evaluation) -> str | None:
    """Return the largest certain difference in what is measured of images in plain words, or None."""
    far = _standing_out(evaluation.rows, *OF_IMAGES)
    return f"{_difference(far[0], evaluation.noun)} ({_above_floor(far[0])})" if far else None


def _nothing_found(evaluation: Evaluation) -> str:
    """Say that no row stands out, and how much that means."""
    those, (n, m) = evaluation.noun, evaluation.sizes
    if min(n, m) < FEW_IMAGES:
        return (
            f"No fault was found, but with {min(n, m):,} images on a side only gross faults would "
            f"show: this does not say that the images are like {those}."
        )
    measured = [row for row in evaluation.rows if row.is_measured]
    if loose := [row for row in measured if not row.is_within_floor]:
        return (
            f"No fault was found for certain, but {_titles(loose)} "
            f"{'lie' if len(loose) > 1 else 'lies'} farther from the floor than usual: more images "
            "or draws would tell."
        )
    untested = set(Space) - {
        row.statistic.space for row in measured if row.statistic.group is Group.TWO_SAMPLE
    }
    if untested:
        return (
            f"No fault was found. No classifier could be tried on {' or '.join(sorted(untested))}, so "
            "that this is no proof."
        )
    return f"Nothing that was measured on {n:,} images tells them from {those}."


def _uses(evaluation: Evaluation) -> tuple[list[str], list[str]]:
    """Return what the images are not good for, and that of which no fault was found."""
    rows, pairs = evaluation.rows, evaluation.class_pairs
    if any(row.is_memorised for row in rows):
        return ["what takes them for new images"], []
    bad, good = list[str](), list[str]()
    for use in Use:
        found = [row for row in rows if row.statistic.use is use and row.value is not None]
        if any(row.stands_out and row.excess >= MATTERS for row in found):
            bad.append(use)
        elif found:
            good.append(use)
    kept = [pair.kept for pair in pairs if pair.kept is not None]
    if _too_alike(pairs):
        bad.append("telling the classes apart")
    elif kept and min(kept) >= KEPT:
        good.append("telling the classes apart")
    # From such an area on a network would learn which images are generated.
    if any((row.value or 0.0) >= 0.6 for row in _standing_out(rows, Group.TWO_SAMPLE)):
        bad.append("training networks in which one class has more of them than another")
    return bad, good


def _mixtures(evaluation: Evaluation) -> str:
    """Say where the sets are of other classes, since every row then counts that as a fault."""
    ours, theirs = (
        _shares(evaluation.set_fact(role, "classes")) for role in ("generated", "reference")
    )
    both = ours.keys() | theirs.keys()
    # The share of the images that would have to change class, and what comes about by chance.
    away = sum(abs(ours.get(name, 0.0) - theirs.get(name, 0.0)) for name in both) / 2
    chance = (len(both) / min(evaluation.sizes)) ** 0.5
    if not ours or not theirs or away <= max(0.1, chance):
        return ""
    return (
        f"The generated images are {_mixed(ours)}; the {evaluation.noun} are {_mixed(theirs)}. What "
        "differs between the classes counts as a fault in every row: compare with a reference of "
        "the same classes."
    )


def _shares(counts: Mapping[str, int]) -> dict[str, float]:
    """Return the share of each class; nothing where a class is not known of every image."""
    return {name: num / sum(counts.values()) for name, num in counts.items() if num}


def _mixed(shares: Mapping[str, float]) -> str:
    *parts, last = (f"{100 * share:.0f}% {name}" for name, share in shares.items())
    return f"{', '.join(parts)} and {last}" if parts else f"all {next(iter(shares))}"


def _distance(row: Row) -> str:
    text = f"The {row.name} is {number(row.value, like=row.floor_spread)}"
    if row.ratio is None:
        return text + "."
    like = f", {row.equivalent}" if row.equivalent and row.stands_out else ""
    return f"{text}, {number(row.ratio)} times its floor of {_floor(row)}{like}."


def _measures(rows: Sequence[Row], those: str) -> str:
    measured = [row for row in rows if row.value is not None]
    if not measured:
        return ""
    group = measured[0].statistic.group
    far = _standing_out(rows, group)
    if not far:
        return f"None of the {len(measured)} measures of {group} stands out from its floor."
    named = [f"{_difference(row, those)} ({_above_floor(row)})" for row in far[:4]]
    lie, first = ("lies", "") if len(far) == 1 else ("lie", "The farthest: ")
    text = f"{first}{'; '.join(named)}."
    counted = f"Of {len(measured)} measures of {group}, {len(far)} {lie} above the floor."
    return f"{counted} {text[:1].upper()}{text[1:]}"


def _two_sample(rows: Sequence[Row], those: str) -> str:
    sentences = []
    if valid := [row for row in rows if row.is_measured]:
        areas = " and ".join(f"{number(row.value)} from {row.statistic.source}" for row in valid)
        sentences.append(
            f"Classifiers tell generated images from {those} with an area under the ROC curve of "
            f"{areas}, where 0.5 is guessing and 1 is never wrong."
        )
    if invalid := [row for row in rows if not row.is_valid]:
        sentences.append(
            f"The two-sample test from {_sources(invalid)} is invalid; the table says why."
        )
    return " ".join(sentences)


def _memorisation(rows: Sequence[Row]) -> str:
    measured = [row for row in rows if row.value is not None]
    if found := [row for row in measured if row.is_memorised]:
        return (
            "Generated images lie nearer to training images than held-out images do, in "
            f"{_sources(found)}: a sign of copies."
        )
    return f"No sign of copies of training images, in {_sources(measured)}." if measured else ""


def _classes(pairs: Sequence[ClassPair], those: str) -> str:
    measured = [pair for pair in pairs if pair.kept is not None]
    if close := _too_alike(measured):
        more = f" So are {len(close) - 1} more of {len(measured)} pairs." if len(close) > 1 else ""
        return f"{close[0].told(those)}.{more}"
    if measured:
        return f"No two classes are certainly more alike than in {those}, as the encoder sees them."
    return ""


def _too_alike(pairs: Sequence[ClassPair]) -> list[ClassPair]:
    """Return the pairs of classes that are too alike, the worst first."""
    return sorted((pair for pair in pairs if pair.is_too_alike), key=lambda pair: pair.kept or 0.0)


def _standing_out(rows: Sequence[Row], *groups: Group) -> list[Row]:
    """Return the rows of some sections that stand out, the farthest from its floor first."""
    far = [row for row in rows if row.statistic.group in groups and row.stands_out]
    return sorted(far, key=lambda row: row.excess, reverse=True)


def _difference(row: Row, those: str) -> str:
    """Say in plain words in what a statistic differs."""
    name = row.statistic.title
    if row.statistic.bias == "none":
        return f"the {name} is larger than in {those}"
    if row.offset is not None and abs(row.offset) >= row.excess / 2:
        if row.shift is not None:
            return f"the {name} is {compared(row.shift)} in {those}"
        way = "larger" if row.offset > 0 else "smaller"
        return f"the {name} is {way} than in {those} by {number(abs(row.offset))} of its scatter"
    if row.widening is not None and abs(row.widening) >= MATTERS:
        return f"the {name} varies {'more' if row.widening > 0 else 'less'} than in {those}"
    return f"the {name} differs from that of {those} by {number(row.excess)} of its scatter"


def _floor(row: Row) -> str:
    return plus_minus(row.floor, row.floor_spread)


def _above_floor(row: Row) -> str:
    if row.ratio is not None:
        return f"{number(row.ratio)} times the floor"
    return f"{number(row.value)} where the floor is {_floor(row)}"


def _sources(rows: Sequence[Row]) -> str:
    return " and ".join(row.statistic.source for row in rows)


def _titles(rows: Sequence[Row]) -> str:
    return ", ".join(row.statistic.title for row in rows)
