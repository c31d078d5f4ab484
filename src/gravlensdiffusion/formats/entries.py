"""What the images of a set of files agree in, and which of them do not."""

from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from gravlensdiffusion.formats.image import Facts
from gravlensdiffusion.sets.flux import FULL_SCALE, PEAK, UNKNOWN, unit_of_ends
from gravlensdiffusion.sets.naming import natural_key
from gravlensdiffusion.sets.records import SetHeader

T = TypeVar("T", bound=Hashable)

NUM_WAYS = 5
"""Lines on which of several images were taken, at most."""
_SCALE_TOLERANCE = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One good image of a file, without its pixels.

    Attributes:
        path: The file.
        index: Its number in the file.
        name: What messages call it.
        shape: ``(C, H, W)``.
        dtype: Type of the stored numbers.
        facts: What is known of it.
        is_mask: Whether it has two whole values.
    """

    path: Path
    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    facts: Facts
    is_mask: bool


def agreed(
    entries: list[Entry], problems: list[str], misfits: list[str], *, any_unit: bool
) -> list[Entry]:
    """Return the images that can be one set.

    Args:
        entries: All good images.
        problems: Takes a line for each that looks like a mask.
        misfits: Takes a line for each that differs from the most common size, unit or pixel scale.
        any_unit: Whether flux units may differ; none is known then.
    """
    entries = _with_units(_without_masks(entries, problems))
    if any_unit and len({entry.facts.flux_unit for entry in entries}) > 1:
        entries = [_in_unit(entry, UNKNOWN) for entry in entries]
    return _keep_common(entries, misfits)


def _in_unit(entry: Entry, flux_unit: str, **changes: Any) -> Entry:
    return replace(entry, facts=replace(entry.facts, flux_unit=flux_unit, **changes))


def _with_units(entries: list[Entry]) -> list[Entry]:
    """Return the images with the unit that their numbers tell, where their files state none."""
    unit, white = unit_of_ends([entry.facts.ends for entry in entries if entry.facts.ends])
    return [
        _in_unit(entry, unit, white=white) if entry.facts.ends and unit != UNKNOWN else entry
        for entry in entries
    ]


def _without_masks(entries: list[Entry], problems: list[str]) -> list[Entry]:
    """Leave out what has two whole values, as a mask has, where other images have more."""
    if all(entry.is_mask for entry in entries):
        return entries
    problems += [
        f"{entry.name}: looks like a mask: it has two values, where others are images"
        for entry in entries
        if entry.is_mask
    ]
    return [entry for entry in entries if not entry.is_mask]


def taken(entries: list[Entry]) -> list[str]:
    """Say which of several images of a file were taken, a line for each way to choose."""
    firsts: dict[str, Entry] = {}
    for entry in entries:
        firsts.setdefault(entry.facts.taken, entry)
    counts = Counter(entry.facts.taken for entry in entries)
    lines = [
        f"{taken}: {num} image{'s' if num > 1 else ''}, {firsts[taken].path.name} first"
        for taken, num in counts.most_common()
        if taken
    ]
    if entries and all(entry.is_mask for entry in entries):
        lines.append("all images have two values, as masks have")
    return lines[:NUM_WAYS] + [f"and {len(lines) - NUM_WAYS} other ways"] * (len(lines) > NUM_WAYS)


def _keep_common(entries: list[Entry], problems: list[str]) -> list[Entry]:
    """Keep what has the most common size, flux unit and pixel scale; the rest is a problem."""
    smallest = min((min(entry.shape[1:]) for entry in entries), default=0)
    entries = _keep_equal(
        entries,
        problems,
        lambda entry: entry.shape[0],
        lambda num: f"{num} channel{'s' if num > 1 else ''}",
    )
    entries = _keep_equal(
        entries,
        problems,
        lambda entry: entry.shape[1:],
        lambda shape: "{} x {} pixels".format(*shape),
        advice=f"; `crop` {smallest} takes the middle of each",
    )
    entries = _keep_equal(
        entries, problems, lambda entry: entry.facts.flux_unit, lambda unit: f"flux unit '{unit}'"
    )
    scales = Counter(entry.facts.pixel_scale_arcsec for entry in entries)
    common = scales.most_common(1)[0][0] if scales else None

    def scale(entry: Entry) -> float | None:
        own = entry.facts.pixel_scale_arcsec
        # Cut-outs of one survey differ in the last digits.
        is_close = own and common and abs(own / common - 1) < _SCALE_TOLERANCE
        return common if is_close else own

    return _keep_equal(
        entries,
        problems,
        scale,
        lambda value: f"a pixel scale of {value:.4g} arcsec" if value else "no pixel scale",
    )


def _keep_equal(
    entries: list[Entry],
    problems: list[str],
    value: Callable[[Entry], T],
    describe: Callable[[T], str],
    advice: str = "",
) -> list[Entry]:
    counts = Counter(map(value, entries))
    if len(counts) < 2:
        return entries
    common = counts.most_common(1)[0][0]
    problems += [
        f"{entry.name}: has {describe(value(entry))} where most have {describe(common)}{advice}"
        for entry in entries
        if value(entry) != common
    ]
    return [entry for entry in entries if value(entry) == common]


def units_taken(entries: list[Entry]) -> list[str]:
    """Say what the numbers of a set were taken for, one line each."""
    whites = Counter(entry.facts.white for entry in entries)
    lines = [
        f"{_images(num)} whole numbers up to {white}: divided by that, so that white is 1 (flux "
        f"unit '{FULL_SCALE}')"
        for white, num in sorted((white, num) for white, num in whites.items() if white)
    ]
    told = [entry.facts.ends for entry in entries if entry.facts.flux_unit == PEAK]
    ends = [each for each in told if each is not None]
    if ends and all(each.are_scaled for each in ends):
        lines.append(
            f"{_images(len(ends))} no unit and run exactly from 0 to 1: taken as each scaled by its "
            f"own extremes (flux unit '{PEAK}')"
        )
    elif ends:
        highest = sum(each.high for each in ends) / len(ends)
        lines.append(
            f"{_images(len(ends))} no unit and lie within 0 and 1, the brightest pixel at {highest:.3g} on "
            f"average: taken as each scaled by its own extremes and reduced after that (flux unit "
            f"'{PEAK}')"
        )
    return lines


def _images(num: int) -> str:
    return "1 image has" if num == 1 else f"{num:,} images have"


def stated_classes(entries: list[Entry]) -> tuple[str, ...]:
    """Return the classes in the order that the files state, or else in natural order."""
    stated = {entry.facts.class_names for entry in entries}
    if len(stated) == 1 and () not in stated:
        return stated.pop()
    numbers = {
        entry.facts.class_name: entry.facts.class_number
        for entry in entries
        if entry.facts.class_name is not None
    }
    names = sorted(numbers, key=natural_key)
    if None not in numbers.values():
        names.sort(key=lambda name: numbers[name] or 0)
    return tuple(names)


def common_header(entries: list[Entry], class_names: tuple[str, ...]) -> SetHeader:
    """Return what is common to images that agree in size, unit and scale."""
    first = entries[0].facts
    units: dict[str, str] = {}
    for entry in entries:
        units.update(entry.facts.parameter_units)
    return SetHeader(
        class_names=class_names,
        pixel_scale_arcsec=first.pixel_scale_arcsec,
        flux_unit=first.flux_unit,
        parameter_units=units,
    )
