"""What the images of a set of files agree in, and which of them do not."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gravlensdiffusion.files import told_apart
from gravlensdiffusion.formats.fits_header import ZERO_POINT, to_one_zero_point
from gravlensdiffusion.formats.image import Facts
from gravlensdiffusion.sets.flux import FULL_SCALE, PEAK, UNKNOWN, is_same_scale, unit_of_ends
from gravlensdiffusion.sets.naming import natural_key
from gravlensdiffusion.sets.records import SetHeader


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One good image of a file, without its pixels.

    Attributes:
        name: What messages call it.
        shape: ``(C, H, W)``, of the part that is taken.
        whole: ``(H, W)`` of all of it.
        is_mask: Whether it has two whole values.
        num_masked: Pixels that were not observed.
        flagged: How many of them each kind of map flags; all others are no number.
    """

    path: Path
    index: int
    name: str
    shape: tuple[int, int, int]
    whole: tuple[int, ...]
    dtype: str
    facts: Facts
    is_mask: bool
    num_masked: int = 0
    flagged: Mapping[str, int] = field(default_factory=dict)


def agreed(
    entries: list[Entry],
    problems: list[str],
    misfits: list[str],
    *,
    any_unit: bool,
    mixed: bool,
    crop: int | None,
) -> tuple[list[Entry], int | None, list[str]]:
    """Return the images that can be one set, the side of the middle that is taken of each [pixel], and notes on them.

    Args:
        entries: All good images.
        problems: Takes a line for each that looks like a mask.
        misfits: Takes a line for each that differs from the most common size, unit or pixel scale.
        any_unit: Whether flux units may differ; none is known then.
        mixed: Whether what states no unit or pixel scale goes with what does, and the middle is taken
            that all have, where no size is that of most.
        crop: Side of the middle that was taken [pixel]; None for all of each.
    """
    sizes = Counter(entry.shape[1:] for entry in entries)
    side = None
    if mixed and crop is None and sizes and 2 * max(sizes.values()) <= len(entries):
        side = min(map(min, sizes))
        entries = [replace(each, shape=(each.shape[0], side, side)) for each in entries]
    entries = _with_units(_without_masks(entries, problems))
    brought = to_one_zero_point([entry.facts for entry in entries])
    entries = [replace(entry, facts=facts) for entry, facts in zip(entries, brought, strict=True)]
    if any_unit and len({entry.facts.flux_unit for entry in entries}) > 1:
        entries = [_in_unit(entry, UNKNOWN) for entry in entries]
    entries = _keep_common(entries, misfits, mixed=mixed)
    return entries, side, [*_taken(entries), *_units_taken(entries), *_differences(entries, side)]


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


def _taken(entries: list[Entry]) -> list[str]:
    """Say which of several images of a file were taken, a line for each way to choose."""
    firsts: dict[str, Entry] = {}
    for entry in entries:
        firsts.setdefault(entry.facts.taken, entry)
    counts = Counter(entry.facts.taken for entry in entries)
    ways = [(taken, num) for taken, num in counts.most_common() if taken]
    names = told_apart(firsts[taken].path for taken, _ in ways)
    lines = [
        f"{taken}: {num} image{'s' if num > 1 else ''}, {name} first"
        for (taken, num), name in zip(ways, names, strict=True)
    ]
    if entries and all(entry.is_mask for entry in entries):
        lines.append("all images have two values, as masks have")
    return lines[:5] + [f"and {len(lines) - 5} other ways"] * (len(lines) > 5)


def _keep_common(entries: list[Entry], problems: list[str], *, mixed: bool) -> list[Entry]:
    """Keep what has the most common size, flux unit and pixel scale; the rest is a problem."""
    units = Counter(entry.facts.flux_unit for entry in entries)
    scales = Counter(entry.facts.pixel_scale_arcsec for entry in entries)
    if mixed:
        # What states none contradicts nothing.
        units[UNKNOWN] = scales[None] = 0
    unit = units.most_common(1)[0][0] if units else UNKNOWN
    common = scales.most_common(1)[0][0] if scales else None
    smallest = min((min(entry.shape[1:]) for entry in entries), default=0)

    def flux_unit(entry: Entry) -> str:
        own = entry.facts.flux_unit
        return unit if mixed and own == UNKNOWN else own

    def scale(entry: Entry) -> float | None:
        own = entry.facts.pixel_scale_arcsec
        # Cut-outs of one survey differ in the last digits.
        is_close = own and common and is_same_scale(own, common)
        return common if is_close or (mixed and own is None) else own

    rules: tuple[tuple[Callable[[Entry], Any], Callable[[Any], str], str], ...] = (
        (lambda entry: entry.shape[0], lambda num: f"{num} channel{'s' if num > 1 else ''}", ""),
        (
            lambda entry: entry.shape[1:],
            lambda shape: "{} x {} pixels".format(*shape),
            f"; `crop` {smallest} takes the middle of each",
        ),
        (flux_unit, lambda value: f"flux unit '{value}'", ""),
        (
            scale,
            lambda value: f"a pixel scale of {value:.4g} arcsec" if value else "no pixel scale",
            "",
        ),
    )
    for value, describe, advice in rules if entries else ():
        most = Counter(map(value, entries)).most_common(1)[0][0]
        problems += [
            f"{entry.name}: has {describe(value(entry))} where most have {describe(most)}{advice}"
            for entry in entries
            if value(entry) != most
        ]
        entries = [entry for entry in entries if value(entry) == most]
    return entries


def _units_taken(entries: list[Entry]) -> list[str]:
    """Say what the numbers of a set were taken for, one line each."""
    whites = Counter(entry.facts.white for entry in entries)
    lines = [
        f"{_images(num)} whole numbers up to {white}: divided by that, so that white is 1 (flux "
        f"unit '{FULL_SCALE}')"
        for white, num in sorted((white, num) for white, num in whites.items() if white)
    ]
    told = [entry.facts.ends for entry in entries if entry.facts.flux_unit == PEAK]
    ends = [each for each in told if each is not None]
    if ends and all((each.low, each.high) == (0, 1) for each in ends):
        lines.append(
            f"{_images(len(ends))} no unit and values exactly from 0 to 1: taken as each scaled by its "
            f"own extremes (flux unit '{PEAK}')"
        )
    elif ends:
        highest = sum(each.high for each in ends) / len(ends)
        lines.append(
            f"{_images(len(ends))} no unit and values within 0 and 1, the brightest pixel at {highest:.3g} on "
            f"average: taken as each scaled by its own extremes and reduced after that (flux unit "
            f"'{PEAK}')"
        )
    return lines


def _images(num: int) -> str:
    return "1 image has" if num == 1 else f"{num:,} images have"


def _differences(entries: list[Entry], side: int | None) -> list[str]:
    """Say in what the images of a set differ all the same, one line each."""
    lines = []
    if side is not None:
        low, high = (f(entry.whole for entry in entries) for f in (min, max))
        lines.append(
            f"images of {low[0]} x {low[1]} to {high[0]} x {high[1]} pixels: the middle {side} x {side} "
            "of each is taken; `crop` takes another"
        )
    masked = [entry for entry in entries if entry.num_masked]
    if masked:
        pixels = sum(entry.num_masked for entry in masked)
        lines.append(
            f"masked pixels, {pixels:,} in {len(masked)} of {len(entries)} images ({_reasons(masked)}): each "
            f"looks like those beside it; {masked[0].path.name} first"
        )
    brought = [entry for entry in entries if entry.facts.factor != 1]
    if brought:
        lines.append(
            f"zero points differ: fluxes of {len(brought)} of {len(entries)} images are brought to "
            f"{brought[0].facts.parameters[ZERO_POINT]:g} mag, that of most; {brought[0].path.name} first"
        )
    num = sum(entry.facts.pixel_scale_arcsec is None for entry in entries)
    if 0 < num < len(entries):
        lines.append(f"pixel scale: {len(entries) - num} images state it, {num} do not")
    units = Counter(entry.facts.flux_unit for entry in entries)
    if len(units) > 1:
        counts = ", ".join(f"{num} of '{unit}'" for unit, num in units.most_common())
        lines.append(f"images differ in flux unit, so that of the set is not known: {counts}")
    return lines


def _reasons(masked: list[Entry]) -> str:
    """Say by what pixels are masked, each counted once."""
    counts: Counter[str] = Counter()
    for entry in masked:
        counts["NaN or BLANK"] += entry.num_masked - sum(entry.flagged.values())
        counts.update({f"by {kind}": num for kind, num in entry.flagged.items()})
    return ", ".join(f"{num:,} {reason}" for reason, num in counts.items() if num)


def common_header(entries: list[Entry], folders: tuple[str, ...]) -> SetHeader:
    """Return what is common to images that agree in size, unit and scale, of which some lie in folders of classes."""
    scales = [entry.facts.pixel_scale_arcsec for entry in entries]
    flux_units = {entry.facts.flux_unit for entry in entries}
    units: dict[str, str] = {}
    for entry in entries:
        units.update(entry.facts.parameter_units)
    return SetHeader(
        class_names=_classes_of(entries, folders),
        pixel_scale_arcsec=next(filter(None, scales), None),
        flux_unit=flux_units.pop() if len(flux_units) == 1 else UNKNOWN,
        parameter_units=units,
    )


def _classes_of(entries: list[Entry], folders: tuple[str, ...]) -> tuple[str, ...]:
    """Return the classes in the order of their folders or as files state it, or else in natural order."""
    facts = [entry.facts for entry in entries]
    numbers = {each.class_name: each.class_number for each in facts if each.class_name is not None}
    if present := tuple(name for name in folders if name in numbers):
        return present
    stated = {each.class_names for each in facts}
    if len(stated) == 1 and () not in stated:
        return stated.pop()
    names = sorted(numbers, key=natural_key)
    if None not in numbers.values():
        names.sort(key=lambda name: numbers[name] or 0)
    return tuple(names)
